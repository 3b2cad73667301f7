"""The decisive control: labels as smooth as the given ones, whose neighbours are the wrong ones."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import checks, meshes
from simsmooth_jax.method.tables.forms import LabelTable, sound_table


def shuffled_labels(
    table: LabelTable, key: Key[Array, ""] | UInt32[Array, " words"]
) -> Float[Array, "classes classes"]:
    """The same labels with wrong neighbours: each row's weights on the others in a random order.

    `t'_yk = t_y,π_y(k)` for the other classes k, with a permutation π_y of them for each class y,
    and `t'_yy = t_yy`. Every row keeps its own weight, its entropy and its perplexity, and loses
    which class is like which. What a relation gains over its own shuffle is due to the relation,
    and not to how smooth the labels are.

    Args:
      table: row y is the target of class y: `[K, K]` real, or what `top_k_labels` or
        `factored_labels` give.
      key: of `jax.random`; decides the order.

    Returns:
      `[K, K]` float32; every row has the entries of the table's.

    Raises:
      ValueError: the table is one that `softmax_cross_entropy_with_label_table` refuses, a compact
        one would not fit into memory as `[K, K]`, or the key is none.

    Source: a permutation test's null for CN 112434722 A, claim 5.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> similarity = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]])
      >>> table = ss.relation_labels(similarity)
      >>> shuffled = ss.shuffled_labels(table, jax.random.key(1))
      >>> print(np.asarray(np.sort(shuffled) == np.sort(table)).all())
      True
      >>> print(np.diag(shuffled).round(3))
      [0.625 0.625 1.   ]
    """
    return _in_another_order("shuffled_labels", table, key, _rows_shuffled)


def permuted_labels(
    table: LabelTable, key: Key[Array, ""] | UInt32[Array, " words"]
) -> Float[Array, "classes classes"]:
    """The same labels for other classes: one random permutation π of rows and columns at once.

    `t'_ij = t_π(i)π(j)`: as if the classes had been named wrongly. The table keeps its structure,
    groups and hubs included, and own weights stay at own classes; only which class is which is
    lost. `shuffled_labels` breaks the structure as well. A few classes may keep their place, one on
    average.

    Args:
      table: row y is the target of class y: `[K, K]` real, or what `top_k_labels` or
        `factored_labels` give.
      key: of `jax.random`; decides the permutation.

    Returns:
      `[K, K]` float32; row y has the entries of the table's row π(y).

    Raises:
      ValueError: whatever `shuffled_labels` refuses.

    Source: a permutation test's null for CN 112434722 A, claim 5; of both axes at once as in
      Mantel's test of two matrices (1967).

    Example:
      >>> import jax
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> similarity = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]])
      >>> permuted = ss.permuted_labels(ss.relation_labels(similarity), jax.random.key(3))
      >>> print(np.sort(np.diag(permuted)).round(3))
      [0.625 0.625 1.   ]
      >>> print(np.asarray(permuted == permuted.T).all())  # as the table was
      True
    """
    return _in_another_order("permuted_labels", table, key, _classes_permuted)


def _in_another_order(function: str, table: Any, key: Any, program: Any) -> Array:
    is_key = isinstance(key, jax.Array) and (
        (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0)
        or (key.dtype == jnp.uint32 and key.ndim == 1)  # of jax.random.PRNGKey
    )
    if not is_key:
        got = f"{key!r}" if jnp.ndim(key) == 0 else f"shape {jnp.shape(key)}"
        advice = "Use jax.random.key(0)."
        raise InputError(f"{function}: key", "be one key of jax.random", got, advice)
    return program(sound_table(function, table).to_dense(), key)


@jax.jit
def _rows_shuffled(table: Array, key: Array) -> Array:
    return meshes.by_class(_shuffle_rows, table, key, class_axis=0)[0]


@jax.jit
def _classes_permuted(table: Array, key: Array) -> Array:
    return meshes.by_class(_permute_classes, table, key, class_axis=0)[0]


def _shuffle_rows(table: Array, key: Array) -> tuple[Array, list[checks.Flaw]]:
    classes = jnp.arange(len(table), dtype=jnp.int32)
    ahead = (classes[:, None] + 1 + classes[None]) % len(table)
    turned = jnp.take_along_axis(table, ahead, axis=1)  # each row from its next class to its own
    others = jax.random.permutation(key, turned[:, :-1], axis=1, independent=True)
    turned = jnp.concatenate([others, turned[:, -1:]], axis=1)
    back = (classes[None] - classes[:, None] - 1) % len(table)
    return jnp.take_along_axis(turned, back, axis=1), []


def _permute_classes(table: Array, key: Array) -> tuple[Array, list[checks.Flaw]]:
    order = jax.random.permutation(key, len(table))
    return table[order][:, order], []
