"""Runs the command line program as a user does: in a process of its own.

Most of them are forks of a server that has imported all and started nothing: real processes, with
all that a process has but the seconds of its imports. `start` and `fresh` import anew.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache"
# For long trainings, in which steps take more time than their compilation.
OPTIMIZED = {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "").replace("level=0", "level=1")}
LIMIT = 600  # seconds: no test expects it, and it ends one that would never end

COMMANDS = ("run", "train", "study", "labels", "inspect", "evaluate", "data")
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["simsmooth_jax.program.cli", "sklearn.datasets", "matplotlib.backends.backend_agg"]
    + [f"simsmooth_jax.program.commands.{command}_command" for command in COMMANDS]
)


def environment(cache: Path = CACHE) -> dict[str, str]:
    """Of a process, with a compilation cache that the tests share."""
    values = {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": "100"}
    values.pop("JAX_COMPILATION_CACHE_DIR", None)
    return values


def run_program(arguments: Sequence[str]) -> int:
    from simsmooth_jax import __main__

    return __main__.main(arguments)


def _in_the_fork(
    main: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    cwd: Path,
    values: dict[str, str],
    files: tuple[str, str],
) -> None:
    import jax

    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    # Nobody may close the two: a socket would take the number, and what is printed would go there.
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
    os.chdir(cwd)
    os.environ.update(values)
    if "JAX_NUM_CPU_DEVICES" in values:  # which JAX has read before
        jax.config.update("jax_num_cpu_devices", int(values["JAX_NUM_CPU_DEVICES"]))
    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


class Forked:
    """A fork of the server, as a `subprocess.Popen`; what it prints goes to files."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        cache: Path = CACHE,
        main: Callable[[Sequence[str]], int] = run_program,
        variables: dict[str, str] | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.args = [str(argument) for argument in arguments]
        self.files = [Path(path) for path in files]
        while len(self.files) < 2:
            descriptor, name = tempfile.mkstemp()
            os.close(descriptor)
            self.files.append(Path(name))
        values = environment(cache) | (variables or {})
        names = (str(self.files[0]), str(self.files[1]))
        self.process = SERVER.Process(
            target=_in_the_fork, args=(main, self.args, cwd, values, names)
        )
        self.process.start()
        atexit.register(self.process.kill)  # before multiprocessing waits for it
        assert self.process.pid is not None
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = LIMIT) -> int:
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float = LIMIT) -> tuple[str, str]:
        self.wait(timeout)
        output, errors = (path.read_text() for path in self.files)
        return output, errors

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    *arguments: object,
    cwd: Path,
    start_new_session: bool = False,
    cache: Path = CACHE,
    variables: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Starts `python -m simsmooth_jax`."""
    return subprocess.Popen(
        [sys.executable, "-m", "simsmooth_jax", *map(str, arguments)],
        cwd=cwd,
        env=environment(cache) | (variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def simsmooth(
    *arguments: object, cwd: Path, status: int = 0, cache: Path = CACHE, fresh: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs to the end and asserts the exit status."""
    process = (start if fresh else Forked)(*arguments, cwd=cwd, cache=cache)
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == status, f"status {process.returncode}\n{output}\n{errors}"
    return subprocess.CompletedProcess(process.args, status, output, errors)


def hears(process: "subprocess.Popen[str] | Forked", number: int) -> bool:
    """Whether a program has its handlers, that of a signal and, as Python has one, of SIGHUP."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return all(caught >> (one - 1) & 1 for one in (number, signal.SIGHUP))


def wait_for(condition: Callable[[], bool], process: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
