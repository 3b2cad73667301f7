"""Files that are either whole or not there."""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from simsmooth_jax.errors import UNSEEN, InputError
from simsmooth_jax.machine.files.disks import writing
from simsmooth_jax.machine.files.reading import is_file_here, parsed_json, read_input
from simsmooth_jax.machine.signals import held

# What a kill leaves of a file that was being written; nobody else's file has such a name.
TEMPORARY = re.compile(r"\.simsmooth-[0-9a-f]{16}\.tmp")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


@held()
def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside the path and renames, so that a kill leaves the old file or the new one.

    Raises:
      WriteError: the disk is full, read-only or gone; the old file is left.
    """
    with writing(path, len(content)), _temporary(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.replace(file.name, path)


def append(path: Path, lines: bytes, durable: bool = True, new: bool = True) -> None:
    """Adds whole lines to a file; a link in its place is not followed, a pipe not waited for.

    Args:
      path: the file.
      lines: what is added.
      durable: whether it is waited for until the disk has it.
      new: whether there may be none yet; otherwise its disk is gone.

    Raises:
      InputError: it is no regular file.
      WriteError: the disk is full, read-only or gone; the last line may be torn.
    """
    is_file_here(path)
    flags = os.O_WRONLY | os.O_APPEND | new * os.O_CREAT | _NO_LINK
    with writing(path, len(lines)), os.fdopen(os.open(path, flags, 0o666), "ab") as file:
        file.write(lines)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside a path, which is gone at the end unless it was renamed."""
    name = path.with_name(f".simsmooth-{secrets.token_hex(8)}.tmp")
    with name.open("xb") as file:  # exclusively: no file and no link of anyone has that name
        try:
            yield file
        finally:
            name.unlink(missing_ok=True)


def refuse_output(path: Path) -> None:
    """Refuses a file for `out` that is there, or that cannot be written, before any work."""
    if os.path.lexists(path):
        raise InputError("`out`", "be a new file", f"{path}, which exists", "Choose another name.")
    if not path.absolute().parent.is_dir():
        raise InputError("`out`", "be a file in an existing directory", path, "Make it first.")
    try:
        with _temporary(path):
            pass
    except OSError as error:
        raise InputError(
            "`out`",
            "be a file that can be written",
            f"{path}: {error.strerror}",
            "Choose another one.",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that `write_json` wrote; a damaged one is refused by name."""
    try:
        value = parsed_json(f"{path}: it", read_input(f"{path}: it", path))
    except InputError as error:
        raise _damaged(path, error.got) from error
    if not isinstance(value, dict):
        raise _damaged(path, f"a {type(value).__name__}")
    return value


def _damaged(path: Path, reason: str) -> InputError:
    then = "Restore it from a copy, or choose another `out`."
    return InputError(f"{path}: it", "be a JSON object", reason, then)


def write_json(path: Path, value: Any) -> None:
    """JSON with two spaces, keys in the given order; NaN and infinity are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    text = UNSEEN.sub(lambda c: c[0] if c[0] == "\n" else f"\\u{ord(c[0]):04x}", text)
    write_atomically(path, (text + "\n").encode())
