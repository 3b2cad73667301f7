"""A directory that one process writes under one configuration; a stopped run finds it again."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files import ledger
from simsmooth_jax.machine.files.writing import read_json, write_atomically, write_json
from simsmooth_jax.machine.processes import from_writer, is_writer
from simsmooth_jax.program import belongings
from simsmooth_jax.program.belongings import LOCK, OWNER
from simsmooth_jax.program.differences import differences
from simsmooth_jax.program.recorded_config import CONFIG, of_json

REPORT = "report.json"
PAGE, TABLES = "report.html", "tables"  # for people, and its tables as CSV
LOOKED_AT = 1.0  # seconds: other parts hold a lock for an instant, to see whether it is held


@contextlib.contextmanager
def open_directory(
    path: Path,
    config: dict[str, Any],
    overwrite: bool,
    absent: dict[str, Any] | None = None,
    part: str = "",
    makes: Sequence[str] = (),
) -> Iterator[Path]:
    """Locks the directory and writes its configuration, or compares it with the one there.

    Of several processes the writer does so, for all of them. `absent` is what counts for options
    that a configuration does not name, as one from before they existed. Processes of different
    `part` write one directory together, each its own files. `makes` are the names of all that may
    be written there, as a ledger has them: what is there of that name and not the run's own is
    refused, and stays.
    """
    if not is_writer():
        _follow(path, config, absent or {})
        yield path
        return
    if path == Path():
        raise InputError("--out", "name a directory of its own", "'.'", "Try runs/first.")
    if name := belongings.foreign(path):
        raise ledger.not_ours(path, name)
    if overwrite:
        belongings.refuse_others(path)
    _refuse(path, config, overwrite, absent or {}, part)  # before anything of ours stands there
    if path.is_symlink() and not os.path.exists(path):
        got = f"{path}, a link to {os.readlink(path)}, which is not there"
        raise InputError("--out", "be a directory", got, "Make it, or remove the link.")
    made = [each for each in (path, *path.parents) if not os.path.exists(each)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path / f"{LOCK}{part}")
        held = lock.acquire(timeout=LOOKED_AT if part else 0)
    except filelock.Timeout as error:
        _remove_empty(made)
        noted = path / f"{OWNER}{part}"
        owner = noted.read_text() if noted.is_file() else "unknown"
        raise InputError(
            f"--out {path}",
            "not be in use",
            f"a lock held by {owner}",
            "Wait for that run, or choose another directory.",
        ) from error
    except OSError as error:
        _remove_empty(made)
        raise InputError(
            "--out",
            "be a directory that can be written",
            f"{path}: {error.strerror}",
            "Choose another one.",
        ) from error
    with held, _owner_noted(path / f"{OWNER}{part}"):
        _refuse(path, config, overwrite, absent or {}, part)  # what has come there meanwhile
        belongings.adopt(path)
        if overwrite:
            belongings.clear(path)
        # The rows of a study may be brought; from here on they are this directory's own.
        brought = {*makes} & {rows.name for rows in path.glob("rows-*")}
        ledger.note(path, brought - (ledger.named(path) or set()))
        ledger.claim(path, CONFIG, *makes)
        if not part:
            belongings.sweep(path)
        if not (path / CONFIG).exists():
            write_json(path / CONFIG, of_json(config))
        from_writer("config", of_json(config))
        yield path


def _remove_empty(directories: Sequence[Path]) -> None:
    """What was made for a directory that is refused then, from the inside."""
    for path in directories:
        with contextlib.suppress(OSError):
            path.rmdir()


@contextlib.contextmanager
def _owner_noted(file: Path) -> Iterator[None]:
    """Says who holds the lock, for the error of whoever wants it meanwhile."""
    write_atomically(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # of a disk that is read-only or gone by now
            file.unlink()


def _follow(path: Path, config: dict[str, Any], absent: dict[str, Any]) -> None:
    """Waits until the writer has opened the directory, which must be this process's as well."""
    if differing := differences(from_writer("config", None), of_json(config), absent):
        raise InputError(
            "every process",
            "be given the same options and data",
            f"other ones than process 0: {differing}",
            "Start all with one command, on copies of the same data.",
        )
    if not (path / CONFIG).is_file():
        raise InputError(
            "--out",
            "be in a file system that all processes share",
            f"{path}, which process 0 has made and this one does not see",
            "Choose another one.",
        )


def is_in_use(path: Path, part: str) -> bool:
    """Whether a process writes that part of a directory."""
    file = path / f"{LOCK}{part}"
    lock = filelock.FileLock(file)
    try:
        if not file.exists():
            return False
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


def _refuse(
    path: Path, config: dict[str, Any], overwrite: bool, absent: dict[str, Any], part: str
) -> None:
    """Refuses a directory of another configuration, and to empty one of which a part is written."""
    if overwrite:
        _refuse_other_parts(path, part)
    elif (path / CONFIG).exists() and (
        differing := differences(read_json(path / CONFIG), of_json(config), absent)
    ):
        raise InputError(
            f"--out {path}",
            "hold no run of another configuration",
            differing,
            f"Choose another --out; --overwrite would delete the run that {CONFIG} there tells of.",
        )


def _refuse_other_parts(path: Path, part: str) -> None:
    """Refuses to empty a directory of which another process writes a part."""
    for file in path.glob(f"{LOCK}*"):
        other = file.name.removeprefix(LOCK)
        if not file.name.startswith(OWNER) and other != part and is_in_use(path, other):
            got = f"a lock held for {other.lstrip('-') or 'a run'}"
            raise InputError(f"--out {path}", "not be in use", got, "Wait for that process.")


def refuse_lost_inputs(
    directory: Path, overwrite: bool, inputs: Mapping[str, str | Path | None]
) -> None:
    """Refuses files to be read in a directory that is emptied: a stopped run could not go on.

    Args:
      directory: where the results go.
      overwrite: whether it is emptied.
      inputs: the values of options that name files, by the names of the options; those of the data
        or of a similarity as `npz:FILE`.

    Raises:
      InputError: one of them lies in the directory.
    """
    for option, given in inputs.items() if overwrite else ():
        text = str(given or "")
        for candidate in {text, text.partition(":")[2]} - {""}:
            path = Path(candidate).expanduser()
            if path.exists() and path.resolve().is_relative_to(directory.resolve()):
                raise InputError(
                    f"`{option}`",
                    "lie outside of what `overwrite` empties",
                    f"{given} in {directory}",
                    "Choose another `out`.",
                )
