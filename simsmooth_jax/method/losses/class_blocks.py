"""Cross-entropy of a linear classifier, forward and back, a block of classes at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array

from simsmooth_jax.method.arrays import meshes
from simsmooth_jax.method.tables.forms import Table

BLOCK = 8192  # classes
LOWEST = float(np.finfo(np.float32).min)
Targets = Callable[[Array, int], Array]  # first class, how many -> `[B, size]` of the target rows


@jax.jit
def forward(
    features: Array, kernel: Array, bias: Array, labels: Array, table: Table
) -> tuple[Array, Array, Array]:
    """Losses `[B]`; and for the way back the log-sum-exp and the sum of each target row."""
    return _on_shards(_forward, kernel, (features,), (kernel, bias), labels, table)


@jax.jit
def backward(
    gradient: Array,
    features: Array,
    kernel: Array,
    bias: Array,
    labels: Array,
    table: Table,
    normaliser: Array,
    mass: Array,
) -> tuple[Array, Array, Array]:
    """Gradients in features, kernel and bias: `(Σ_k t_k) p - t` for each block of logits."""
    by_batch = (features, gradient, normaliser, mass)
    return _on_shards(_backward, kernel, by_batch, (kernel, bias), labels, table)


def _forward(
    by_batch: tuple[Array, ...],
    by_class: tuple[Array, ...],
    targets: Targets,
    batch_axis: Any,
    class_axis: Any,
) -> tuple[Array, Array, Array]:
    (features,), (kernel, bias) = by_batch, by_class
    num_classes, size = kernel.shape[1], min(BLOCK, kernel.shape[1])

    def block(t: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        peak, total, expected, mass = state
        start, is_new = _place(t, num_classes, size)
        logits = jnp.where(is_new, _logits(features, kernel, bias, start, size), -jnp.inf)
        rows = jnp.where(is_new, targets(start, size), 0)
        higher = jnp.maximum(peak, logits.max(axis=1))
        shifted = logits - higher[:, None]
        # Everything is relative to the peak, so that large logits lose no digits.
        expected += mass * (peak - higher) + jnp.where(rows == 0, 0, rows * shifted).sum(axis=1)
        total = total * jnp.exp(peak - higher) + jnp.exp(shifted).sum(axis=1)
        return higher, total, expected, mass + rows.sum(axis=1)

    zeros = jnp.zeros(len(features), jnp.float32)
    empty = (jnp.full_like(zeros, LOWEST), zeros, zeros, zeros)
    empty = meshes.varying(empty, meshes.varying_axes(features))
    peak, total, expected, mass = jax.lax.fori_loop(0, -(-num_classes // size), block, empty)
    if class_axis is not None:
        highest = jax.lax.pmax(peak, class_axis)
        expected = jax.lax.psum(expected + mass * (peak - highest), class_axis)
        total = jax.lax.psum(total * jnp.exp(peak - highest), class_axis)
        peak, mass = highest, jax.lax.psum(mass, class_axis)
    return mass * jnp.log(total) - expected, peak + jnp.log(total), mass


def _backward(
    by_batch: tuple[Array, ...],
    by_class: tuple[Array, ...],
    targets: Targets,
    batch_axis: Any,
    class_axis: Any,
) -> tuple[Array, Array, Array]:
    (features, gradient, normaliser, mass), (kernel, bias) = by_batch, by_class
    num_classes, size = kernel.shape[1], min(BLOCK, kernel.shape[1])
    scale = (gradient * mass)[:, None]

    def block(t: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        d_features, d_kernel, d_bias = state
        start, is_new = _place(t, num_classes, size)
        logits = _logits(features, kernel, bias, start, size)
        d_logits = scale * jnp.exp(logits - normaliser[:, None])
        d_logits -= gradient[:, None] * targets(start, size)
        columns = jax.lax.dynamic_slice_in_dim(kernel, start, size, axis=1)
        # Columns that two blocks share get the same gradient twice, and count once in features.
        d_features += _product(jnp.where(is_new, d_logits, 0), columns.T)
        d_block = _product(features.T, d_logits).astype(kernel.dtype)
        d_kernel = jax.lax.dynamic_update_slice_in_dim(d_kernel, d_block, start, axis=1)
        d_offsets = d_logits.sum(axis=0).astype(bias.dtype)
        return (
            d_features,
            d_kernel,
            jax.lax.dynamic_update_slice_in_dim(d_bias, d_offsets, start, 0),
        )

    empty = (jnp.zeros(features.shape, jnp.float32), jnp.zeros_like(kernel), jnp.zeros_like(bias))
    empty = meshes.varying(empty, meshes.varying_axes(features))
    d_features, *d_head = jax.lax.fori_loop(0, -(-num_classes // size), block, empty)
    if class_axis is not None:
        d_features = jax.lax.psum(d_features, class_axis)
    if batch_axis is not None:
        d_head = jax.lax.psum(d_head, batch_axis)
    return d_features.astype(features.dtype), d_head[0], d_head[1]


def _place(t: Array, num_classes: int, size: int) -> tuple[Array, Array]:
    """Where a block starts, and which of its columns no block before it had: the last overlaps."""
    start = jnp.minimum(t * size, num_classes - size)
    return start, (start + jnp.arange(size, dtype=jnp.int32) >= t * size)[None]


def _logits(features: Array, kernel: Array, bias: Array, start: Array, size: int) -> Array:
    columns = jax.lax.dynamic_slice_in_dim(kernel, start, size, axis=1)
    offsets = jax.lax.dynamic_slice_in_dim(bias, start, size)
    return _product(features, columns) + offsets.astype(jnp.float32)[None]


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _on_shards(
    function: Callable[..., tuple[Array, Array, Array]],
    kernel: Array,
    by_batch: tuple[Array, ...],
    by_class: tuple[Array, ...],
    labels: Array,
    table: Table,
) -> Any:
    """Calls `function` once, or on Explicit axes with each device's share of batch and classes."""
    sharding = jax.typeof(kernel).sharding
    if not meshes.on_explicit_axes(kernel):
        targets = partial(table.block, table.of_batch(labels), table.of_class(), 0)
        return function(by_batch, by_class, targets, None, None)
    mesh = sharding.mesh
    classes = meshes.split_axes(mesh, sharding.spec[1]) or None
    rows = jax.typeof(by_batch[0]).sharding.spec[0]
    batch = meshes.split_axes(mesh, rows, but=classes or ()) or None
    given = (by_batch[0], *by_class)
    labels = meshes.put(labels, mesh, batch)
    of_batch, of_class = meshes.beside(table, kernel).shares(labels, batch, classes)
    by_batch = meshes.put(by_batch, mesh, batch)
    by_class = tuple(meshes.put(x, mesh, *[None] * (x.ndim - 1), classes) for x in by_class)

    def local(by_batch: Any, by_class: Any, of_batch: Any, of_class: Any) -> Any:
        first = 0 if classes is None else jax.lax.axis_index(classes) * by_class[0].shape[1]
        targets = partial(table.block, of_batch, of_class, first)
        return function(by_batch, by_class, targets, batch, classes)

    operands = (by_batch, by_class, of_batch, of_class)
    specs = jax.tree.map(lambda x: jax.typeof(x).sharding.spec, operands)
    out = (PartitionSpec(batch),) * 3 if function is _forward else (specs[0][0], *specs[1])
    program = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)
    found = program(*operands)
    if function is _forward:
        return found
    return tuple(
        meshes.put(x, mesh, *jax.typeof(y).sharding.spec) for x, y in zip(found, given, strict=True)
    )
