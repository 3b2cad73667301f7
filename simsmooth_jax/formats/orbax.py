"""Orbax checkpoints of all its programs, read by TensorStore, which Orbax itself stores with.

Orbax's own restore leaves tasks behind a failed read, whose errors come up later in the user's
program, and ends the process where an array's metadata ask for more memory than there is.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.arrays import ArrayInfo, Name, StoredArrays, damaged, refusing_damage

ARRAYS = ("jax.Array", "np.ndarray", "scalar")  # the other values are texts and empty trees
LARGEST_RATIO = 1000  # of an array to all the files; zstd makes a trained one hardly smaller


def open_step(path: Path, directory: Path) -> StoredArrays:
    """Lists the arrays of a checkpoint from their metadata.

    Args:
      path: what the user has named.
      directory: the step that it means; the names of arrays start with the item's where a step has
        several.

    Returns:
      The arrays, read as NumPy arrays whatever devices they were saved on.

    Raises:
      ValueError: it is damaged, or an array's metadata point out of it.
    """
    items = items_of(directory)
    if not items:
        raise damaged(path, f"a step without {TREE}, which lists its arrays")
    files = [f for d in items.values() for f in d.rglob("*") if not f.is_dir()]
    if odd := [file for file in files if not file.is_file()]:  # a pipe would be waited for
        raise damaged(path, f"{odd[0].relative_to(directory)} is no file")
    on_disk = sum(file.stat().st_size for file in files)
    stores: dict[Name, ts.TensorStore] = {}
    with refusing_damage(path):
        for item, directory in items.items():
            prefix = (item,) if len(items) > 1 else ()
            stores |= {(*prefix, *name): store for name, store in _open(path, directory).items()}
    first = next(iter(items.values()))

    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        for name in names:
            chunk = [length or 1 for length in stores[name].chunk_layout.read_chunk.shape or ()]
            size = max(math.prod(stores[name].shape), math.prod(chunk))
            if size * stores[name].dtype.numpy_dtype.itemsize > LARGEST_RATIO * on_disk:
                raise damaged(path, f"{'/'.join(name)} claims far more than there is in its files")
        with refusing_damage(path):
            futures = {name: stores[name].read() for name in names}
            return {name: future.result() for name, future in futures.items()}

    step = next((p for p in (first, first.parent) if (p / STEP).is_file()), first)
    metadata = noted(step).get("custom_metadata")
    return StoredArrays(
        path,
        _description(step, items),
        {name: _info(store) for name, store in stores.items()},
        read,
        metadata if isinstance(metadata, dict) else {},
    )


def _description(step: Path, items: dict[str, Path]) -> str:
    number = step_number(step)
    where = [] if number is None else [f"step {number}"]
    if step not in items.values():
        where.append(f"{'items' if len(items) > 1 else 'item'} {', '.join(items)}")
    return ", ".join(["Orbax", *where])


def _info(store: ts.TensorStore) -> ArrayInfo:
    itemsize = store.dtype.numpy_dtype.itemsize
    return ArrayInfo(tuple(store.shape), store.dtype.name, math.prod(store.shape) * itemsize)


def _open(path: Path, directory: Path) -> dict[Name, ts.TensorStore]:
    """Opens every array of one directory, which reads their metadata alone."""
    tree = json.loads((directory / TREE).read_bytes())
    use_ocdbt = tree.get("use_ocdbt", (directory / "manifest.ocdbt").is_file())
    # Where Orbax has stored the zeros too, a chunk that is missing is lost and not zero.
    strict = bool(tree.get("store_array_data_equal_to_fill_value"))
    context = ts.Context({"cache_pool": {"total_bytes_limit": 100_000_000}})
    futures: dict[str, tuple[Name, Any]] = {}
    for entry in tree["tree_metadata"].values():
        if entry["value_metadata"]["value_type"] not in ARRAYS:
            continue
        name = tuple(str(key["key"]) for key in entry["key_metadata"])
        stored_as = ".".join(name)
        if stored_as in futures:  # Orbax has written one over the other
            raise InputError(
                f"checkpoint {path}: every array",
                "have a name of its own",
                (
                    f"{'/'.join(name)} and {'/'.join(futures[stored_as][0])}, which Orbax both "
                    f"stores as {stored_as}"
                ),
                "Rename one where they were saved.",
            )
        kvstore = {"driver": "file", "path": f"{directory}/{stored_as}/"}
        if use_ocdbt:
            base = {"driver": "file", "path": f"{directory}/"}
            kvstore = {"driver": "ocdbt", "base": base, "path": f"{stored_as}/"}
        spec = {
            "driver": "zarr3" if tree.get("use_zarr3") else "zarr",
            "kvstore": kvstore,
            "fill_missing_data_reads": not strict,
        }
        futures[stored_as] = name, ts.open(spec, open=True, read=True, context=context)
    return {name: future.result() for name, future in futures.values()}


TREE = "_METADATA"  # in every directory of arrays: their names
STEP = "_CHECKPOINT_METADATA"  # in a step's directory: what was noted when it was saved
# Bare trees beside each other are steps under these names alone; others are trainings or parts.
PREFIXES = ("", "step_", "checkpoint_", "ckpt_", "epoch_")
UNFINISHED = ".orbax-checkpoint-tmp"


def find_step(path: Path) -> Path | None:
    """The last finished step in a directory of steps, or the path where it is one itself.

    Args:
      path: a directory of steps, a step, or a directory of arrays.

    Returns:
      The directory of the step, or None where this is no Orbax checkpoint.

    Raises:
      ValueError: the last step holds no arrays any more; two steps have the same number.
    """
    if (path / TREE).is_file() or (path / STEP).is_file():
        return path
    steps = [(found, c) for c in _directories(path) if (found := _name_and_number(c))]
    names = {name for (name, _), child in steps if _is_step(child)}
    # A step that was noted as begun, or is empty, is what a kill leaves of one.
    finished = [
        (number, name, child)
        for (name, number), child in steps
        if name in names and is_committed(child) and any(child.iterdir())
    ]
    if not finished:
        return path if items_of(path) else None
    last, name, step = max(finished)
    for number, other_name, other in finished:
        is_training = (other / TREE).is_file() and other_name not in PREFIXES
        if other != step and (number == last or other_name != name or is_training):
            raise _several(path, other, step)
    if not items_of(step):  # an older one in its place would be a silent error
        raise damaged(step, f"the last step of {path.name} has no {TREE} of its arrays")
    return step


def refuse_later(path: Path, step: Path, other: Path | None) -> None:
    """Refuses a file of a later step than Orbax's last, which another writer has left beside it.

    Args:
      path: a directory of steps.
      step: Orbax's last one.
      other: the last file of the other writer, if there is one.

    Raises:
      ValueError: the other is of a later step.
    """
    numbers = step_number(step), other and step_number(other)
    if numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]:
        raise _several(path, Path(str(other)), step)


def _several(path: Path, other: Path, step: Path) -> InputError:
    return InputError(
        "`checkpoint`",
        "be a directory of one training's steps",
        f"{path}, which holds {other.name} and {step.name}",
        "Name one of them.",
    )


def no_checkpoint(path: Path) -> InputError:
    """The error for a directory in which no step is found."""
    names = sorted(child.name for child in path.iterdir() if child.name[0] != ".")
    contents = f"which holds {', '.join(names[:6])}" if names else "an empty directory"
    return InputError(
        "`checkpoint`",
        "be an Orbax checkpoint or a directory of its steps",
        f"{path}, {contents}",
        "A run's classifiers are in its first, uniform and second.",
    )


def items_of(step: Path) -> dict[str, Path]:
    """The directories of arrays in a step by their names, as `default`; or it, if it is one."""
    if (step / TREE).is_file():
        return {step.name: step}
    return {child.name: child for child in _directories(step) if (child / TREE).is_file()}


def step_number(path: Path) -> int | None:
    """7 of `7`, `000007`, `checkpoint_7`."""
    found = _name_and_number(path)
    return found[1] if found else None


def is_committed(step: Path) -> bool:
    """Whether a step does not say that its saving has only begun."""
    return noted(step).get("commit_timestamp_nsecs", 0) is not None


def noted(directory: Path) -> dict[str, Any]:
    """What Orbax has noted when it saved a step; older programs do not note anything."""
    try:
        values = json.loads((directory / STEP).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_step(path: Path) -> bool:
    return (path / STEP).is_file() or bool(items_of(path))


def _directories(path: Path) -> list[Path]:
    return sorted(c for c in path.iterdir() if c.is_dir() and UNFINISHED not in c.name)


def _name_and_number(path: Path) -> tuple[str, int] | None:
    found = re.fullmatch(r"(.*_)?(\d+)", path.name)
    return (found[1] or "", int(found[2])) if found else None
