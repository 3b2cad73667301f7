"""Flax's msgpack files: `flax.serialization.to_bytes`, and `checkpoint_N` of older programs."""

import dataclasses
import math
import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np

from simsmooth_jax.stored.arrays import ArrayInfo, Name, StoredArrays, refusing_damage

# The first byte of a msgpack value says its kind; of an extension type, a header follows.
MAPS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
LISTS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
EXTENSION_HEADERS = {0xC7: 3, 0xC8: 4, 0xC9: 6} | dict.fromkeys(range(0xD4, 0xD9), 2)
TEXTS = frozenset(bytes([first]) for first in [*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB])
FLAX_ARRAYS = (1, 3)  # the extension types of arrays and of NumPy's scalars
CHUNKED = "__msgpack_chunked_array__"  # Flax splits an array above 1 GiB


@dataclasses.dataclass
class Piece:
    """An array of the file, or one chunk of a large one: a view of the mapped file."""

    shape: tuple[int, ...]
    chunks: list[np.ndarray]


def recognises(path: Path, start: bytes) -> bool:
    """Whether a file is msgpack: it starts as Flax's trees do, or is named so."""
    return path.suffix == ".msgpack" or starts_as_tree(start)


def starts_as_tree(start: bytes) -> bool:
    """Whether bytes start with a map of which the first key is a text."""
    key = {0xDE: 3, 0xDF: 5}.get(start[0], 1)  # behind the map's own length
    return start[0] in MAPS and start[key : key + 1] in TEXTS


def last_of_directory(path: Path) -> Path | None:
    """The file of the highest step in a directory of Flax's `checkpoint_N` files.

    Args:
      path: a directory.

    Returns:
      The file, or None where there is none.
    """
    steps = {
        int(found[1]): child
        for child in path.iterdir()
        if (found := re.fullmatch(r"checkpoint_(\d+)", child.name)) and child.is_file()
    }
    return steps[max(steps)] if steps else None


def open_file(path: Path) -> StoredArrays:
    """Lists a msgpack file, which is walked without keeping what is passed.

    Args:
      path: the file.

    Returns:
      Its arrays; those that are read are copied out of the mapped file.

    Raises:
      ValueError: it is no tree of Flax's, damaged, or an array claims more than there is.
    """
    pieces: dict[Name, Piece] = {}
    others: dict[Name, Any] = {}
    with refusing_damage(path), path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        unpacker = msgpack.Unpacker(file, strict_map_key=False, max_buffer_size=0)
        _walk(content, unpacker, (), pieces, others)
        if unpacker.tell() != len(content):
            raise ValueError(f"{len(content) - unpacker.tell():,} bytes follow the tree")
        for name in [name[:-1] for name in others if name[-1:] == (CHUNKED,)]:
            pieces[name] = _joined(name, pieces, others)
    arrays = {name: _info(piece) for name, piece in pieces.items()}

    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        return {
            name: np.concatenate(pieces[name].chunks, axis=None).reshape(pieces[name].shape)
            for name in names
        }

    return StoredArrays(path, "Flax msgpack", arrays, read)


def _info(piece: Piece) -> ArrayInfo:
    return ArrayInfo(piece.shape, piece.chunks[0].dtype.name, sum(c.nbytes for c in piece.chunks))


def _walk(
    content: mmap.mmap,
    unpacker: msgpack.Unpacker,
    name: Name,
    pieces: dict[Name, Piece],
    others: dict[Name, Any],
) -> None:
    start = unpacker.tell()
    if content[start] in MAPS:
        for _ in range(unpacker.read_map_header()):
            _walk(content, unpacker, (*name, str(unpacker.unpack())), pieces, others)
    elif content[start] in LISTS:
        for index in range(unpacker.read_array_header()):
            _walk(content, unpacker, (*name, str(index)), pieces, others)
    elif content[start] in EXTENSION_HEADERS:
        unpacker.skip()
        body = start + EXTENSION_HEADERS[content[start]]
        if content[body - 1] in FLAX_ARRAYS:
            pieces[name] = _piece(content, body, unpacker.tell())
    else:
        others[name] = unpacker.unpack()


def _piece(content: mmap.mmap, start: int, end: int) -> Piece:
    """From the shape, the dtype's name and the bytes, whose header has 2 to 5 bytes."""
    header = msgpack.Unpacker()
    header.feed(content[start : min(end, start + 1024)])
    header.read_array_header()
    shape, dtype_name = tuple(header.unpack()), header.unpack()
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype_name == "bfloat16" else dtype_name)
    claimed, held = math.prod(shape) * dtype.itemsize, end - start - header.tell()
    if dtype.hasobject or not 2 <= held - claimed <= 5:
        raise ValueError(f"an array claims {claimed:,} bytes where there are {held:,}")
    view = np.frombuffer(content, dtype, math.prod(shape), end - claimed)
    return Piece(shape, [view])


def _joined(name: Name, pieces: dict[Name, Piece], others: dict[Name, Any]) -> Piece:
    """Makes one array of the chunks of a large one, which Flax lists by number."""

    def taken(part: str, entries: dict[Name, Any]) -> list[Any]:
        found = [key for key in entries if key[:-1] == (*name, part)]
        return [entries.pop(key) for key in sorted(found, key=lambda key: int(key[-1]))]

    shape, parts = tuple(taken("shape", others)), taken("chunks", pieces)
    chunks = [chunk for part in parts for chunk in part.chunks]
    if sum(chunk.size for chunk in chunks) != math.prod(shape) or not chunks:
        raise ValueError(f"the chunks of {'/'.join(name)} do not make its shape {shape}")
    return Piece(shape, chunks)
