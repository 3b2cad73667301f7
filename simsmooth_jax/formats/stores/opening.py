"""Checkpoints of other programs, and of this one: recognised, listed, read in part."""

import dataclasses
import os
from pathlib import Path

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores import (
    class_names,
    flax_msgpack,
    foreign_files,
    numpy_files,
    orbax,
    orbax_steps,
    safetensors_files,
)
from simsmooth_jax.formats.stores.arrays import StoredArrays, damaged
from simsmooth_jax.formats.stores.buckets import BucketPath, local_or_bucket, not_here
from simsmooth_jax.formats.stores.near_checkpoints import next_step, no_checkpoint
from simsmooth_jax.machine.files.reading import open_input

READABLE = "Give an Orbax checkpoint, a Flax msgpack file, a .safetensors, an .npz or an .npy file."


def open_stored(path: str | os.PathLike[str], verify: bool = True) -> StoredArrays:
    """Lists a checkpoint, recognised by its content, without reading an array of it.

    Args:
      path: a file, or a directory: an Orbax checkpoint, a step of one, the directory of its steps,
        Flax's directory of `checkpoint_N` files, or one that holds a single .safetensors file; of
        Orbax also one in a bucket, as gs://BUCKET/run.
      verify: compare all files of a step with its manifest, where there is one.

    Returns:
      Its arrays by name, with the means to read some of them.

    Raises:
      ValueError: nothing is there, it is of another kind, a pickle, or damaged.
    """
    place = local_or_bucket(path)
    if not isinstance(place, BucketPath):
        return _open_here(place, verify)
    step = orbax_steps.find_step(place)
    if step is None:
        raise not_here(place)
    return orbax.open_step(place, step)


def _open_here(path: Path, verify: bool) -> StoredArrays:
    if not os.path.exists(path):  # it says no to every odd name
        raise InputError(
            "`checkpoint`",
            "be an existing directory or file",
            path,
            next_step(path),
        )
    if not path.is_dir():
        return _open_file(path)
    msgpack = flax_msgpack.last_of_directory(path)
    step = orbax_steps.find_step(path.resolve())  # TensorStore refuses any `..`
    if step is not None:
        orbax_steps.refuse_later(path, step, msgpack)
        try:
            if verify:
                orbax_steps.refuse_lost_later(path, step)
                orbax_steps.verify(step)
            return orbax.open_step(path, step)
        except (InputError, OSError):
            if step.exists():
                raise
        return _open_here(path, verify)  # a training that goes on has removed the step meanwhile
    inside = msgpack or safetensors_files.only_of_directory(path)
    if inside is not None and not (stored := _open_file(inside)).is_label_table:  # as a run's
        return stored
    foreign_files.refuse_directory(path)
    raise no_checkpoint(path)


def _open_file(path: Path) -> StoredArrays:
    with open_input(f"checkpoint {path}: it", path) as file:
        start = file.read(64)
    if not start:
        raise damaged(path, "an empty file")
    foreign_files.refuse_file(path, start)
    for kind in (numpy_files, safetensors_files, flax_msgpack):
        if kind.recognises(path, start):
            stored = kind.open_file(path)
            if "class_names" in stored.metadata or (names := class_names.beside(path)) is None:
                return stored
            return dataclasses.replace(stored, metadata={**stored.metadata, "class_names": names})
    raise InputError(
        f"checkpoint {path}: it",
        "be of a kind that can be read",
        f"a file of another kind, which starts with {start[:8]!r}",
        READABLE,
    )
