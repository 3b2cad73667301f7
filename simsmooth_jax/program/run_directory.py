"""A directory that one process writes under one configuration; a stopped run finds it again."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files import read_json, write_atomically, write_json
from simsmooth_jax.machine.processes import from_writer, is_writer
from simsmooth_jax.program.differences import differences
from simsmooth_jax.training.observers.recording import METRICS

CONFIG, REPORT = "config.json", "report.json"
PAGE, TABLES = "report.html", "tables"  # for people, and its tables as CSV
RUNS = "runs"  # default directories stand in it
FORMAT = "simsmooth_jax run 1"  # says whose config.json it is
LOOKED_AT = 1.0  # seconds: other parts hold a lock for an instant, to see whether it is held
_LOCK, _OWNER = ".lock", ".lock-owner"
_OURS = {"first", "uniform", "second", "pictures", "similarity.npz", "labels.npz"}
_OURS |= {CONFIG, REPORT, PAGE, TABLES, METRICS, _LOCK, _OWNER}
_OURS |= {"labels.safetensors", "first-models", "study.json", "tuning"}


def default_directory(name: str, config: dict[str, Any]) -> Path:
    """`runs/NAME-CONFIG`: every configuration has a directory of its own, the same each time."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:6]
    return Path(RUNS) / f"{name}-{digest}"


def recorded_differences(path: Path, config: dict[str, Any], absent: dict[str, Any]) -> str | None:
    """How a recorded configuration differs from this one, which does not know its data's hashes.

    None where there is no run of ours.
    """
    if not _has_our_config(path):
        return None
    recorded = read_json(path / CONFIG)
    return differences(recorded, recorded | _of_json(config), absent)


@contextlib.contextmanager
def open_directory(
    path: Path,
    config: dict[str, Any],
    overwrite: bool,
    absent: dict[str, Any] | None = None,
    part: str = "",
) -> Iterator[Path]:
    """Locks the directory and writes its configuration, or compares it with the one there.

    Of several processes the writer does so, for all of them. `absent` is what counts for options
    that a configuration does not name, as one from before they existed. Processes of different
    `part` write one directory together, each its own files.
    """
    if not is_writer():
        _follow(path, config, absent or {})
        yield path
        return
    if path == Path():
        raise InputError("--out", "name a directory of its own", "'.'", "Try runs/first.")
    foreign = _foreign(path)
    if foreign:
        raise InputError(
            "--out",
            "be a new, an empty or a run's directory",
            f"{path}, which holds {foreign}",
            "Choose another one.",
        )
    _refuse(path, config, overwrite, absent or {}, part)  # before anything of ours stands there
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path / f"{_LOCK}{part}")
        held = lock.acquire(timeout=LOOKED_AT if part else 0)
    except filelock.Timeout as error:
        noted = path / f"{_OWNER}{part}"
        owner = noted.read_text() if noted.exists() else "unknown"
        raise InputError(
            f"--out {path}",
            "not be in use",
            f"a lock held by {owner}",
            "Wait for that run, or choose another directory.",
        ) from error
    except OSError as error:
        raise InputError(
            "--out",
            "be a directory that can be written",
            f"{path}: {error.strerror}",
            "Choose another one.",
        ) from error
    with held:
        _refuse(path, config, overwrite, absent or {}, part)  # what has come there meanwhile
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        write_atomically(path / f"{_OWNER}{part}", owner.encode())
        if overwrite:
            _clear(path)
        if not (path / CONFIG).exists():
            write_json(path / CONFIG, _of_json(config))
        from_writer("config", _of_json(config))
        yield path


def _follow(path: Path, config: dict[str, Any], absent: dict[str, Any]) -> None:
    """Waits until the writer has opened the directory, which must be this process's as well."""
    if differing := differences(from_writer("config", None), _of_json(config), absent):
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


def _foreign(path: Path) -> str:
    """A name in the directory that no run of ours has written, or an empty string."""
    if path.exists() and not path.is_dir():
        return "a file's content"
    children = sorted(path.iterdir()) if path.is_dir() else []
    # A kill before the first write leaves the lock alone; what follows has a configuration of ours,
    # but the rows of a study, which may be brought from elsewhere.
    ours = _is_ours if _has_our_config(path) else lambda child: _is_lock(child) or _is_rows(child)
    return next((child.name for child in children if not ours(child)), "")


def _has_our_config(path: Path) -> bool:
    config = path / CONFIG
    return config.is_file() and read_json(config).get("format") == FORMAT


def _is_lock(child: Path) -> bool:
    return child.name.startswith(_LOCK) or (child.name[0] == "." and child.suffix == ".tmp")


def _is_ours(child: Path) -> bool:
    step = child.name.split(".")[0].isdigit()  # also one that Orbax had not finished
    named = _is_rows(child) or child.name in _OURS
    return _is_lock(child) or named or (step and not child.is_symlink())


def _is_rows(child: Path) -> bool:
    return child.name.startswith("rows-") and child.suffix == ".jsonl"


def is_in_use(path: Path, part: str) -> bool:
    """Whether a process writes that part of a directory."""
    file = path / f"{_LOCK}{part}"
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
        differing := differences(read_json(path / CONFIG), _of_json(config), absent)
    ):
        raise InputError(
            f"--out {path}",
            "hold no run of another configuration",
            differing,
            "Choose another --out; --overwrite would delete the run that is there.",
        )


def _refuse_other_parts(path: Path, part: str) -> None:
    """Refuses to empty a directory of which another process writes a part."""
    for file in path.glob(f"{_LOCK}*"):
        other = file.name.removeprefix(_LOCK)
        if not file.name.startswith(_OWNER) and other != part and is_in_use(path, other):
            got = f"a lock held for {other.lstrip('-') or 'a run'}"
            raise InputError(f"--out {path}", "not be in use", got, "Wait for that process.")


def _clear(path: Path) -> None:
    for child in path.iterdir():
        if child.is_symlink() or child.is_file():
            if child.name != CONFIG and not child.name.startswith(_LOCK):
                child.unlink()
        else:
            shutil.rmtree(child)
    (path / CONFIG).unlink(missing_ok=True)  # last: without it the rest is no run of ours


def _of_json(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it is read again."""
    return json.loads(json.dumps({"format": FORMAT} | config))
