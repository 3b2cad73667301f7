"""Cross-entropy of integer labels against a table of soft labels."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method import checks, strips
from simsmooth_jax.method.tables import (
    FactoredLabels,
    LabelTable,
    TopKLabels,
    compact_cross_entropy,
    negative_log_probabilities,
    refuse_table,
    rows_of,
)

LONG_ROW = 2048  # classes


def softmax_cross_entropy_with_label_table(
    logits: Shaped[Array | np.ndarray, "*batch classes"],
    labels: Int[Array | np.ndarray, "*batch"],
    table: LabelTable,
    *,
    where: Bool[Array | np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    """Cross-entropy of `softmax(logits)` against row `labels` of a table of soft labels.

    `loss = -Σ_k t_k log softmax(z)_k` with `t = table[label]`. With the identity as the table it is
    `optax.softmax_cross_entropy_with_integer_labels`; every other method of label smoothing is
    another table, so one compiled training step serves them all.

    No one-hot vector and no `[..., K]` array of targets is built. Differentiable in logits and
    table, in reverse and forward mode; the gradient in the logits is `(Σ_k t_k) softmax(z) - t`. A
    class with logit -inf and no weight in the label contributes nothing. Works on batches and
    classes that are sharded over Auto and Explicit mesh axes.

    Args:
      logits: `[..., K]` float of any precision; computed in float32.
      labels: `[...]` integer, the class of each example, in [0, K). A label outside gives NaN
        instead of another class's row, because a compiled program cannot raise.
      table: row y is the target of class y and should sum to 1: `[K, K]` real, or what
        `top_k_labels` or `factored_labels` give where that would not fit.
      where: `[...]` bool; examples with False have loss 0 and gradient 0, whatever they hold.

    Returns:
      `[...]` float32, in nats.

    Raises:
      ValueError: shapes do not match, labels are not integers, or `where` is not boolean.

    Source: CN 112434722 A, [0058]; [0060] with the identity table.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> logits = jnp.array([[2.0, 0.0, -2.0], [0.0, 1.0, 0.0]])
      >>> table = ss.uniform_labels(3, 0.1)
      >>> loss = ss.softmax_cross_entropy_with_label_table(logits, jnp.array([0, 1]), table)
      >>> print(np.asarray(loss).round(4))
      [0.3429 0.6181]
    """
    _refuse_arguments(logits, labels, table, where)
    logits = jnp.asarray(logits, jnp.float32)
    num_classes = logits.shape[-1]
    if isinstance(labels, np.ndarray):  # 64 bits would be cut to 32, into the range perhaps
        labels = np.clip(labels.astype(np.int64), -1, num_classes)
    labels = jnp.asarray(labels, jnp.int32)
    is_known = (labels >= 0) & (labels < num_classes)
    labels = jnp.clip(labels, 0, num_classes - 1)
    if where is not None:  # before the formula, so that NaN in padding reaches no gradient
        logits = jnp.where(where[..., None], logits, 0)
        is_known |= ~where
    peak = jax.lax.stop_gradient(logits.max(axis=-1))
    if num_classes >= LONG_ROW:  # with the gradient, XLA gives this no second [B, K] array
        log_sum = jax.nn.logsumexp(logits, axis=-1) - peak
    else:  # no digits are lost below a large peak
        log_sum = jnp.log(jnp.exp(logits - peak[..., None]).sum(axis=-1))
    if isinstance(table, TopKLabels | FactoredLabels):
        losses = compact_cross_entropy(table, labels, peak, log_sum, logits)
    else:
        losses = _dense(jnp.asarray(table, jnp.float32), labels, peak, log_sum, logits)
    losses *= jnp.where(is_known, jnp.float32(1), jnp.nan)  # their gradients are NaN as well
    return losses if where is None else jnp.where(where, losses, 0)


@jax.custom_jvp
def _dense(
    table: Float[Array, "classes classes"],
    labels: Int[Array, "*batch"],
    peak: Float[Array, "*batch"],
    log_sum: Float[Array, "*batch"],
    logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    """`-Σ_k t_k log p_k`, with `log p_k = (z_k - peak) - log_sum`."""

    def at_once(table: Array, labels: Array, peak: Array, log_sum: Array, logits: Array) -> Array:
        targets = rows_of(table, labels, like=logits)
        terms = targets * negative_log_probabilities(logits, peak, log_sum)
        return jnp.where(targets == 0, 0, terms).sum(axis=-1)  # 0 log 0 is 0, as in the limit

    def row_by_row(*operands: Array) -> Array:
        return jax.lax.map(lambda row: at_once(operands[0], *row), operands[1:])

    operands = (table, labels, peak, log_sum, logits)
    if logits.ndim != 2 or logits.shape[1] < LONG_ROW or strips.on_several_devices(logits):
        return at_once(*operands)
    # XLA sums a row of its own in a CPU's cache, and a matrix of rows at a third of that speed.
    return jax.lax.platform_dependent(*operands, cpu=row_by_row, default=at_once)


@partial(_dense.defjvp, symbolic_zeros=True)
def _dense_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """Plain JAX; the checkpoint keeps labels for the way back, where targets would be `[B, K]`."""
    table, labels, peak, log_sum, logits = primals
    d_table, _, _, d_log_sum, d_logits = tangents
    losses = _dense(*primals)
    tangent = jnp.zeros_like(losses)
    if not isinstance(d_log_sum, SymbolicZero):
        tangent += rows_of(table, labels, like=logits).sum(axis=-1) * d_log_sum
    if not isinstance(d_logits, SymbolicZero):
        tangent -= jax.checkpoint(
            lambda table, d_logits: (rows_of(table, labels, like=logits) * d_logits).sum(axis=-1)
        )(table, d_logits)
    if not isinstance(d_table, SymbolicZero):
        terms = negative_log_probabilities(logits, peak, log_sum)
        terms = rows_of(d_table, labels, like=logits) * jnp.where(jnp.isneginf(logits), 0, terms)
        tangent += terms.sum(axis=-1)
    return losses, tangent


def _refuse_arguments(logits: Any, labels: Any, table: Any, where: Any) -> None:
    function = "softmax_cross_entropy_with_label_table"
    for argument, value in {"logits": logits, "labels": labels, "where": where}.items():
        if value is not None:
            checks.array(function, argument, value)
    logits_shape, labels_shape = np.shape(logits), np.shape(labels)
    if not jnp.issubdtype(jnp.result_type(logits), jnp.floating) or not logits_shape:
        raise InputError(
            f"{function}: logits must be floating point [..., K], got "
            f"{jnp.result_type(logits)}{list(logits_shape)}. "
            "Pass what the model gives before softmax."
        )
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise InputError(
            f"{function}: labels must be integer class indices, got dtype "
            f"{jnp.result_type(labels)}. For dense soft labels use optax.softmax_cross_entropy."
        )
    if labels_shape != logits_shape[:-1]:
        raise InputError(
            f"{function}: labels must have the shape of logits without the class axis, "
            f"{logits_shape[:-1]}, got {labels_shape}. Labels are indices, not one-hot vectors."
        )
    refuse_table(function, table, logits_shape[-1])
    if where is not None and (where.dtype != bool or where.shape != labels_shape):
        raise InputError(
            f"{function}: where must be boolean of shape {labels_shape}, got "
            f"{where.dtype}{list(where.shape)}. It masks whole examples."
        )
