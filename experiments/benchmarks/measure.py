"""What the benchmarks share: interleaved rounds, ratios with intervals, peak memory, results."""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import track
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
Times = dict[str, list[float]]


def interleave(programs: dict[str, Callable[[], Any]], rounds: int) -> Times:
    """Seconds of each program in each round, in a new order every time, after a first call.

    A machine that is busy with other work slows all programs of a round alike, so that ratios
    within a round mean more than seconds.
    """
    for program in programs.values():
        jax.block_until_ready(program())
    times: Times = {name: [] for name in programs}
    shuffle = random.Random(0).shuffle
    names = list(programs)
    for _ in track(range(rounds), "measuring", console=Console(stderr=True), transient=True):
        shuffle(names)
        for name in names:
            start = time.perf_counter()
            result = jax.block_until_ready(programs[name]())
            times[name].append(time.perf_counter() - start)
            del result
    return times


def ratio(times: Times, name: str, baseline: str) -> tuple[float, float, float]:
    """Median over the rounds of a program's time by the baseline's, and its 95% interval.

    The interval is the bootstrap's: medians of 2,000 samples of the rounds.
    """
    ratios = [a / b for a, b in zip(times[name], times[baseline], strict=True)]
    sample = random.Random(0).choices
    medians = sorted(statistics.median(sample(ratios, k=len(ratios))) for _ in range(2000))
    return statistics.median(ratios), medians[49], medians[1949]


def peak_memory() -> int:
    """Bytes that this process has held at most (getrusage would begin at the parent's)."""
    return _status("VmHWM")


def held_memory() -> int:
    """Bytes that this process holds now."""
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def in_a_process(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a script prints last, run in a process of its own, for its peak memory."""
    command = [sys.executable, script, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def machine() -> str:
    """Processor or accelerator, cores and the versions that matter."""
    device = jax.devices()[0]
    name = device.device_kind
    if device.platform == "cpu":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = f"{(models or [platform.machine()])[0]}, {len(os.sched_getaffinity(0))} cores"
    versions = ", ".join(f"{package} {version(package)}" for package in ("jax", "jaxlib", "numpy"))
    return f"{name}; Python {platform.python_version()}, {versions}"


def report(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table and keeps it in `results/NAME.json` with the machine it came from."""
    table = Table(title=f"{title}\n{machine()}", title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)
    content = {"title": title, "machine": machine(), "columns": columns, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def shown(ratio: tuple[float, float, float]) -> str:
    """A ratio with its interval."""
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
