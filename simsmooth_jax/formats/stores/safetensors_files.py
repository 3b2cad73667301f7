"""safetensors files, as PyTorch, timm and Hugging Face write them."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.arrays import (
    ArrayInfo,
    Name,
    StoredArrays,
    refuse_count,
    refusing_damage,
)
from simsmooth_jax.machine.files.reading import MOST_TEXT, open_input, parsed_json, refuse_size

NUMBERS = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}


def recognises(path: Path, start: bytes) -> bool:
    """Whether a file is a safetensors file: by its JSON header, or damaged by its name."""
    return path.suffix == ".safetensors" or start[8:10] in (b'{"', b"{}")


def only_of_directory(path: Path) -> Path | None:
    """The single .safetensors file of a directory, as Hugging Face's models have it.

    Args:
      path: a directory.

    Returns:
      The file, or None where there is none or more than one.
    """
    files = [file for file in path.glob("*.safetensors") if file.is_file()]
    return files[0] if len(files) == 1 else None


def open_file(path: Path) -> StoredArrays:
    """Lists a safetensors file from its header, which the library holds against its size.

    Args:
      path: the file.

    Returns:
      Its arrays by their flat names, as `fc.weight`.

    Raises:
      ValueError: it is damaged, or its header claims more than it holds.
    """
    with open_input(f"checkpoint {path}: it", path) as file:
        header = int.from_bytes(file.read(8), "little")
    if header <= path.stat().st_size:  # else the library says so
        refuse_size(f"checkpoint {path}: its header", header, MOST_TEXT)
    with refusing_damage(path), safetensors.safe_open(path, "np") as file:
        found = list(file.keys())
        refuse_count(path, len(found))
        slices = {name: file.get_slice(name) for name in found}
        arrays = {
            (name,): _info(part.get_shape(), part.get_dtype()) for name, part in slices.items()
        }
        metadata: dict[str, Any] = file.metadata() or {}
    names = _texts(metadata.get("class_names", ""))
    if names is not None:
        metadata["class_names"] = names

    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        with refusing_damage(path), safetensors.safe_open(path, "np") as file:
            return {name: file.get_tensor(name[0]) for name in names}

    return StoredArrays(path, "safetensors", arrays, read, metadata, pytorch=True)


def in_order(arrays: dict[str, np.ndarray], texts: dict[str, str]) -> bytes:
    """A safetensors file whose header is in order; the library's is in another one each time."""
    whole = safetensors.numpy.save(arrays, texts)
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    ordered = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ordered += b" " * (-len(ordered) % 8)  # where the arrays begin
    return len(ordered).to_bytes(8, "little") + ordered + whole[8 + length :]


def _texts(text: str) -> list[str] | None:
    """The list in a text of JSON; the format's metadata are texts alone."""
    try:
        values = parsed_json("class_names", text)
    except InputError:
        return None
    return values if isinstance(values, list) and {type(v) for v in values} == {str} else None


def _info(shape: list[int], code: str) -> ArrayInfo:
    """From the format's own names of types, as `BF16` or `F8_E4M3`."""
    found = re.fullmatch(r"([A-Z]+)(\d+)", code)
    bits = re.search(r"\d+", code)
    dtype = NUMBERS.get(found[1], found[1].lower()) + found[2] if found else code.lower()
    return ArrayInfo(tuple(shape), dtype, math.prod(shape) * int(bits[0] if bits else 8) // 8)
