"""SHA256SUMS: what the files of a directory hold, in the form of the program `sha256sum`."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.reading import open_input
from simsmooth_jax.machine.files.writing import write_atomically

SUMS = "SHA256SUMS"
LARGEST = 2**26  # bytes of a manifest: of half a million files
# A comment, for `sha256sum -c SHA256SUMS`; it tells a damaged manifest from a damaged file.
_HEAD = "# written by simsmooth_jax; SHA-256 of the lines below: "
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def write(directory: Path, names: Iterable[str] | None = None) -> None:
    """Writes the manifest of the named files, or of all below the directory, when they are whole.

    Raises:
      OSError: one of them is not there.
    """
    names = files_below(directory) if names is None else names
    lines = [f"{_sha256(directory / name)}  {name}\n" for name in sorted({*names} - {SUMS})]
    body = "".join(lines).encode()
    head = f"{_HEAD}{hashlib.sha256(body).hexdigest()}\n".encode()
    write_atomically(directory / SUMS, head + body)


def files_below(directory: Path) -> list[str]:
    """Every regular file below a directory, but for its own manifest; links are not followed."""
    found = (p for p in directory.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted({p.relative_to(directory).as_posix() for p in found} - {SUMS})


def is_there(directory: Path) -> bool:
    """Whether a directory has a manifest that was written here, whole or damaged."""
    try:
        with open_input(SUMS, directory / SUMS) as file:  # a pipe would be waited for
            return file.read(len(_HEAD)) == _HEAD.encode()
    except (InputError, OSError):
        return False


def read(directory: Path) -> dict[str, str]:
    """SHA-256 by name.

    Raises:
      InputError: the manifest is not there, or damaged.
    """
    path = directory / SUMS
    if not path.is_file():
        raise _damaged(path, "it is missing" if not path.exists() else "it is no file")
    if path.stat().st_size > LARGEST:
        raise _damaged(path, f"it has more than {LARGEST:,} bytes")
    head, _, body = path.read_bytes().partition(b"\n")
    if head != f"{_HEAD}{hashlib.sha256(body).hexdigest()}".encode():
        raise _damaged(path, "its lines are not those that its first line tells of")
    lines = [_LINE.fullmatch(line) for line in body.decode().splitlines()]
    if not all(line and _is_below(line[2]) for line in lines):
        raise _damaged(path, "a line is not a SHA-256 and a name below it")
    return {line[2]: line[1] for line in lines if line}


def flaws(directory: Path) -> Iterator[tuple[str, str]]:
    """Each file that is not as the manifest says, by its name, and what is wrong with it."""
    try:
        expected = read(directory)
    except InputError as error:
        yield SUMS, error.got
        return
    for name, digest in expected.items():
        path = directory / name
        if not path.is_file():
            yield name, "it is no file" if path.exists() else "it is missing"
        elif _sha256(path) != digest:
            yield name, f"its content is not what {SUMS} tells of"


def first_flaw(directory: Path) -> str:
    """The first of them in words, or an empty text."""
    return next((f"{name}: {what}" for name, what in flaws(directory)), "")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path}: it", "be a manifest", what, "Restore it from a copy.")
