"""Where arrays lie: on several devices, on Explicit mesh axes, inside somebody's shard_map."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array


def on_several_devices(array: Any) -> bool:
    """Whether an array lies on a mesh of two devices or more, as far as its type tells."""
    return jax.typeof(array).sharding.mesh.size > 1


def on_explicit_axes(array: Any) -> bool:
    """Whether an array lies on a mesh with axes that ask every operation for a sharding."""
    return AxisType.Explicit in jax.typeof(array).sharding.mesh.axis_types


def by_class(
    function: Callable[..., tuple[Any, Any]],
    matrix: Array,
    *operands: Any,
    class_axis: int | None,
) -> tuple[Any, Any]:
    """`function(matrix, *operands) -> (rows, flaws)`, row i on the devices that hold class i.

    On Auto axes XLA carries the sharding on. Explicit axes would ask for one in every operation, so
    they are Auto inside, and the rows of the result take the sharding of the matrix's `class_axis`;
    None is for numbers, which every device gets.
    """
    if not on_explicit_axes(matrix):
        return function(matrix, *operands)
    spec = jax.typeof(matrix).sharding.spec
    rows = PartitionSpec() if class_axis is None else PartitionSpec(spec[class_axis])
    return on_auto_axes(function, matrix, (rows, PartitionSpec()))(matrix, *operands)


def on_auto_axes(function: Callable[..., Any], like: Any, specs: Any) -> Callable[..., Any]:
    """`function`, with Explicit axes of the mesh of `like` Auto inside, and results of that spec.

    `specs` is a spec, or a tree of them that is the head of the result's.
    """
    if not on_explicit_axes(like):
        return function
    mesh = jax.typeof(like).sharding.mesh
    is_spec = lambda leaf: isinstance(leaf, PartitionSpec)  # noqa: E731
    placed = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=is_spec)
    return cast(Any, jax.sharding.auto_axes(function, out_sharding=placed))


def by_example(cross_entropy: Callable[..., Array]) -> Callable[..., Array]:
    """A method `cross_entropy(table, …, logits)`, also where the mesh axes are Explicit."""

    @functools.wraps(cross_entropy)
    def on_any_axes(*operands: Any) -> Array:
        logits = operands[-1]
        spec = PartitionSpec(*jax.typeof(logits).sharding.spec[:-1])
        return on_auto_axes(cross_entropy, logits, spec)(*operands)

    return on_any_axes


def put(tree: Any, mesh: Any, *spec: Any) -> Any:
    """The same arrays, each split over a mesh by one spec."""
    sharding = NamedSharding(mesh, PartitionSpec(*spec))
    return jax.tree.map(lambda leaf: jax.sharding.reshard(leaf, sharding), tree)


def beside(tree: Any, like: Any) -> Any:
    """The same arrays; where `like` lies on Explicit axes, those on no mesh on all its devices."""
    if not on_explicit_axes(like):
        return tree
    return jax.tree.map(
        lambda leaf: leaf if jax.typeof(leaf).sharding.mesh.size else _everywhere(leaf, like), tree
    )


@partial(jax.jit, keep_unused=True)  # which tells a program outside of any mesh of the devices
def _everywhere(array: Array, like: Array) -> Array:
    return put(array, jax.typeof(like).sharding.mesh)


def split_axes(mesh: Any, axis: Any, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The axes of more than one device among those that a dimension goes over."""
    axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(name for name in axes if mesh.shape[name] > 1 and name not in but)


def varying_axes(*trees: Any) -> frozenset[str]:
    """Axes of a surrounding `shard_map` over which some array differs from device to device."""
    types = [jax.typeof(leaf).manual_axis_type for leaf in jax.tree.leaves(trees)]
    return frozenset().union(*(kind.varying or () for kind in types))


def varying(tree: Any, axes: frozenset[str]) -> Any:
    """The same arrays as ones that may differ over these axes: loops want a carry to stay one."""

    def cast_up(leaf: Any) -> Any:
        missing = tuple(axes - varying_axes(leaf))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast_up, tree)
