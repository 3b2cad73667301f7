"""Arrays on the mesh of all devices, which may be those of several processes."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jaxtyping import Array

BATCH_AXIS = "data"


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis over all devices; those of a process lie together, as the rows that it reads do."""
    devices = sorted(devices or jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(devices, (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def place(value: np.ndarray, sharding: NamedSharding) -> Array:
    """A value that every process has, on all devices."""
    if sharding.is_fully_addressable:
        return jax.device_put(value, sharding)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def local(tree: Any) -> Any:
    """Replicated arrays as those of this process alone, for programs that run in it alone."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
