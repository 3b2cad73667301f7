"""Arrays on the mesh of all devices, which may be those of several processes."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jaxtyping import Array, Float, Int

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.environment import start_devices

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


FLAG = "--xla_gpu_deterministic_ops"
_CLASSES, _BATCH, _WIDTH = 100, 512, 16  # every class several times in the batch

Table = Float[Array, "classes width"]
Labels = Int[Array, " batch"]
Values = Float[Array, "batch width"]
Program = Callable[[Table, Labels, Values], Array]


def gather(table: Table, labels: Labels, values: Values) -> Array:
    """The rows of the labels, as in the loss."""
    return table[labels]


def gather_gradient(table: Table, labels: Labels, values: Values) -> Array:
    """What each row of the table receives from all that took it."""
    return jax.grad(lambda rows: (rows[labels] * values).sum())(table)


def scatter(table: Table, labels: Labels, values: Values) -> Array:
    """A column written to every place once: the case of the report."""
    return jnp.zeros_like(values[:, 0]).at[jnp.arange(len(values))].set(values[:, 0])


def scatter_add(table: Table, labels: Labels, values: Values) -> Array:
    """Rows added where labels repeat, as in the classes' means."""
    return jnp.zeros_like(table).at[labels].add(values)


PROGRAMS: Mapping[str, Program] = {
    "gather": gather,
    "gradient of a gather": gather_gradient,
    "scatter": scatter,
    "scatter-add": scatter_add,
}


def is_requested() -> bool:
    """Whether XLA_FLAGS asks for it; of several settings the last one counts."""
    settings = re.findall(rf"(?<!\S){FLAG}(?:=(\S*))?(?!\S)", os.environ.get("XLA_FLAGS", ""))
    return bool(settings) and settings[-1].lower() in ("", "1", "true")


def self_test(programs: Mapping[str, Program] = PROGRAMS) -> None:
    """Refuses a device and version that get indexing wrong, where XLA_FLAGS has the flag."""
    start_devices()
    if not is_requested():
        return
    random = np.random.RandomState(0)
    # Whole numbers: their sums are exact in any order.
    table = random.randint(-8, 9, (_CLASSES, _WIDTH)).astype(np.float32)
    values = random.randint(-8, 9, (_BATCH, _WIDTH)).astype(np.float32)
    labels = random.randint(0, _CLASSES, _BATCH).astype(np.int32)
    sums = np.zeros_like(table)
    np.add.at(sums, labels, values)
    expected = {
        "gather": table[labels],
        "gradient of a gather": sums,
        "scatter": values[:, 0],
        "scatter-add": sums,
    }
    for name, program in programs.items():
        found = np.asarray(jax.jit(program)(*map(jnp.asarray, (table, labels, values))))
        if not np.array_equal(found, expected[name]):
            device = jax.local_devices()[0].device_kind
            raise InputError(
                "XLA_FLAGS",
                f"be without {FLAG} on {device} with jax {jax.__version__}",
                f"it, and wrong values of a {name}",
                "Leave the flag out, or take another version of jax.",
            )
