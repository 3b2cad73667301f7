"""What the forms of a table have in common: labels in range, rows of targets, Explicit axes."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method import operands

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


def on_auto_axes(
    compute: Callable[..., Array], sharding: NamedSharding, *spec: Any
) -> Callable[..., Array]:
    """`compute`, on a mesh with Explicit axes with these Auto inside and a result of that spec."""
    if AxisType.Explicit not in sharding.mesh.axis_types:
        return compute
    out_sharding = NamedSharding(sharding.mesh, PartitionSpec(*spec))
    return cast(Any, jax.sharding.auto_axes(compute, out_sharding=out_sharding))


def by_example(cross_entropy: Callable[..., Array]) -> Callable[..., Array]:
    """A method `cross_entropy(table, …, logits)`, also where the mesh axes are Explicit."""

    @functools.wraps(cross_entropy)
    def on_any_axes(*operands: Any) -> Array:
        sharding: Any = jax.typeof(operands[-1]).sharding
        return on_auto_axes(cross_entropy, sharding, *sharding.spec[:-1])(*operands)

    return on_any_axes


@jax.jit
def rows(table: Any, labels: Int[Array, "*batch"]) -> Float[Array, "*batch classes"]:
    """Rows of a table in any form, for labels in range."""

    def compute(table: Any, labels: Array) -> Array:
        flat = labels.reshape(-1)
        # One block with all classes, which XLA sees to be no copy of a dense table.
        found = table.block(table.of_batch(flat), table.of_class(), 0, 0, table.num_classes)
        return found.reshape(*labels.shape, table.num_classes)

    shardings: list[Any] = [jax.typeof(x).sharding for x in (labels, *jax.tree.leaves(table))]
    explicit = [s for s in shardings if AxisType.Explicit in s.mesh.axis_types]
    batch = tuple(shardings[0].spec)
    classes = [jax.typeof(x).sharding.spec[-1] for x in table.of_class()]
    free = [axis for axis in classes if not {*jax.tree.leaves(axis)} & {*jax.tree.leaves(batch)}]
    sharding = (explicit or shardings)[0]
    return on_auto_axes(compute, sharding, *batch, *(free or [None]))(table, labels)


def to_dense(table: Any) -> Float[Array, "classes classes"]:
    """All rows of a compact table, refused where they would not fit."""
    advice = "Use target_rows(table, labels) for the rows of a batch."
    function = f"{type(table).__name__}.to_dense"
    table = table.opened(function)
    refuse_dense_table(function, table.num_classes, advice=advice)
    return rows(table, jnp.arange(table.num_classes))
