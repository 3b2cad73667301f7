"""The forms of a table of soft labels, and the one door through which all of them come in."""

from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes, operands
from simsmooth_jax.method.tables import targets
from simsmooth_jax.method.tables.dense import DenseLabels
from simsmooth_jax.method.tables.factored import FactoredLabels
from simsmooth_jax.method.tables.top_k import TopKLabels

Table: TypeAlias = DenseLabels | TopKLabels | FactoredLabels
LabelTable: TypeAlias = Shaped[Array | np.ndarray, "classes classes"] | Table


def as_table(value: Any) -> Table:
    """A table as it is, and a bare array `[K, K]` as one: nothing behind this asks which."""
    return value if isinstance(value, Table) else DenseLabels(value)


def opened_table(function: str, value: Any) -> Table:
    """A table with its arrays as programs take them; refuses what is none."""
    return as_table(value).opened(function)


def sound_table(function: str, value: Any) -> Table:
    """The door of what is computed with a table: refuses rows that are none, if they are known.

    Not in the classes' own `__post_init__`, which JAX calls with tracers, and with no array at all.
    """
    table = opened_table(function, value)
    if not checks.is_traced(table):
        checks.run_checked(function, _flaws_program, table)
    return table


@jax.jit
def _flaws_program(table: Table) -> tuple[tuple[()], list[checks.Flaw]]:
    leaves = jax.tree.leaves(table)
    explicit = [leaf for leaf in leaves if meshes.on_explicit_axes(leaf)]

    def flaws(_: Any, table: Table) -> tuple[tuple[()], list[checks.Flaw]]:
        return (), table.flaws()

    return meshes.by_class(flaws, (explicit or leaves)[0], table, class_axis=None)


def table_for_logits(function: str, value: Any, num_classes: int) -> Table:
    """The door of a loss, which refuses what is no table of `num_classes` classes."""
    table = opened_table(function, value)
    if table.num_classes != num_classes:
        raise InputError(
            f"{function}: table",
            f"have one row and column for each of the {num_classes} logits",
            table.form,
            "Table and model are of different sets of classes.",
        )
    return sound_table(function, table)


def trainable_table(function: str, value: Any, num_classes: int) -> Table:
    """The door of a training, which refuses rows that no classifier should be trained on."""
    table = opened_table(function, value)
    if table.num_classes != num_classes:
        raise InputError(
            f"{function}: table",
            f"have a row for each of the {num_classes} classes of the data",
            table.num_classes,
            "It was made for another set of classes.",
        )
    table.refuse_untrainable(function)
    return table


def target_rows(
    table: LabelTable, labels: Int[Array | np.ndarray, "*batch"]
) -> Float[Array, "*batch classes"]:
    """The target rows of a batch of labels, from a table in any form.

    `t = table[label]`, in full: for losses of your own, as with mixed images, with a teacher or
    focal. `softmax_cross_entropy_with_label_table` needs no such array `[..., K]`.

    Differentiable in the table. Works on labels and classes that are sharded over Auto and Explicit
    mesh axes; on Explicit ones the rows are where their labels are, and a class axis that these do
    not take stays on its devices.

    Args:
      table: row y is the target of class y: `[K, K]` real, or what `top_k_labels` or
        `factored_labels` give.
      labels: `[...]` integer, the class of each example, in [0, K). A label outside gives a row of
        NaN instead of another class's, because a compiled program cannot raise.

    Returns:
      `[..., K]` float32.

    Raises:
      ValueError: labels are not integers, or the table is one that
        `softmax_cross_entropy_with_label_table` refuses.

    Source: CN 112434722 A, [0058].

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> table, labels = ss.uniform_labels(4, 0.1), jnp.array([2, 0, 3])
      >>> targets = ss.target_rows(table, labels)
      >>> print(np.asarray(targets).round(3))
      [[0.025 0.025 0.925 0.025]
       [0.925 0.025 0.025 0.025]
       [0.025 0.025 0.025 0.925]]
      >>> mixed = 0.7 * targets + 0.3 * ss.target_rows(table, labels[::-1])  # as in mixup
      >>> print(np.asarray(mixed).round(3)[0])
      [0.025 0.025 0.655 0.295]
    """
    function = "target_rows"
    door = sound_table(function, table)
    advice = "Labels are indices, not one-hot vectors."
    labels = operands.integers(function, "labels", labels, advice)
    known, is_known = targets.in_range(labels, door.num_classes)
    return targets.nan_where_unknown(targets.rows(door, known), is_known)
