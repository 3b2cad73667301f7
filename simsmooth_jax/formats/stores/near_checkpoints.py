"""Which checkpoints stand where none was found: the next step of whoever mistyped a path."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores import orbax_steps
from simsmooth_jax.formats.stores.arrays import Place
from simsmooth_jax.formats.stores.buckets import BucketPath

SEEN, NAMED = 200, 6  # children that are looked at, and those of them that are named
USUAL = "A run's classifiers are in its first, uniform and second."


def no_checkpoint(path: Place) -> InputError:
    """The error for a directory in which no step is found."""
    names = sorted(child.name for child in path.iterdir() if child.name[0] != ".")
    contents = f"which holds {', '.join(names[:NAMED])}" if names else "an empty directory"
    return InputError(
        "`checkpoint`",
        "be an Orbax checkpoint or a directory of its steps",
        f"{path}, {contents}",
        next_step(path),
    )


def next_step(path: Place) -> str:
    """Names the trainings in a directory, or beside a path at which nothing is.

    A bucket is not searched: every look into it takes a while.
    """
    if isinstance(path, BucketPath):
        return USUAL
    with contextlib.suppress(OSError, ValueError):
        folder = path if os.path.isdir(path) else path.parent
        if found := [*itertools.islice(_checkpoints(folder), NAMED)]:
            return f"Try {'one of ' * (len(found) > 1)}{', '.join(map(str, found))}."
    return USUAL


def _checkpoints(folder: Path) -> Iterator[Path]:
    for child in sorted(itertools.islice(folder.iterdir(), SEEN)):
        with contextlib.suppress(OSError, ValueError):
            if child.is_dir() and orbax_steps.find_step(child) is not None:
                yield child
