"""Disks that are full, read-only or gone: one line with the file, and the bytes needed and free."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from simsmooth_jax.errors import first_line

FULL = (errno.ENOSPC, errno.EDQUOT)
_THEN = dict.fromkeys(FULL, "Make room.")
_THEN |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Make it writable.")
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENOTCONN, errno.ESTALE)
BRING = "Bring its directory back (without it, all starts anew)."
_THEN |= dict.fromkeys(_GONE, BRING)
_NOTED = re.compile(r"os_error_code='(\d+)'")  # as TensorStore has it


class WriteError(OSError):
    """A file could not be written, for want of room or of a disk: `cannot write IT: WHY. THEN`."""


@contextlib.contextmanager
def writing(path: Path, size: int) -> Iterator[None]:
    """What is written in it is one file; where that fails, the line says why.

    Args:
      path: the file.
      size: its bytes.

    Raises:
      WriteError: the system has refused to write.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise unwritten(path, size, error) from error


def make_directory(path: Path) -> None:
    """A directory for files, if it is not there."""
    with writing(path, 0):
        path.mkdir(exist_ok=True)


def unwritten(path: Path, size: int | None, error: Exception, begun: Path | None = None) -> OSError:
    """The error of a file, or of a directory of files, that could not be written.

    Args:
      path: what it would have been.
      size: its bytes, if they are known.
      error: what went wrong, also in the words of a library that hides the system's.
      begun: what was written of it, which is removed by whoever writes it the next time.
    """
    place = next((p for p in path.parents if os.path.exists(p)), Path())
    free, full = _free(place, begun)
    number = _number(error) or _seen(path, size or 0, free, full)
    if number is None:
        return OSError(f"{path} was not written: {first_line(error)}")
    takes = "" if size is None else f"it takes {size:,} bytes, and "
    takes += f"{free:,} are free in {'this directory' if place == Path() else place}"
    takes += ", but no more files can be made there" * full
    why, then = os.strerror(number), _THEN.get(number, "Try again.")
    return WriteError(f"cannot write {path}: {why}; {takes}. {then}")


def is_gone(error: OSError) -> bool:
    """Whether a file that was written here is not found, whose name the error has."""
    return isinstance(error.filename, str) and error.errno in _GONE


def _number(error: BaseException | None) -> int | None:
    """The number of the system's error behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        text = str(error)
        if noted := _NOTED.search(text):
            return int(noted[1])
        if said := [number for number in _THEN if os.strerror(number) in text]:
            return said[0]
        error = error.__cause__
    return None


def _seen(path: Path, size: int, free: int, full: bool) -> int | None:
    """What a look at the disk says, where an error does not."""
    if not os.path.exists(path.parent):
        return errno.ENOENT
    if not os.access(path.parent, os.W_OK):
        return errno.EROFS
    return errno.ENOSPC if full or free < size else None


def _free(place: Path, begun: Path | None) -> tuple[int, bool]:
    """The bytes that are free on a disk, and whether it has no room for one more name."""
    try:
        free = shutil.disk_usage(place).free
        # Windows has neither; some file systems have no such bound, and say 0 of 0.
        names = os.statvfs(place) if hasattr(os, "statvfs") else None
    except OSError:
        return 0, False
    for file in begun.rglob("*") if begun is not None else ():
        with contextlib.suppress(OSError):
            free += 512 * getattr(file.lstat(), "st_blocks", 0)
    return free, names is not None and names.f_files > 0 and names.f_favail == 0
