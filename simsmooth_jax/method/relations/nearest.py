"""The k classes that are nearest to each: strips of cosines, around a ring where devices share."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from simsmooth_jax.method.arrays import meshes
from simsmooth_jax.method.arrays.strips import assemble, group_size, largest
from simsmooth_jax.method.relations.similarity import products

STRIP_ENTRIES = 2**23  # similarities at a time: 32 MiB


class Nearest(NamedTuple):
    """Of each class the k nearest, itself first, then by falling cosine and rising index."""

    similarity: Float[Array, "classes k"]  # inf at the class itself
    index: Int[Array, "classes k"]
    least: Float[Array, " classes"]  # cosine to any class


def nearest_classes(unit: Float[Array, "features classes"], k: int) -> Nearest:
    """The k nearest of unit columns, in memory for k of each class and a strip of all.

    Columns that are split over Explicit mesh axes stay where they are: each device finds the
    nearest of its own classes, while blocks of columns go around.
    """
    sharding = jax.typeof(unit).sharding
    classes = meshes.split_axes(sharding.mesh, sharding.spec[1])
    if classes and meshes.on_explicit_axes(unit):
        return _around_ring(unit, k, sharding.mesh, classes)
    return meshes.on_auto_axes(partial(_in_strips, k=k), unit, PartitionSpec())(unit)


def _in_strips(unit: Array, k: int) -> Nearest:
    vectors = unit.T
    return Nearest(**_of_block(vectors, 0, vectors, 0, k))


def _of_block(
    vectors: Float[Array, "rows features"],
    first_row: Any,
    others: Float[Array, "columns features"],
    first_column: Any,
    k: int,
) -> dict[str, Array]:
    """The nearest among some classes, of which `first_column` is the first."""
    num_rows, num_columns = len(vectors), len(others)
    size = min(num_rows, max(1, STRIP_ENTRIES // num_columns))
    others = jnp.pad(others, ((0, -num_columns % group_size(num_columns, k)), (0, 0)))

    def strip(start: Array) -> dict[str, Array]:
        similarity = products(jax.lax.dynamic_slice_in_dim(vectors, start, size), others)
        least = similarity[:, :num_columns].min(axis=1)
        rows = jnp.arange(size, dtype=jnp.int32)
        own = first_row + start + rows - first_column
        own = jnp.where((own >= 0) & (own < num_columns), own, similarity.shape[1])
        above = similarity.at[rows, own].set(jnp.inf, mode="drop")
        kept, index = largest(above, k, num_columns)
        return {"similarity": kept, "index": first_column + index, "least": least}

    return assemble(strip, num_rows, size, (vectors, others))


def _around_ring(unit: Array, k: int, mesh: Any, classes: tuple[str, ...]) -> Nearest:
    parts = math.prod(mesh.shape[name] for name in classes)
    unit = meshes.put(unit, mesh, None, classes)

    def local(unit: Array) -> Nearest:
        vectors = unit.T
        size, me = len(vectors), jax.lax.axis_index(classes)
        ring = [(device, (device - 1) % parts) for device in range(parts)]

        def meet(t: Array, state: tuple[Array, Nearest]) -> tuple[Array, Nearest]:
            block, found = state
            new = _of_block(vectors, me * size, block, (me + t) % parts * size, min(k, size))
            # By falling cosine, and where these are equal by rising index.
            keys = jnp.concatenate([-found.similarity, -new["similarity"]], axis=1)
            index = jnp.concatenate([found.index, new["index"]], axis=1)
            keys, index = jax.lax.sort((keys, index), dimension=1, num_keys=2)
            least = jnp.minimum(found.least, new["least"])
            block = jax.lax.ppermute(block, classes, ring)
            return block, Nearest(-keys[:, :k], index[:, :k], least)

        nothing = Nearest(
            jnp.full((size, k), -jnp.inf, jnp.float32),
            jnp.full((size, k), parts * size, jnp.int32),
            jnp.full(size, jnp.inf, jnp.float32),
        )
        nothing = meshes.varying(nothing, meshes.varying_axes(vectors))
        return jax.lax.fori_loop(0, parts, meet, (vectors, nothing))[1]

    columns, rows = PartitionSpec(None, classes), PartitionSpec(classes)
    return jax.shard_map(local, mesh=mesh, in_specs=columns, out_specs=rows)(unit)
