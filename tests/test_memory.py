"""How much memory a process may take: the host's, or less where a control group bounds it."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from simsmooth_jax.machine.memory import available_memory, device_memory, group_limits
from simsmooth_jax.program import cli

NO_LIMIT = 2**63 - 4096  # what version 1 writes for none
PROGRAM = "from simsmooth_jax.machine.memory import available_memory; print(available_memory())"


def tree(root: Path, groups: str, limits: dict[str, object]) -> Path:
    """A file system with the groups of this process and the limits of some groups."""
    for path, content in {"proc/self/cgroup": groups, **limits}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("groups", "limits", "least"),
    [
        ("0::/", {f"{V2}/memory.max": 2**30}, 2**30),  # a container of its own namespace
        ("0::/", {f"{V2}/memory.max": "max"}, None),
        ("0::/", {}, None),  # a host: its top has no such file
        ("0::/a/b", {f"{V2}/a/b/memory.max": "max", f"{V2}/a/memory.max": 5}, 5),  # Slurm, systemd
        ("0::/a/b", {f"{V2}/a/b/memory.max": 7, f"{V2}/a/memory.max": 5}, 5),
        ("0::/a/b", {f"{V2}/a/b/memory.max": 5, f"{V2}/a/memory.max": 7}, 5),
        ("0::/a", {f"{V2}/memory.max": 2, f"{V2}/b/memory.max": 1}, 2),  # b is another's
        ("0::/../a", {f"{V2}/memory.max": 3}, 3),  # outside of the namespace
        ("4:memory:/a\n0::/", {f"{V1}/a/memory.limit_in_bytes": 9}, 9),
        ("4:cpu,memory:/docker/x", {f"{V1}/memory.limit_in_bytes": 9}, 9),  # as Docker shows it
        ("4:cpu:/a", {f"{V1}/a/memory.limit_in_bytes": 9}, None),
        ("4:memory:/a:b", {f"{V1}/a:b/memory.limit_in_bytes": 9}, 9),
        ("4:memory:/a", {f"{V1}/a/memory.limit_in_bytes": NO_LIMIT}, NO_LIMIT),
    ],
)
def test_least_limit_of_the_groups(
    groups: str, limits: dict[str, object], least: int | None, tmp_path: Path
) -> None:
    assert min(group_limits(tree(tmp_path, groups, limits)), default=None) == least


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert group_limits(tmp_path) == ()


def test_least_of_all_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def available(*limits: int) -> int:
        monkeypatch.setattr("simsmooth_jax.machine.memory.group_limits", lambda: limits)
        return available_memory()

    lines = Path("/proc/meminfo").read_text().splitlines()
    (total,) = [line.split()[1] for line in lines if line.startswith("MemTotal")]
    host = 1024 * int(total)
    assert available() == available(NO_LIMIT) == available(NO_LIMIT, 2 * host) == host
    assert available(NO_LIMIT, host - 1) == host - 1


@pytest.mark.parametrize(
    ("platform", "statistics", "bytes_of_each"),
    [
        ("gpu", {"bytes_limit": 7}, 7),
        ("gpu", None, math.inf),  # as with XLA_PYTHON_CLIENT_ALLOCATOR=platform
        ("cpu", None, 50),
    ],
)
def test_a_device_has_the_memory_of_the_host_only_if_it_is_one(
    platform: str, statistics: Any, bytes_of_each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = SimpleNamespace(platform=platform, memory_stats=lambda: statistics)
    monkeypatch.setattr("jax.local_devices", lambda: [device, device])
    monkeypatch.setattr("simsmooth_jax.machine.memory.host_memory", lambda: 100)
    assert device_memory() == bytes_of_each


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 1 GiB, made for the test."""
    first = Path(f"/{V1}") if Path(f"/{V1}/memory.limit_in_bytes").exists() else Path(f"/{V2}")
    path = first / f"simsmooth-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"this user makes no control group: {error.strerror}")
    file = path / ("memory.limit_in_bytes" if first.name == "memory" else "memory.max")
    try:
        if not file.exists():
            pytest.skip(f"{first} does not hand its memory on to groups")
        file.write_text(f"{2**30}")
        yield path
    finally:
        path.rmdir()


@pytest.mark.slow
def test_a_real_group_bounds_a_real_process(group: Path) -> None:
    command = ["sh", "-c", 'echo $$ > "$1" && exec "$2" -c "$3"', "sh"]
    command += [str(group / "cgroup.procs"), sys.executable, PROGRAM]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(shown.stdout) == 2**30 < available_memory()


@pytest.mark.parametrize("allocate", [jnp.zeros, np.zeros])
def test_memory_that_is_used_up_is_said_in_a_line(
    allocate: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "_carry_out", lambda command: allocate((2**46,)).sum())
    assert cli.main(["evaluate", "none"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("simsmooth: no memory is left: ")
    assert "--batch-size or --width: as it is, the same command " in line
