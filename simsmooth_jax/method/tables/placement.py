"""A table of labels among other classes: in their order, or beside some that it does not know."""

import numpy as np
from jaxtyping import Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.tables.dense import DenseLabels
from simsmooth_jax.method.tables.forms import Table
from simsmooth_jax.method.tables.top_k import TopKLabels


def placed(table: Table, places: Int[np.ndarray, " classes"], num_classes: int) -> Table:
    """The labels of `num_classes` classes, of which class k of the table stands at `places[k]`.

    `placed[places[i], places[j]] = table[i, j]`. A class at which none stands has a hard label, and
    no other row gives it weight.

    Args:
      table: dense or top-k, of as many classes as there are places.
      places: `[k]` integer, all different, from 0 to `num_classes - 1`.
      num_classes: K of the result.

    Returns:
      A table of the same form, in float32.

    Raises:
      ValueError: the table is in the factored form, in which every class has weight in every row.
    """
    others = np.setdiff1d(np.arange(num_classes), places)
    if isinstance(table, DenseLabels):
        labels = np.zeros((num_classes, num_classes), np.float32)
        labels[np.ix_(places, places)] = np.asarray(table.table, np.float32)
        labels[others, others] = 1
        return DenseLabels(labels)
    if isinstance(table, TopKLabels):
        kept = np.asarray(table.indices)
        indices = np.empty((num_classes, kept.shape[1]), np.int32)
        weights = np.zeros(indices.shape, np.float32)
        indices[places], weights[places] = places[kept], np.asarray(table.weights, np.float32)
        # A row names different classes, those without weight as well.
        indices[others] = np.append(0, places[: kept.shape[1] - 1])
        indices[others, 0], weights[others, 0] = others, 1
        return TopKLabels(indices, weights)
    raise InputError(
        "labels among other classes",
        "be a table, dense or top-k",
        f"the factored form {table.form}, which gives each class weight in every row",
        "Make it with top_k_labels, or take its to_dense().",
    )
