"""Large tables a strip of rows at a time, so that what is computed on the way stays small."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from simsmooth_jax.method.arrays import meshes

STRIP_ENTRIES = 2**22  # of a table at a time: 16 MiB


def in_strips(
    function: Callable[[Array, Array], tuple[Array, dict[str, Array]]],
    matrix: Float[Array, "classes classes"],
) -> tuple[Float[Array, "classes classes"], dict[str, Array]]:
    """`function(rows, index) -> (rows, values)`, a strip of rows at a time and in their place."""
    num_rows = matrix.shape[0]
    size = max(1, STRIP_ENTRIES // num_rows)
    num_strips = -(-num_rows // size)
    if num_rows <= size or meshes.on_several_devices(matrix):  # XLA splits one program best
        return function(matrix, jnp.arange(num_rows, dtype=jnp.int32))

    def place(t: Array) -> tuple[Array, Array]:
        start = jnp.minimum(t * size, num_rows - size)
        return start, start + jnp.arange(size, dtype=jnp.int32)

    # Rows travel with the loop: XLA would read them from the table while it is written, by a copy.
    def strip(t: Array, state: tuple[Array, Array, Any]) -> tuple[Array, Array, Any]:
        matrix, rows, values = state
        start, index = place(t)
        is_new = index >= t * size  # the last strip overlaps the one before it
        new, found = function(jnp.where(is_new[:, None], rows, 1), index)
        new = jnp.where(is_new[:, None], new, rows)
        matrix = jax.lax.dynamic_update_slice_in_dim(matrix, new, start, 0)
        following = jax.lax.dynamic_slice_in_dim(matrix, place(t + 1)[0], size)
        index = jnp.where(is_new, index, num_rows)
        tell_watcher(num_strips)
        return matrix, following, {n: values[n].at[index].set(found[n], mode="drop") for n in found}

    shapes = jax.eval_shape(function, matrix[:1], jnp.arange(1, dtype=jnp.int32))[1]
    values = {name: jnp.zeros(num_rows, shapes[name].dtype) for name in shapes}
    values = meshes.varying(values, meshes.varying_axes(matrix))
    state = (matrix, matrix[:size], values)
    matrix, _, values = jax.lax.fori_loop(0, num_strips, strip, state)
    return matrix, values


# Called with the number of strips after each of them, by programs that are called in the context
# `watched_by(watcher)`; it is a part of jit's key, and the others have no callback in them.
watched_by = jax.make_user_context(None)


def tell_watcher(num_strips: int) -> None:
    """One more strip of so many is done, inside of a compiled loop."""
    watcher: Any = watched_by.value
    if watcher is not None and num_strips > 1:
        jax.debug.callback(partial(watcher, num_strips))


def assemble(strip: Callable[[Array], Any], num_rows: int, size: int, source: Any = ()) -> Any:
    """`strip(start)` for every strip of `size` rows, put together; the last one overlaps.

    It gives a tree of arrays, row i of each of them that of `start + i`. `source` is what it
    computes from, where that may be traced.
    """
    num_strips = -(-num_rows // size)

    def put(t: Array, rows: Any) -> Any:
        start = jnp.minimum(t * size, num_rows - size)
        place = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=0)
        rows = jax.tree.map(place, rows, strip(start))
        tell_watcher(num_strips)
        return rows

    shapes = jax.eval_shape(strip, jax.ShapeDtypeStruct((), jnp.int32))
    empty = jax.tree.map(lambda x: jnp.zeros((num_rows, *x.shape[1:]), x.dtype), shapes)
    empty = meshes.varying(empty, meshes.varying_axes(source))
    return jax.lax.fori_loop(0, num_strips, put, empty)


def largest(
    values: Float[Array, "rows columns"], k: int, num_columns: int
) -> tuple[Float[Array, "rows k"], Int[Array, "rows k"]]:
    """`jax.lax.top_k` of the first columns: they all lie in the k groups of the largest maxima.

    The columns must fill the groups: XLA then reads them where they lie, in a third of the time
    that groups of a slice or of a padded copy take.
    """
    group = group_size(num_columns, k)
    num_rows = len(values)
    groups = values.reshape(num_rows, -1, group)
    num_groups = groups.shape[1]
    is_column = (
        jnp.arange((num_groups - 1) * group, num_groups * group, dtype=jnp.int32)[None]
        < num_columns
    )
    last = jnp.where(is_column, groups[:, -1], -jnp.inf)
    maxima = groups.max(axis=2).at[:, -1].set(last.max(axis=1))
    chosen = jnp.sort(jax.lax.top_k(maxima, min(k, num_groups))[1], axis=1)  # for equal values
    candidates = jnp.take_along_axis(groups, chosen[:, :, None], axis=1)
    columns = chosen[:, :, None] * group + jnp.arange(group, dtype=jnp.int32)[None, None]
    candidates = jnp.where(columns < num_columns, candidates, -jnp.inf)
    kept, place = jax.lax.top_k(candidates.reshape(num_rows, -1), k)
    return kept, jnp.take_along_axis(columns.reshape(num_rows, -1), place, axis=1)


def group_size(num_columns: int, k: int) -> int:
    """Columns in a group: as many groups as there are candidates in k of them."""
    return max(1, round((num_columns / k) ** 0.5))
