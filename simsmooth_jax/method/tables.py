"""The forms of a label table: dense `[K, K]`, top-k and factored; all of them are pytrees."""

import dataclasses
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method import checks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TopKLabels:
    """A table of soft labels that keeps k classes of each row: `[K, k]` instead of `[K, K]`.

    Row y is `weights[y, j]` at class `indices[y, j]` and 0 elsewhere.
    """

    indices: Int[Array | np.ndarray, "classes k"]
    weights: Float[Array | np.ndarray, "classes k"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FactoredLabels:
    """A table of soft labels that is never built: unit columns `[N, K]` and the rows' sums `[K]`.

    Row y is `(1 - epsilon) e_y + epsilon S_y / d_y` under rule literal and `(1 - epsilon) e_y +
    epsilon (1 + S_y) / (K + d_y)` under shift, with `S_y = kernel[:, y]ᵀ kernel`.
    """

    kernel: Float[Array, "features classes"]
    row_sums: Float[Array, " classes"]
    epsilon: Float[Array, ""]
    rule: Literal["literal", "shift"] = dataclasses.field(metadata={"static": True})


LabelTable: TypeAlias = Shaped[Array | np.ndarray, "classes classes"] | TopKLabels | FactoredLabels


def refuse_table(function: str, table: Any, num_classes: int) -> None:
    """Refuses what is no table of `num_classes` classes in any of the forms."""
    if isinstance(table, FactoredLabels):
        rows, shape = table.kernel.shape[1], f"factored {list(table.kernel.shape)}"
    elif isinstance(table, TopKLabels):
        rows, shape = len(table.indices), f"top-k {list(table.indices.shape)}"
    else:
        checks.square_matrix(function, "table", table)
        rows, shape = table.shape[0], str(np.shape(table))
    if rows != num_classes:
        raise InputError(
            f"{function}: table must have one row and column for each of the {num_classes} "
            f"logits, got {shape}. Table and model are of different sets of classes."
        )


def rows_of(matrix: Array, labels: Array, like: Array) -> Array:
    """`matrix[labels]` for labels in range, on Auto and on Explicit mesh axes."""
    sharding = jax.typeof(like).sharding
    return matrix.at[labels].get(mode="clip", wrap_negative_indices=False, out_sharding=sharding)


def negative_log_probabilities(
    logits: Float[Array, "*batch classes"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
) -> Float[Array, "*batch classes"]:
    """`-log softmax(z)`; the peak goes first, so that large logits lose no digits."""
    return log_sum[..., None] - (logits - peak[..., None])


def compact_cross_entropy(
    table: TopKLabels | FactoredLabels,
    labels: Int[Array, "*batch"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
    logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""
    compute: Any = _top_k if isinstance(table, TopKLabels) else _factored
    sharding = jax.typeof(logits).sharding
    if AxisType.Explicit in sharding.mesh.axis_types:
        batch = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:-1]))
        compute = jax.sharding.auto_axes(compute, out_sharding=batch)
    return compute(table, labels, peak, log_sum, logits)


def _top_k(table: Any, labels: Array, peak: Array, log_sum: Array, logits: Array) -> Array:
    weights = jnp.asarray(table.weights, jnp.float32)[labels]
    kept = jnp.take_along_axis(logits, table.indices[labels], axis=-1)
    terms = weights * negative_log_probabilities(kept, peak, log_sum)
    return jnp.where(weights == 0, 0, terms).sum(axis=-1)


def _factored(table: Any, labels: Array, peak: Array, log_sum: Array, logits: Array) -> Array:
    terms = negative_log_probabilities(logits, peak, log_sum)
    product = jnp.matmul(terms, table.kernel.T, precision=jax.lax.Precision.HIGHEST)
    similar = (product * table.kernel.T[labels]).sum(axis=-1)
    relation = similar / table.row_sums[labels]
    if table.rule == "shift":
        relation = (terms.sum(axis=-1) + similar) / (terms.shape[-1] + table.row_sums[labels])
    own = jnp.take_along_axis(terms, labels[..., None], axis=-1)[..., 0]
    return (1 - table.epsilon) * own + table.epsilon * relation
