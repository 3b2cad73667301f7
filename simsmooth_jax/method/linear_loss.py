"""Final Dense layer and cross-entropy in one, a block of classes at a time: no `[B, K]` logits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method import operands, targets
from simsmooth_jax.method.class_blocks import backward, forward
from simsmooth_jax.method.tables import LabelTable, table_for_logits


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

    Differentiable in features, kernel and bias in reverse mode; the table is data. On Explicit mesh
    axes each device goes through the classes that it holds, and sums are all that is exchanged.

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
    function = "linear_cross_entropy_with_label_table"
    features, kernel, labels, bias = _opened(function, features, kernel, labels, bias)
    num_classes = kernel.shape[1]
    arrays = jax.tree.map(jnp.asarray, table_for_logits(function, table, num_classes))
    known, is_known = targets.in_range(labels, num_classes)
    if bias is None:
        bias = jnp.zeros(num_classes, jnp.float32)
    losses = _fused(jnp.asarray(features), jnp.asarray(kernel), jnp.asarray(bias), known, arrays)
    return targets.nan_where_unknown(losses, is_known)


@jax.custom_vjp
def _fused(features: Array, kernel: Array, bias: Array, labels: Array, table: Any) -> Array:
    return forward(features, kernel, bias, labels, table)[0]


def _fused_forward(*arguments: Any) -> tuple[Array, tuple[Any, ...]]:
    if any(leaf.perturbed for leaf in jax.tree.leaves(arguments[4], is_leaf=_is_primal)):
        raise InputError(
            "linear_cross_entropy_with_label_table: table",
            "not be differentiated",
            "a gradient through it",
            "Use softmax_cross_entropy_with_label_table, or jax.lax.stop_gradient.",
        )
    values = jax.tree.map(lambda leaf: leaf.value, arguments, is_leaf=_is_primal)
    losses, *kept = forward(*values)
    return losses, (*values, *kept)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _fused_backward(kept: tuple[Any, ...], gradient: Any) -> tuple[Any, ...]:
    if isinstance(gradient, SymbolicZero):
        gradient = jnp.zeros(gradient.shape)
    return (*backward(gradient, *kept), None, None)


_fused.defvjp(_fused_forward, _fused_backward, symbolic_zeros=True)


def _opened(
    function: str, features: Any, kernel: Any, labels: Any, bias: Any
) -> tuple[Any, Any, Any, Any]:
    kernel = operands.matrix(function, "kernel", kernel, "[N, K]")
    num_features, num_classes = kernel.shape
    shape, advice = f"[B, {num_features}]", "Pass what the final Dense layer is given."
    features = operands.floats(function, "features", features, shape, advice)
    if features.shape[1:] != (num_features,):
        must, got = f"be floating point {shape}", f"{features.dtype}{list(features.shape)}"
        raise InputError(f"{function}: features", must, got, advice)
    advice = "Labels are indices, not one-hot vectors."
    labels = operands.integers(function, "labels", labels, advice)
    if labels.shape != features.shape[:1]:
        raise InputError(
            f"{function}: labels",
            f"be integers of shape ({features.shape[0]},)",
            f"{labels.dtype}{list(labels.shape)}",
            advice,
        )
    bias = None if bias is None else operands.real(function, "bias", bias)
    if bias is not None and bias.shape != (num_classes,):
        raise InputError(
            f"{function}: bias",
            f"have shape ({num_classes},)",
            bias.shape,
            "It has an entry for each column of the kernel.",
        )
    return features, kernel, labels, bias
