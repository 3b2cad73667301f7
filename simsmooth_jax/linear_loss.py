"""Final Dense layer and cross-entropy in one, a block of classes at a time: no `[B, K]` logits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax import checks
from simsmooth_jax.errors import InputError
from simsmooth_jax.tables import FactoredLabels, LabelTable, TopKLabels, refuse_table

BLOCK = 8192  # classes
LOWEST = float(np.finfo(np.float32).min)


def linear_cross_entropy_with_label_table(
    features: Shaped[Array | np.ndarray, "batch features"],
    kernel: Shaped[Array | np.ndarray, "features classes"],
    labels: Int[Array | np.ndarray, " batch"],
    table: LabelTable,
    bias: Shaped[Array | np.ndarray, " classes"] | None = None,
) -> Float[Array, " batch"]:
    """Cross-entropy of `softmax(features @ kernel + bias)` against rows of a label table.

    `softmax_cross_entropy_with_label_table(features @ kernel + bias, labels, table)` without its
    logits: blocks of classes with a running log-sum-exp, which the way back computes again. A
    classifier of a million classes trains in the memory of its kernel, the kernel's gradient and
    the table.

    Differentiable in features, kernel and bias in reverse mode; the table is data.

    Args:
      features: `[B, N]` float, what the final Dense layer is given.
      kernel: `[N, K]` float, features first, as in `flax.linen.Dense`.
      labels: `[B]` integer, in [0, K). A label outside gives NaN.
      table: row y is the target of class y: `[K, K]`, or what `top_k_labels` or `factored_labels`
        give.
      bias: `[K]` float, if the layer has one.

    Returns:
      `[B]` float32, in nats.

    Raises:
      ValueError: shapes do not match, labels are not integers, or the table is differentiated.

    Source: CN 112434722 A, [0058].

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> import simsmooth_jax as ss
      >>> kernel = jnp.array([[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]])  # 2 features, 3 classes
      >>> table = ss.top_k_labels(kernel, 2)
      >>> features, labels = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([1, 2])
      >>> loss = ss.linear_cross_entropy_with_label_table(features, kernel, labels, table)
      >>> print(np.asarray(loss).round(4))
      [0.8218 0.7632]
    """
    _refuse_arguments(features, kernel, labels, table, bias)
    num_classes = kernel.shape[1]
    if isinstance(labels, np.ndarray):  # 64 bits would be cut to 32, into the range perhaps
        labels = np.clip(labels.astype(np.int64), -1, num_classes)
    labels = jnp.asarray(labels, jnp.int32)
    is_known = (labels >= 0) & (labels < num_classes)
    labels = jnp.clip(labels, 0, num_classes - 1)
    if bias is None:
        bias = jnp.zeros(num_classes, jnp.float32)
    table = jax.tree.map(jnp.asarray, table)
    losses = _fused(jnp.asarray(features), jnp.asarray(kernel), jnp.asarray(bias), labels, table)
    return losses * jnp.where(is_known, jnp.float32(1), jnp.nan)


@jax.custom_vjp
def _fused(features: Array, kernel: Array, bias: Array, labels: Array, table: Any) -> Array:
    return _forward(features, kernel, bias, labels, table)[0]


def _forward(
    features: Array, kernel: Array, bias: Array, labels: Array, table: Any
) -> tuple[Array, tuple[Array, Array]]:
    """Losses, and for the way back the log-sum-exp and the sum of each target row."""
    num_classes, size = kernel.shape[1], min(BLOCK, kernel.shape[1])
    target = _targets(table, labels, size)

    def block(t: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        peak, total, expected, mass = state
        start, is_new = _place(t, num_classes, size)
        logits = jnp.where(is_new, _logits(features, kernel, bias, start, size), -jnp.inf)
        targets = jnp.where(is_new, target(start), 0)
        higher = jnp.maximum(peak, logits.max(axis=1))
        shifted = logits - higher[:, None]
        # Everything is kept relative to the peak, so that large logits lose no digits.
        return (
            higher,
            total * jnp.exp(peak - higher) + jnp.exp(shifted).sum(axis=1),
            expected
            + mass * (peak - higher)
            + jnp.where(targets == 0, 0, targets * shifted).sum(axis=1),
            mass + targets.sum(axis=1),
        )

    zeros = jnp.zeros(len(labels), jnp.float32)
    start = (jnp.full(len(labels), LOWEST, jnp.float32), zeros, zeros, zeros)
    peak, total, expected, mass = jax.lax.fori_loop(0, -(-num_classes // size), block, start)
    return mass * jnp.log(total) - expected, (peak + jnp.log(total), mass)


def _fused_forward(*arguments: Any) -> tuple[Array, tuple[Any, ...]]:
    if any(
        x.perturbed
        for x in jax.tree.leaves(arguments[4], is_leaf=lambda x: hasattr(x, "perturbed"))
    ):
        raise InputError(
            "linear_cross_entropy_with_label_table: table must not be differentiated, got a "
            "gradient through it. Use softmax_cross_entropy_with_label_table, or "
            "jax.lax.stop_gradient."
        )
    values = jax.tree.map(lambda leaf: leaf.value, arguments, is_leaf=_is_primal)
    losses, kept = _forward(*values)
    return losses, (*values, *kept)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _fused_backward(kept: tuple[Any, ...], gradient: Any) -> tuple[Any, ...]:
    """The gradient of a block of logits is `(Σ_k t_k) p - t`; each block is written once."""
    features, kernel, bias, labels, table, normaliser, mass = kept
    if isinstance(gradient, SymbolicZero):
        gradient = jnp.zeros(gradient.shape, gradient.dtype)
    num_classes, size = kernel.shape[1], min(BLOCK, kernel.shape[1])
    target = _targets(table, labels, size)
    scale = (gradient * mass)[:, None]

    def block(t: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        d_features, d_kernel, d_bias = state
        start, is_new = _place(t, num_classes, size)
        logits = _logits(features, kernel, bias, start, size)
        d_logits = scale * jnp.exp(logits - normaliser[:, None])
        d_logits -= gradient[:, None] * target(start)
        d_block = _product(features.T, d_logits).astype(kernel.dtype)
        columns = jax.lax.dynamic_slice_in_dim(kernel, start, size, axis=1)
        return (
            d_features + _product(jnp.where(is_new, d_logits, 0), columns.T),
            jax.lax.dynamic_update_slice_in_dim(d_kernel, d_block, start, axis=1),
            jax.lax.dynamic_update_slice_in_dim(
                d_bias, d_logits.sum(axis=0).astype(bias.dtype), start, axis=0
            ),
        )

    empty = (
        jnp.zeros(features.shape, jnp.float32),
        jnp.zeros_like(kernel),
        jnp.zeros_like(bias),
    )
    d_features, d_kernel, d_bias = jax.lax.fori_loop(0, -(-num_classes // size), block, empty)
    return d_features.astype(features.dtype), d_kernel, d_bias, None, None


_fused.defvjp(_fused_forward, _fused_backward, symbolic_zeros=True)


def _place(t: Array, num_classes: int, size: int) -> tuple[Array, Array]:
    """Where a block starts, and which of its columns no block before it had: the last overlaps."""
    start = jnp.minimum(t * size, num_classes - size)
    return start, (start + jnp.arange(size) >= t * size)[None]


def _logits(features: Array, kernel: Array, bias: Array, start: Array, size: int) -> Array:
    columns = jax.lax.dynamic_slice_in_dim(kernel, start, size, axis=1)
    offsets = jax.lax.dynamic_slice_in_dim(bias, start, size)
    return _product(features, columns) + offsets.astype(jnp.float32)[None]


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _targets(table: Any, labels: Array, size: int) -> Any:
    """`start -> [B, size]`: the batch's target rows at a block of classes, in any form of table."""
    if isinstance(table, TopKLabels):
        indices, weights = table.indices[labels], jnp.asarray(table.weights, jnp.float32)[labels]
        rows = jnp.arange(len(labels))[:, None]

        def scattered(start: Array) -> Array:
            place = indices - start
            place = jnp.where((place >= 0) & (place < size), place, size)
            return jnp.zeros((len(labels), size)).at[rows, place].add(weights, mode="drop")

        return scattered
    if isinstance(table, FactoredLabels):
        own, sums = table.kernel.T[labels], table.row_sums[labels][:, None]
        shift = table.rule == "shift"

        def factored(start: Array) -> Array:
            block = jax.lax.dynamic_slice_in_dim(table.kernel, start, size, axis=1)
            similar = jnp.matmul(own, block, precision=jax.lax.Precision.HIGHEST)
            relation = (1 + similar) / (table.kernel.shape[1] + sums) if shift else similar / sums
            is_own = labels[:, None] == (start + jnp.arange(size))[None]
            return (1 - table.epsilon) * is_own + table.epsilon * relation

        return factored

    def dense(start: Array) -> Array:
        columns = jax.lax.dynamic_slice_in_dim(table, start, size, axis=1)
        return jnp.asarray(columns[labels], jnp.float32)

    return dense


def _refuse_arguments(features: Any, kernel: Any, labels: Any, table: Any, bias: Any) -> None:
    function = "linear_cross_entropy_with_label_table"
    checks.real_matrix(function, "kernel", kernel, "[N, K]")
    for argument, value in {"features": features, "labels": labels, "bias": bias}.items():
        if value is not None:
            checks.array(function, argument, value)
    num_features, num_classes = kernel.shape
    if not jnp.issubdtype(features.dtype, jnp.floating) or features.shape[1:] != (num_features,):
        raise InputError(
            f"{function}: features must be floating point [B, {num_features}], got "
            f"{features.dtype}{list(features.shape)}. Pass what the final Dense layer is given."
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer) or labels.shape != features.shape[:1]:
        raise InputError(
            f"{function}: labels must be integers of shape ({features.shape[0]},), got "
            f"{labels.dtype}{list(labels.shape)}. Labels are indices, not one-hot vectors."
        )
    if bias is not None and bias.shape != (num_classes,):
        raise InputError(
            f"{function}: bias must have shape ({num_classes},), got {bias.shape}. "
            "It has an entry for each column of the kernel."
        )
    refuse_table(function, table, num_classes)
