"""How long the program takes to start, and whether a second run compiles anything again.

    python experiments/benchmarks/start.py           # 1 minute on two CPU cores

Expected: `simsmooth --help` within half a second, `import simsmooth_jax` within a tenth of one more
than an empty Python program, and no program that a second `simsmooth run` compiles anew.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import interleave, report

PYTHON = (sys.executable, "-c")
EMPTY, IMPORT, HELP = (*PYTHON, "pass"), (*PYTHON, "import simsmooth_jax"), "simsmooth --help"
SIMSMOOTH = (sys.executable, "-m", "simsmooth_jax")


def run(*command: str, **options: Any) -> float:
    """Seconds that a process takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)
    return time.perf_counter() - start


def two_runs() -> list[list[str]]:
    """Seconds of two whole runs with one cache, and the programs that each of them compiled."""
    rows, known = [], 0
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "XDG_CACHE_HOME": directory}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        for name in ("first", "second"):
            out = str(Path(directory) / name)
            seconds = run(*SIMSMOOTH, "run", "--epochs", "3", "--out", out, env=environment)
            programs = len(list(Path(directory).rglob("*-cache")))
            compiled = f"{programs - known} compiled"
            rows.append([f"simsmooth run, three epochs, {name} time", f"{seconds:.1f}", compiled])
            known = programs
    return rows


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    commands = {"empty": EMPTY, "import": IMPORT, HELP: (*SIMSMOOTH, "--help")}
    programs = {name: lambda c=command: run(*c) for name, command in commands.items()}
    times = interleave(programs, options.rounds)
    added = [a - b for a, b in zip(times["import"], times["empty"], strict=True)]
    rows = [
        ["import simsmooth_jax, more than an empty program", f"{statistics.median(added):.3f}", ""],
        [HELP, f"{statistics.median(times[HELP]):.3f}", ""],
        *two_runs(),
    ]
    title = f"Start: seconds, medians of {options.rounds} rounds"
    report("start", title, ["", "seconds", "programs"], rows)


if __name__ == "__main__":
    sys.exit(main())
