"""How much memory there is, and tables that would not fit into it."""

import contextlib
import functools
import math
import os
from pathlib import Path, PurePosixPath
from typing import Any

import jax

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.environment import start_devices

GIB = 2**30
ADVICE = "Use top_k_labels(kernel, 32), which takes {compact:.2f} GiB, or factored_labels(kernel)."


def available_memory() -> int:
    """Bytes of the smallest one of the host's memory, this process's share of it and a device's."""
    host = host_memory()
    start_devices()
    statistics = jax.local_devices()[0].memory_stats() or {}  # CPU devices have none
    return min(host, statistics.get("bytes_limit", host))


def host_memory() -> int:
    """Bytes of the smaller one of the host's memory and this process's share of it."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((host, *group_limits()))


def device_memory() -> float:
    """Bytes that each device of this process has, or infinity; those of a CPU share the host's."""
    limit, devices = device_limit(), jax.local_devices()
    is_host = devices[0].platform == "cpu"
    return limit or (available_memory() // len(devices) if is_host else math.inf)


def device_limit() -> int | None:
    """Bytes that JAX may take of a device, where it says so, as of no CPU."""
    start_devices()
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


@functools.cache  # asked for before every table
def group_limits(root: Path = Path("/")) -> tuple[int, ...]:
    """Limits of the control groups that this process is in, as in a container or under Slurm.

    A group is bound by those above it as well. What cannot be seen from inside is left out, and
    so is `max` of version 2; version 1 has a number beyond any memory there.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system than Linux
        return ()
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        top, file = root / "sys/fs/cgroup", "memory.max"
        if "memory" in controllers.split(","):
            top, file = top / "memory", "memory.limit_in_bytes"
        elif controllers:
            continue
        for path in (PurePosixPath(group), *PurePosixPath(group).parents):
            with contextlib.suppress(OSError, ValueError):
                limits.append(int((top / path.relative_to("/") / file).read_text()))
    return tuple(limits)


def refuse_dense_table(
    function: str,
    num_classes: int,
    matrix: Any = None,
    advice: str = ADVICE,
    count: int = 1,
) -> None:
    """Refuses tables `[K, K]` before anything of them is allocated, and says what would fit.

    A table made from a `matrix` on a mesh of accelerators is split over their memories.
    """
    share = 1
    if matrix is not None and jax.default_backend() != "cpu":
        share = max(1, jax.typeof(matrix).sharding.mesh.size)
    tables = "a table" if count == 1 else f"{count} tables"
    then = advice.format(compact=8 * 32 * num_classes / GIB)
    what, whose = f"{function}: {tables} [K, K]", f"K = {num_classes} classes"
    _refuse(what, 4 * count * num_classes**2, available_memory() * share, whose, then)


def refuse_compact_table(function: str, num_classes: int, k: int) -> None:
    """Refuses indices and weights `[K, k]` before any of them is allocated."""
    what, whose = f"{function}: labels [K, k]", f"{k} of K = {num_classes} classes"
    _refuse(what, 8 * num_classes * k, available_memory(), whose, "Use a smaller k.")


def refuse_predictions(function: str, num_examples: int, num_classes: int, advice: str) -> None:
    """Refuses an array of float32 with a row for each example before any of it is allocated."""
    size, whose = (
        4 * num_examples * num_classes,
        f"{num_examples} examples of {num_classes} classes",
    )
    _refuse(f"{function}: predictions [n, K]", size, available_memory(), whose, advice)


def refuse_means(function: str, num_features: int, num_classes: int, advice: str) -> None:
    """Refuses sums and means of float32 with a column for each class, and counts beside them."""
    size = means_bytes(num_features, num_classes)
    whose = f"{num_classes} classes of {num_features} features"
    _refuse(f"{function}: means [D, K]", size, available_memory(), whose, advice)


def means_bytes(num_features: int, num_classes: int) -> int:
    """What means of classes take with their sums and counts."""
    return 4 * 3 * (num_features + 1) * num_classes


def refuse_bins(function: str, num_examples: int, num_bins: int) -> None:
    """Refuses an array that says for each example in which bin it is."""
    size, whose = 8 * (num_examples + 8) * num_bins, f"{num_examples} examples in {num_bins} bins"
    _refuse(f"{function}: bins [n, B]", size, available_memory(), whose, "15 bins are usual.")


def _refuse(what: str, size: int, memory: int, whose: str, then: str) -> None:
    if size > memory:
        must, got = f"fit into the memory of {memory / GIB:.1f} GiB", f"{size / GIB:.1f} GiB"
        raise InputError(what, must, f"{got} for {whose}", then)
