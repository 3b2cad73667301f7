"""Orbax checkpoints of all its programs, read by TensorStore, which Orbax itself stores with.

Orbax's own restore leaves tasks behind a failed read, whose errors come up later in the user's
program, and ends the process where an array's metadata ask for more memory than there is.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from simsmooth_jax.errors import InputError, excerpt
from simsmooth_jax.formats.stores.arrays import (
    ArrayInfo,
    Name,
    Place,
    StoredArrays,
    damaged,
    refuse_bomb,
    refuse_count,
    refusing_damage,
)
from simsmooth_jax.formats.stores.buckets import BucketPath
from simsmooth_jax.formats.stores.orbax_files import bytes_of
from simsmooth_jax.formats.stores.orbax_steps import (
    STEP,
    TREE,
    content_of,
    items_of,
    noted,
    step_number,
)
from simsmooth_jax.machine.files.reading import parsed_json

ARRAYS = ("jax.Array", "np.ndarray", "scalar")  # the other values are texts and empty trees


def open_step(path: Place, directory: Place) -> StoredArrays:
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
    on_disk = bytes_of(path, directory)
    stores: dict[Name, ts.TensorStore] = {}
    with refusing_damage(path):
        for item, directory in items.items():
            prefix = (item,) if len(items) > 1 else ()
            stores |= {(*prefix, *name): store for name, store in _open(path, directory).items()}
    first = next(iter(items.values()))

    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        for name in names:
            chunk = [length or 1 for length in stores[name].chunk_layout.read_chunk.shape or ()]
            refuse_bomb(
                path, name, math.prod(chunk) * stores[name].dtype.numpy_dtype.itemsize, on_disk
            )
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
        on_disk=on_disk,
    )


def refuse_hostile(step: Path) -> None:
    """Refuses a step that Orbax itself would wait for, or fill the memory with, were it to read it.

    Args:
      step: its directory here.

    Raises:
      ValueError: what `open_step` refuses, or an array claims far more than all files hold.
    """
    stored = open_step(step, step)
    for name, info in stored.arrays.items():
        refuse_bomb(step, name, info.nbytes, stored.on_disk)


def _description(step: Place, items: dict[str, Place]) -> str:
    number = step_number(step)
    where = [] if number is None else [f"step {number}"]
    if step not in items.values():
        where.append(f"{'items' if len(items) > 1 else 'item'} {', '.join(items)}")
    return ", ".join(["Orbax", *where])


def _info(store: ts.TensorStore) -> ArrayInfo:
    itemsize = store.dtype.numpy_dtype.itemsize
    return ArrayInfo(tuple(store.shape), store.dtype.name, math.prod(store.shape) * itemsize)


def _open(path: Place, directory: Place) -> dict[Name, ts.TensorStore]:
    """Opens every array of one directory, which reads their metadata alone."""
    content = content_of(f"checkpoint {path}: {TREE}", directory / TREE)
    try:
        tree = parsed_json(TREE, content)
    except InputError as error:
        raise damaged(path, f"{TREE} is no JSON: {error.got}") from error
    use_ocdbt = tree.get("use_ocdbt", (directory / "manifest.ocdbt").is_file())
    refuse_count(path, len(tree["tree_metadata"]))
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
                    f"{excerpt('/'.join(name))} and {excerpt('/'.join(futures[stored_as][0]))}, "
                    f"which Orbax both stores as {excerpt(stored_as)}"
                ),
                "Rename one where they were saved.",
            )
        if stored_as.startswith("/"):  # TensorStore itself refuses any `..`
            raise damaged(path, f"the array {excerpt(stored_as)} lies outside of it")
        kvstore = _kvstore(directory / stored_as)
        if use_ocdbt:
            base = _kvstore(directory)
            kvstore = {"driver": "ocdbt", "base": base, "path": f"{stored_as}/"}
        spec = {
            "driver": "zarr3" if tree.get("use_zarr3") else "zarr",
            "kvstore": kvstore,
            "fill_missing_data_reads": not strict,
        }
        futures[stored_as] = name, ts.open(spec, open=True, read=True, context=context)
    return {name: future.result() for name, future in futures.values()}


def _kvstore(directory: Place) -> dict[str, Any]:
    if isinstance(directory, BucketPath):
        return directory.spec
    return {"driver": "file", "path": f"{directory}/"}
