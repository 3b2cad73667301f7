"""Checkpoints of other programs, and of this one: recognised, listed, read in part."""

from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.stored import (
    flax_msgpack,
    foreign_files,
    numpy_files,
    orbax_trees,
    safetensors_files,
)
from simsmooth_jax.stored.arrays import ArrayInfo, Name, StoredArrays, damaged

__all__ = ["ArrayInfo", "Name", "StoredArrays", "open_stored"]

READABLE = "Give an Orbax checkpoint, a Flax msgpack file, a .safetensors, an .npz or an .npy file."


def open_stored(path: Path) -> StoredArrays:
    """Lists a checkpoint, recognised by its content, without reading an array of it.

    Args:
      path: a file, or a directory: an Orbax checkpoint, a step of one, the directory of its steps,
        Flax's directory of `checkpoint_N` files, or one that holds a single .safetensors file.

    Returns:
      Its arrays by name, with the means to read some of them.

    Raises:
      ValueError: nothing is there, it is of another kind, a pickle, or damaged.
    """
    if not path.exists():
        raise InputError(
            f"CHECKPOINT must be an existing directory or file, got {path}. "
            "A run's classifiers are in its first, uniform and second."
        )
    if path.is_file():
        return _open_file(path)
    items = orbax_trees.find_items(path.resolve())  # TensorStore refuses any `..`
    if items:
        return orbax_trees.open_items(path, items)
    inside = flax_msgpack.last_of_directory(path) or safetensors_files.only_of_directory(path)
    if inside is not None:
        return _open_file(inside)
    foreign_files.refuse_directory(path)
    raise InputError(
        f"CHECKPOINT must be an Orbax checkpoint or a directory of its steps, got "
        f"{path}, {_contents(path)}. A run's classifiers are in its first, uniform and second."
    )


def _open_file(path: Path) -> StoredArrays:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise damaged(path, "an empty file")
    foreign_files.refuse_file(path, start)
    for kind in (numpy_files, safetensors_files, flax_msgpack):
        if kind.recognises(path, start):
            return kind.open_file(path)
    raise InputError(
        f"checkpoint {path}: it must be of a kind that can be read, got a file of another kind, "
        f"which starts with {start[:8]!r}. {READABLE}"
    )


def _contents(path: Path) -> str:
    names = sorted(child.name for child in path.iterdir() if child.name[0] != ".")
    return f"which holds {', '.join(names[:6])}" if names else "an empty directory"
