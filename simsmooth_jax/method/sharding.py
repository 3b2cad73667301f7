"""Matrices that lie on a mesh: how the method's programs keep them split over its devices."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array


def on_several_devices(array: Any) -> bool:
    """Whether an array lies on a mesh of two devices or more, as far as its type tells."""
    return jax.typeof(array).sharding.mesh.size > 1


def by_class(
    function: Callable[..., tuple[Any, dict[str, Array]]],
    matrix: Array,
    *operands: Any,
    class_axis: int | None,
) -> tuple[Any, dict[str, Array]]:
    """`function(matrix, *operands) -> (rows, flaws)`, row i on the devices that hold class i.

    On Auto axes XLA carries the sharding on. Explicit axes would ask for one in every operation, so
    they are Auto inside, and the rows of the result take the sharding of the matrix's `class_axis`;
    None is for numbers, which every device gets.
    """
    sharding = jax.typeof(matrix).sharding
    if AxisType.Explicit not in sharding.mesh.axis_types:
        return function(matrix, *operands)
    everywhere = NamedSharding(sharding.mesh, PartitionSpec())
    rows = everywhere
    if class_axis is not None:
        rows = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[class_axis]))
    program: Any = jax.sharding.auto_axes(function, out_sharding=(rows, everywhere))
    return program(matrix, *operands)
