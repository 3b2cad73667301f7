"""The superclass of each class, from a file or from the data themselves."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.formats.stores.numpy_files import ONLY, open_file
from simsmooth_jax.machine.files.reading import MOST_TEXT, refuse_size

KEY = "fine_to_coarse"  # as CIFAR-100's own metadata call it


def read_superclasses(config: StudyConfig, dataset: Dataset) -> Int[np.ndarray, " classes"] | None:
    """Integers [K], counted from 0; None where nobody says them."""
    if config.superclasses is None:
        return of_data(config.training.data.data, dataset)
    return _checked(config.superclasses, _read(config.superclasses), dataset)


def of_data(data: str, dataset: Dataset) -> Int[np.ndarray, " classes"] | None:
    """Those that npz: data hold themselves."""
    kind, _, where = data.partition(":")
    if kind != "npz":
        return None
    path = Path(os.path.expanduser(where))
    given = _read(path)
    return None if given is None else _checked(path, given, dataset)


def _checked(path: Path, given: Any, dataset: Dataset) -> Int[np.ndarray, " classes"]:
    who = f"`superclasses={path}`"
    then = f"Save an array .npy, or {KEY} in an .npz."
    if given is None or given.shape != (dataset.num_classes,) or given.dtype.kind not in "iu":
        got = "none" if given is None else f"{given.dtype}{list(given.shape)}"
        raise InputError(who, f"hold {dataset.num_classes} integers, one for each class", got, then)
    found = np.unique(given, return_inverse=True)[1]
    if found.max() == 0:
        raise InputError(who, "tell two superclasses or more apart", "one", then)
    return found


def _read(path: Path) -> Any:
    name = (KEY,)
    try:
        stored = open_file(path)
        name = ONLY if ONLY in stored.arrays and len(stored.arrays) == 1 else name
        if name not in stored.arrays:
            return None
        refuse_size("the array", stored.arrays[name].nbytes, MOST_TEXT)
        return stored.read([name])[name]
    except (OSError, InputError) as error:
        raise InputError(
            f"`superclasses={path}`",
            "be an .npy or .npz file",
            first_line(error),
            "Save it with numpy.save.",
        ) from error
