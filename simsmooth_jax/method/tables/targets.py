"""What the forms of a table have in common: labels in range, and rows of targets."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.arrays import meshes, operands

LONG_ROW = 2048  # classes


def in_range(labels: Any, num_classes: int) -> tuple[Int[Array, "*batch"], Bool[Array, "*batch"]]:
    """Labels as int32 in `[0, K)`, and which of them were there before."""
    labels = jnp.asarray(operands.in_32_bits(labels, num_classes), jnp.int32)
    return jnp.clip(labels, 0, num_classes - 1), (labels >= 0) & (labels < num_classes)


def nan_where_unknown(values: Array, is_known: Bool[Array, "*batch"]) -> Array:
    """NaN for labels out of range, as a program cannot raise; the gradients are NaN as well."""
    factor = jnp.where(is_known, jnp.float32(1), jnp.nan)
    return values * (factor if values.ndim == factor.ndim else factor[..., None])


def negative_log_probabilities(
    logits: Float[Array, "*batch classes"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
) -> Float[Array, "*batch classes"]:
    """`-log softmax(z)`; the peak goes first, so that large logits lose no digits."""
    return log_sum[..., None] - (logits - peak[..., None])


@jax.jit
def rows(table: Any, labels: Int[Array, "*batch"]) -> Float[Array, "*batch classes"]:
    """Rows of a table in any form, for labels in range."""

    def compute(table: Any, labels: Array) -> Array:
        flat = labels.reshape(-1)
        # One block with all classes, which XLA sees to be no copy of a dense table.
        found = table.block(table.of_batch(flat), table.of_class(), 0, 0, table.num_classes)
        return found.reshape(*labels.shape, table.num_classes)

    shardings: list[Any] = [jax.typeof(x).sharding for x in (labels, *jax.tree.leaves(table))]
    batch = tuple(shardings[0].spec)
    classes = [jax.typeof(x).sharding.spec[-1] for x in table.of_class()]
    free = [axis for axis in classes if not {*jax.tree.leaves(axis)} & {*jax.tree.leaves(batch)}]
    places = [x for x in (labels, *jax.tree.leaves(table)) if meshes.on_explicit_axes(x)]
    spec = PartitionSpec(*batch, *(free or [None]))
    return meshes.on_auto_axes(compute, [*places, labels][0], spec)(table, labels)


def to_dense(table: Any) -> Float[Array, "classes classes"]:
    """All rows of a compact table, refused where they would not fit."""
    advice = "Use target_rows(table, labels) for the rows of a batch."
    function = f"{type(table).__name__}.to_dense"
    table = table.opened(function)
    refuse_dense_table(function, table.num_classes, advice=advice)
    return rows(table, jnp.arange(table.num_classes, dtype=jnp.int32))
