"""What is stored, whatever program wrote it: a listing of arrays of which some can be read."""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.formats.stores.buckets import BucketPath

Place = Path | BucketPath
Name = tuple[str, ...]  # ("params", "head", "kernel"), or ("fc.weight",) where names are flat


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
    """The arrays of one checkpoint, listed; `read` reads the named ones and no others.

    `pytorch` says that a leaf named `weight` is PyTorch's, classes first. `metadata` is what the
    program that saved it has noted besides, as `class_names`.
    """

    path: Place
    format: str
    arrays: Mapping[Name, ArrayInfo]
    read: Callable[[Sequence[Name]], dict[Name, np.ndarray]]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pytorch: bool = False

    @property
    def is_label_table(self) -> bool:
        """Whether this is a file that `simsmooth labels` or a run wrote."""
        texts = self.metadata.keys() | {name[0] for name in self.arrays if len(name) == 1}
        return {"rule", "source_sha256", "class_names"} <= texts and ("table",) in self.arrays


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
