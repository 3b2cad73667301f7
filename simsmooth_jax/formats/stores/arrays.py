"""What is stored, whatever program wrote it: a listing of arrays of which some can be read."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError, excerpt, first_line
from simsmooth_jax.formats.stores.buckets import BucketPath
from simsmooth_jax.machine.files.reading import MIB
from simsmooth_jax.machine.memory import GIB, host_memory

Place = Path | BucketPath
Name = tuple[str, ...]  # ("params", "head", "kernel"), or ("fc.weight",) where names are flat
MOST_ARRAYS = 20_000
MOST_NAME = 500  # characters
MOST_AXES = 64  # as NumPy has it
# An array that takes a hundred times its file, and much at that, is there to fill the memory:
# weights hardly become smaller.
LARGEST_RATIO = 100


@dataclasses.dataclass(frozen=True)
class ArrayInfo:
    """What is known of an array without reading it.

    `dtype` is a name as `"bfloat16"`, because not every stored one has a NumPy type.
    """

    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclasses.dataclass(frozen=True)
class StoredArrays:
    """The arrays of one checkpoint, listed; `reader` reads the named ones and no others.

    `pytorch` says that a leaf named `weight` is PyTorch's, classes first. `metadata` is what the
    program that saved it has noted besides, as `class_names`. `on_disk` is the bytes of all files.
    """

    path: Place
    format: str
    arrays: Mapping[Name, ArrayInfo]
    reader: Callable[[Sequence[Name]], dict[Name, np.ndarray]]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pytorch: bool = False
    on_disk: float = math.inf

    def __post_init__(self) -> None:
        """Refuses a listing that nobody means, and of which nothing is to be shown."""
        refuse_count(self.path, len(self.arrays))
        for name, info in self.arrays.items():
            if (length := sum(map(len, name)) + len(name) - 1) > MOST_NAME:
                shown = excerpt("/".join(name)[: 2 * MOST_NAME])
                got = f"{length:,} characters, as {shown}"
                raise damaged(self.path, f"an array's name has at most {MOST_NAME}, not {got}")
            if len(info.shape) > MOST_AXES:
                reason = f"{len(info.shape):,} axes of an array, which has at most {MOST_AXES}"
                raise damaged(self.path, reason)

    def read(self, names: Sequence[Name]) -> dict[Name, np.ndarray]:
        """The named arrays, where they and their copies fit into the memory."""
        for name in names:
            refuse_bomb(self.path, name, self.arrays[name].nbytes, self.on_disk)
        size, memory = sum(self.arrays[name].nbytes for name in names), host_memory()
        if 2 * size > memory:
            raise InputError(
                f"checkpoint {self.path}: {' and '.join('/'.join(name) for name in names[:2])}",
                f"fit twice into the memory of {memory / GIB:.1f} GiB",
                f"{size / GIB:.1f} GiB",
                "Read it where there is more memory.",
            )
        return self.reader(names)

    @property
    def is_label_table(self) -> bool:
        """Whether this is a file that `simsmooth labels` or a run wrote."""
        texts = self.metadata.keys() | {name[0] for name in self.arrays if len(name) == 1}
        return {"rule", "source_sha256", "class_names"} <= texts and ("table",) in self.arrays


def refuse_count(path: Place, count: int) -> None:
    """Refuses more arrays than are listed."""
    if count > MOST_ARRAYS:
        raise damaged(path, f"{count:,} arrays, of which at most {MOST_ARRAYS:,} are listed")


def refuse_bomb(path: Place, name: Name, size: int, held: float) -> None:
    """Refuses an array of more than 100 MiB that `held` bytes of a file are said to hold."""
    if size > max(100 * MIB, LARGEST_RATIO * held):
        raise damaged(
            path,
            f"{excerpt('/'.join(name))} claims far more than there is in its files: {size:,} "
            f"bytes, of which at most {LARGEST_RATIO} times the {int(held):,} there are read",
        )


@contextlib.contextmanager
def refusing_damage(path: Place) -> Iterator[None]:
    """Every way in which a library fails on a damaged file becomes one line."""
    try:
        yield
    except (InputError, PermissionError):
        raise
    except Exception as error:
        reason = re.split(r" \[(?:tensorstore_spec|source locations)=", first_line(error))[0]
        raise damaged(path, reason[:240].rstrip(". ")) from error


def damaged(path: Place, reason: str) -> InputError:
    """The error for what cannot be read though its format is known."""
    return InputError(
        f"checkpoint {path}: it", "be whole", f"a damaged one ({reason})", "Restore it from a copy."
    )
