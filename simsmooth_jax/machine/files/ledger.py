"""The ledger of a directory: the names of what is made in it, written down before it is made.

What it does not name is somebody else's, and is neither replaced nor removed.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.reading import is_file_here
from simsmooth_jax.machine.files.writing import append

LEDGER = ".simsmooth-files"
HERE = "./"  # the directory itself, of which the steps of a training are a part


def named(root: Path) -> set[str] | None:
    """The names in a ledger, those of directories with a slash at the end; None without one.

    Raises:
      InputError: something else stands in its place.
    """
    path = root / LEDGER
    if not is_file_here(path):
        return None
    names = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            names.add(str(json.loads(line)))
        except ValueError:  # torn by a kill, before anything of that name was made
            continue
    return names


def claim(root: Path, *names: str) -> None:
    """Writes down what is about to be made.

    Args:
      root: the directory of the ledger.
      names: below it, those of directories with a slash at the end.

    Raises:
      InputError: one of them is there and somebody else's, or is a link.
    """
    known = named(root) or set()
    for name in names:
        path = root / name
        kind = path.is_dir() if name.endswith("/") else path.is_file()
        if os.path.lexists(path) and (path.is_symlink() or not kind or name not in known):
            raise not_ours(root, name)
    note(root, [name for name in names if name not in known])


def note(root: Path, names: Iterable[str]) -> None:
    """Adds names to the ledger, also of what is there already."""
    lines = "".join(f"{json.dumps(name, ensure_ascii=False)}\n" for name in names)
    if not lines:
        return
    path = root / LEDGER
    torn = is_file_here(path) and path.read_bytes()[-1:] not in (b"", b"\n")  # by a kill
    append(path, (torn * "\n" + lines).encode())


def not_ours(root: Path, name: str) -> InputError:
    """The error for what stands in the way."""
    unknown = f", which its {LEDGER} does not name"
    if named(root) is None:  # never there, or lost
        unknown = f", and no {LEDGER} that names it" if root.is_dir() else ""
    return InputError(
        "`out`",
        "be a new, an empty or a run's directory",
        f"{root}, which holds {name}{unknown}",
        "Move it away, or choose another one.",
    )
