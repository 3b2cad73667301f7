"""A table of soft labels in full, `[K, K]`."""

import dataclasses
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.method import checks, operands, strips, trainable
from simsmooth_jax.method.targets import LONG_ROW, negative_log_probabilities


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DenseLabels:
    """A table of soft labels in full: row y is `table[y]`. What a bare array is wrapped in."""

    table: Shaped[Array | np.ndarray, "classes classes"]

    @property
    def num_classes(self) -> int:
        """K."""
        return np.shape(self.table)[0]

    @property
    def form(self) -> str:
        """The form and its shape, as messages show them."""
        return str(np.shape(self.table))

    def to_dense(self) -> Float[Array, "classes classes"]:
        """The table itself, in float32."""
        return jnp.asarray(self.table, jnp.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its fields, as files hold them."""
        return {"table": np.asarray(self.table, np.float32)}

    def own_weights(self) -> Float[np.ndarray, " classes"]:
        """What each class keeps of its own label."""
        return np.diagonal(np.asarray(self.table))

    def opened(self, function: str) -> Self:
        """With its array as programs take it; refuses what is no `[K, K]` matrix of numbers."""
        return dataclasses.replace(self, table=operands.square(function, "table", self.table))

    def flaws(self) -> list[checks.Flaw]:
        """Rows that are no targets."""
        return [trainable.sum_flaw(self.to_dense().sum(axis=1), self.table.dtype)]

    def refuse_untrainable(self, function: str) -> None:
        """Refuses rows that no classifier should be trained on."""
        classes = np.arange(self.num_classes)[None]
        trainable.refuse_rows(function, self.table, self.own_weights(), classes)

    def cross_entropy(
        self,
        labels: Int[Array, "*batch"],
        peak: Float[Array, "*batch"],
        log_sum: Float[Array, "*batch"],
        logits: Float[Array, "*batch classes"],
    ) -> Float[Array, "*batch"]:
        """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""
        return _cross_entropy(self.to_dense(), labels, peak, log_sum, logits)

    def of_batch(self, labels: Int[Array, " batch"]) -> tuple[Array, ...]:
        """What `block` needs of each example: `[B, …]`."""
        return (labels,)

    def of_class(self) -> tuple[Array, ...]:
        """What `block` needs of each class: `[…, K]`, or of those that a device holds."""
        return (jnp.asarray(self.table),)

    def block(
        self,
        of_batch: tuple[Array, ...],
        of_class: tuple[Array, ...],
        first: Any,
        start: Any,
        size: int,
    ) -> Float[Array, "batch size"]:
        """The target rows at `size` classes from `start` of those that begin with class `first`."""
        columns = jax.lax.dynamic_slice_in_dim(of_class[0], start, size, axis=1)
        return jnp.asarray(columns[of_batch[0]], jnp.float32)


@jax.custom_jvp
def _cross_entropy(
    table: Float[Array, "classes classes"],
    labels: Int[Array, "*batch"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
    logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    def at_once(table: Array, labels: Array, peak: Array, log_sum: Array, logits: Array) -> Array:
        targets = _rows(table, labels, like=logits)
        terms = targets * negative_log_probabilities(logits, peak, log_sum)
        return jnp.where(targets == 0, 0, terms).sum(axis=-1)  # 0 log 0 is 0, as in the limit

    def row_by_row(*operands: Array) -> Array:
        return jax.lax.map(lambda row: at_once(operands[0], *row), operands[1:])

    operands = (table, labels, peak, log_sum, logits)
    if logits.ndim != 2 or logits.shape[1] < LONG_ROW or strips.on_several_devices(logits):
        return at_once(*operands)
    # XLA sums a row of its own in a CPU's cache, and a matrix of rows at a third of that speed.
    return jax.lax.platform_dependent(*operands, cpu=row_by_row, default=at_once)


@partial(_cross_entropy.defjvp, symbolic_zeros=True)
def _cross_entropy_jvp(
    primals: tuple[Array, ...], tangents: tuple[Any, ...]
) -> tuple[Array, Array]:
    """Plain JAX; the checkpoint keeps labels for the way back, where targets would be `[B, K]`."""
    table, labels, peak, log_sum, logits = primals
    d_table, _, _, d_log_sum, d_logits = tangents
    losses = _cross_entropy(*primals)
    tangent = jnp.zeros_like(losses)
    if not isinstance(d_log_sum, SymbolicZero):
        tangent += _rows(table, labels, like=logits).sum(axis=-1) * d_log_sum
    if not isinstance(d_logits, SymbolicZero):
        tangent -= jax.checkpoint(
            lambda table, d_logits: (_rows(table, labels, like=logits) * d_logits).sum(axis=-1)
        )(table, d_logits)
    if not isinstance(d_table, SymbolicZero):
        terms = negative_log_probabilities(logits, peak, log_sum)
        terms = _rows(d_table, labels, like=logits) * jnp.where(jnp.isneginf(logits), 0, terms)
        tangent += terms.sum(axis=-1)
    return losses, tangent


def _rows(matrix: Array, labels: Array, like: Array) -> Array:
    """`matrix[labels]` for labels in range, on Auto and on Explicit mesh axes."""
    sharding = jax.typeof(like).sharding
    return matrix.at[labels].get(mode="clip", wrap_negative_indices=False, out_sharding=sharding)
