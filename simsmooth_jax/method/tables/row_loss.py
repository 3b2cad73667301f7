"""Cross-entropy against whole rows of targets; its way back keeps labels, and makes rows again."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from simsmooth_jax.method.arrays import meshes
from simsmooth_jax.method.tables.targets import LONG_ROW, negative_log_probabilities

Rows = Callable[[Any, Array, Array], Array]  # table, labels, like -> `[…, K]` as `like` lies


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def row_cross_entropy(
    rows: Rows,
    singly: bool,
    table: Any,
    labels: Int[Array, "*batch"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
    logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    """`-Σ_k t_k log p_k` with `t = rows(table, labels, logits)`; log p_k is z_k - peak - log_sum.

    Differentiable in the table, in log_sum and in the logits, in both modes. `singly` says that a
    CPU may take one row after the other: it sums a row of its own in its cache, and a matrix of
    rows, as XLA has them, at a third of that speed.
    """

    def at_once(table: Any, labels: Array, peak: Array, log_sum: Array, logits: Array) -> Array:
        targets = rows(table, labels, logits)
        terms = targets * negative_log_probabilities(logits, peak, log_sum)
        return jnp.where(targets == 0, 0, terms).sum(axis=-1)  # 0 log 0 is 0, as in the limit

    def row_by_row(*operands: Any) -> Array:
        return jax.lax.map(lambda row: at_once(operands[0], *row), operands[1:])

    operands = (table, labels, peak, log_sum, logits)
    is_long = logits.ndim == 2 and logits.shape[1] >= LONG_ROW
    if not (singly and is_long) or meshes.on_several_devices(logits):
        return at_once(*operands)
    return jax.lax.platform_dependent(*operands, cpu=row_by_row, default=at_once)


@partial(row_cross_entropy.defjvp, symbolic_zeros=True)
def _row_cross_entropy_jvp(
    rows: Rows, singly: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Array, Array]:
    """Plain JAX; the checkpoint keeps labels for the way back, where targets would be `[B, K]`."""
    table, labels, peak, log_sum, logits = primals
    d_table, _, _, d_log_sum, d_logits = tangents
    losses = row_cross_entropy(rows, singly, *primals)
    tangent = jnp.zeros_like(losses)
    if not isinstance(d_log_sum, SymbolicZero):
        tangent += rows(table, labels, logits).sum(axis=-1) * d_log_sum
    if not isinstance(d_logits, SymbolicZero):
        tangent -= jax.checkpoint(
            lambda table, d_logits: (rows(table, labels, logits) * d_logits).sum(axis=-1)
        )(table, d_logits)
    if not all(isinstance(leaf, SymbolicZero) for leaf in jax.tree.leaves(d_table)):
        d_table = jax.tree.map(_with_zeros, d_table)
        _, d_rows = jax.jvp(lambda table: rows(table, labels, logits), (table,), (d_table,))
        terms = negative_log_probabilities(logits, peak, log_sum)
        tangent += (d_rows * jnp.where(jnp.isneginf(logits), 0, terms)).sum(axis=-1)
    return losses, tangent


def _with_zeros(tangent: Any) -> Any:
    return jnp.zeros(tangent.shape) if isinstance(tangent, SymbolicZero) else tangent
