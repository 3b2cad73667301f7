"""Runs the command line program as a user does: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache"


def start(
    *arguments: object, cwd: Path, start_new_session: bool = False, cache: Path = CACHE
) -> subprocess.Popen[str]:
    """Starts `python -m simsmooth_jax`, with a compilation cache that the tests share."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": "100"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, "-m", "simsmooth_jax", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def simsmooth(
    *arguments: object, cwd: Path, status: int = 0, cache: Path = CACHE
) -> subprocess.CompletedProcess[str]:
    """Runs to the end and asserts the exit status."""
    process = start(*arguments, cwd=cwd, cache=cache)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == status, f"status {process.returncode}\n{output}\n{errors}"
    return subprocess.CompletedProcess(process.args, status, output, errors)
