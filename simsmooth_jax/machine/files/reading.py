"""Files that a user names: regular ones alone are opened, and no more is read than is stated.

A pipe would be waited for, a device may have no end, and a file of any size may be called anything.
"""

import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import IO, Any

from simsmooth_jax.errors import InputError, excerpt, first_line

MIB = 2**20
MOST_TEXT = 16 * MIB  # of JSON, of class names: of some 30,000 arrays or a million classes
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Neither waits for the other end of a pipe, nor takes over the terminal that it may be.
AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_input(who: str, path: Path, most: int | None = None) -> IO[bytes]:
    """Opens a regular file, also through links; `who` is what an error's line starts with.

    Raises:
      InputError: it is anything else, or has more than `most` bytes.
      OSError: there is none, or it may not be read.
    """
    refuse_odd(who, path, path.stat().st_mode)  # opening some devices does something already
    file = os.fdopen(os.open(path, AT_ONCE | getattr(os, "O_BINARY", 0)), "rb")
    try:
        found = os.fstat(file.fileno())  # of what was opened
        refuse_odd(who, path, found.st_mode)
        refuse_size(who, found.st_size, found.st_size if most is None else most)
    except InputError:
        file.close()
        raise
    return file


def refuse_odd(who: str, path: Path, mode: int) -> None:
    """Refuses what is no regular file, by the mode that `stat` gives, or `lstat`."""
    if not stat.S_ISREG(mode):
        linked = [f"a link to {os.path.realpath(path)}"] if path.is_symlink() else []
        kind = [] if stat.S_ISLNK(mode) else [KINDS.get(stat.S_IFMT(mode), "something else")]
        got = ", ".join(linked + kind)
        raise InputError(who, "be a regular file", got, "Put a file in its place.")


def found_at(path: Path) -> str:
    """A path, and what is there where that is not what was expected."""
    try:
        kind = KINDS.get(stat.S_IFMT(path.stat().st_mode), "a file")
    except (OSError, ValueError):  # nothing, or no name that there could be
        return str(path)
    return f"{path}, {kind}"


def closed_at(path: Path) -> Path:
    """The outermost directory on the way to a path that may not be entered, or it itself."""
    effective = os.access in os.supports_effective_ids
    for way in reversed(path.parents):
        if os.path.exists(way) and not os.access(way, os.X_OK, effective_ids=effective):
            return way
    return path


def read_input(who: str, path: Path, most: int = MOST_TEXT) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
      InputError: it is larger, or no regular file.
      OSError: there is none, or it may not be read.
    """
    with open_input(who, path, most) as file:
        content = file.read(most + 1)  # files of the kernel have no size
        refuse_size(who, len(content), most)
    return content


def is_file_here(path: Path) -> bool:
    """Whether a file of ours is there; what else stands in its place is refused, also a link.

    Raises:
      InputError: it is no regular file.
    """
    if not os.path.lexists(path):
        return False
    refuse_odd(f"{path}: it", path, path.lstat().st_mode)
    return True


def refuse_size(who: str, size: int, most: int) -> None:
    """Refuses more bytes than are read of a file of its kind."""
    if size > most:
        got, then = f"{size:,} bytes", "It is damaged, or no file of this kind."
        raise InputError(who, f"have at most {most:,} bytes", got, then)


def parsed_json(who: str, content: bytes | str) -> Any:
    """The value of a JSON text, of which no name may stand twice in one object.

    Raises:
      InputError: it is none.
    """
    try:
        return json.loads(content, object_pairs_hook=_once_each)
    except RecursionError:
        reason = "one that is nested too deeply"
    except ValueError as error:
        reason = first_line(error)
    raise InputError(who, "be JSON", reason, "Restore it from a copy.")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{excerpt(twice)!r} twice in one object")
    return values
