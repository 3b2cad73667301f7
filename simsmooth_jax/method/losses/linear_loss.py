"""Final Dense layer and cross-entropy in one, a block of classes at a time: no `[B, K]` logits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Shaped

from simsmooth_jax.errors import InputError
from simsmooth_jax.method.arrays import meshes, operands
from simsmooth_jax.method.losses.class_blocks import backward, forward
from simsmooth_jax.method.tables import targets
from simsmooth_jax.method.tables.forms import LabelTable, table_for_logits


def linear_cross_entropy_with_label_table(
    features: Shaped[Array | np.ndarray, "*batch features"],
    kernel: Shaped[Array | np.ndarray, "features classes"],
    labels: Int[Array | np.ndarray, "*batch"],
    table: LabelTable,
    bias: Shaped[Array | np.ndarray, " classes"] | None = None,
    *,
    where: Bool[Array | np.ndarray, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    """Cross-entropy of `softmax(features @ kernel + bias)` against rows of a label table.

    `softmax_cross_entropy_with_label_table(features @ kernel + bias, labels, table)` without its
    logits: blocks of classes with a running log-sum-exp, which the way back computes again. A
    classifier of a million classes trains in the memory of its kernel, the kernel's gradient and
    the table.

    Differentiable in features, kernel and bias in reverse mode; the table is data. On Explicit mesh
    axes each device goes through the classes that it holds; what is exchanged is sums, and the rows
    of the batch: no table and no kernel. On Auto axes XLA gathers a kernel that is split over
    classes, once in each direction.

    Args:
      features: `[..., N]` float, what the final Dense layer is given.
      kernel: `[N, K]` float, features first, as in `flax.linen.Dense`.
      labels: `[...]` integer, in [0, K). A label outside gives NaN.
      table: row y is the target of class y: `[K, K]`, or what `top_k_labels` or `factored_labels`
        give.
      bias: `[K]` float, if the layer has one.
      where: `[...]` bool; examples with False have loss 0 and gradient 0, whatever they hold.

    Returns:
      `[...]` float32, in nats.

    Raises:
      ValueError: shapes do not match, labels are not integers, `where` is not boolean, the table is
        differentiated, or it is one that `softmax_cross_entropy_with_label_table` refuses.

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
    table = _data(jax.tree.map(jnp.asarray, table_for_logits(function, table, num_classes)))
    bias = jnp.zeros(num_classes, jnp.float32) if bias is None else bias
    mesh = features if meshes.on_explicit_axes(features) else kernel
    features, kernel, bias, labels = meshes.beside((features, kernel, bias, labels), mesh)
    known, is_known = targets.in_range(labels, num_classes)
    features, kernel, bias = (_in_32_bits(jnp.asarray(x)) for x in (features, kernel, bias))
    if where is not None:  # before the formula, so that NaN in padding reaches no gradient
        where = operands.mask(function, where, labels.shape)
        features = jnp.where(where[..., None], features, 0)
        is_known |= ~where
    batch = (_one_axis(features, 1), kernel, bias, _one_axis(known, 0), table)
    # A gradient in what all devices of a `shard_map` share is summed over them by this cast.
    losses = _fused(*meshes.varying(batch, meshes.varying_axes(batch)))
    losses = targets.nan_where_unknown(_many_axes(losses, known), is_known)
    return losses if where is None else jnp.where(where, losses, 0)


@jax.custom_jvp
def _data(table: Any) -> Any:
    """The table itself, which has no gradient here."""
    return table


@_data.defjvp
def _refuse_gradient(primals: Any, tangents: Any) -> Any:
    raise InputError(
        "linear_cross_entropy_with_label_table: table",
        "not be differentiated",
        "a gradient through it",
        "Use softmax_cross_entropy_with_label_table, or jax.lax.stop_gradient.",
    )


@jax.custom_vjp
def _fused(features: Array, kernel: Array, bias: Array, labels: Array, table: Any) -> Array:
    return forward(features, kernel, bias, labels, table)[0]


def _fused_forward(*arguments: Any) -> tuple[Array, tuple[Any, ...]]:
    losses, *kept = forward(*arguments)
    return losses, (*arguments, *kept)


def _fused_backward(kept: tuple[Any, ...], gradient: Array) -> tuple[Any, ...]:
    return (*backward(gradient, *kept), None, None)


_fused.defvjp(_fused_forward, _fused_backward)


def _in_32_bits(array: Array) -> Array:
    return array.astype(jnp.float32) if array.dtype.itemsize == 8 else array


def _one_axis(array: Array, after: int) -> Array:
    """Leading axes as one, whatever devices they go over."""
    lead = array.ndim - after
    if lead == 1:
        return array
    sharding = None
    if meshes.on_explicit_axes(array):
        mesh, spec = jax.typeof(array).sharding.mesh, jax.typeof(array).sharding.spec
        axes = tuple(jax.tree.leaves(tuple(spec[:lead])))
        sharding = NamedSharding(mesh, PartitionSpec(axes or None, *spec[lead:]))
    return jnp.reshape(array, (-1, *array.shape[lead:]), out_sharding=sharding)


def _many_axes(losses: Array, like: Array) -> Array:
    if like.ndim == 1:
        return losses
    sharding = jax.typeof(like).sharding if meshes.on_explicit_axes(like) else None
    return jnp.reshape(losses, like.shape, out_sharding=sharding)


def _opened(
    function: str, features: Any, kernel: Any, labels: Any, bias: Any
) -> tuple[Any, Any, Any, Any]:
    kernel = operands.matrix(function, "kernel", kernel, "[N, K]")
    num_features, num_classes = kernel.shape
    shape, advice = f"[..., {num_features}]", "Pass what the final Dense layer is given."
    features = operands.floats(function, "features", features, shape, advice)
    if features.shape[-1:] != (num_features,):
        must, got = f"be floating point {shape}", f"{features.dtype}{list(features.shape)}"
        raise InputError(f"{function}: features", must, got, advice)
    advice = "Labels are indices, not one-hot vectors."
    labels = operands.integers(function, "labels", labels, advice)
    if labels.shape != features.shape[:-1]:
        raise InputError(
            f"{function}: labels",
            f"be integers of shape {features.shape[:-1]}",
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
