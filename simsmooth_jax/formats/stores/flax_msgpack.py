"""Flax's msgpack files: `flax.serialization.to_bytes`, and `checkpoint_N` of older programs."""

import dataclasses
import math
import mmap
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np

from simsmooth_jax.errors import excerpt
from simsmooth_jax.formats.stores.arrays import (
    MOST_AXES,
    MOST_NAME,
    ArrayInfo,
    Name,
    StoredArrays,
    refuse_count,
    refusing_damage,
)
from simsmooth_jax.machine.files.reading import MIB, open_input

# The first byte of a msgpack value says its kind; an extension type has its length after that,
# in as many bytes, or in the kind.
MAPS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
LISTS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
ONE_BYTE = frozenset([*range(0x80), 0xC0, 0xC2, 0xC3, *range(0xE0, 0x100)])
TEXTS = frozenset(bytes([first]) for first in [*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB])
FLAX_ARRAYS = (1, 3)  # the extension types of arrays and of NumPy's scalars
CHUNKED = "__msgpack_chunked_array__"  # Flax splits an array above 1 GiB
MOST_VALUES = 1_000_000  # of all kinds, in lists and maps
MOST_VALUE = MIB  # bytes of one that is no array, as a name or a text


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
    first = start[0] if start else 0
    key = {0xDE: 3, 0xDF: 5}.get(first, 1)  # behind the map's own length
    return first in MAPS and start[key : key + 1] in TEXTS


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
    """Lists a msgpack file, of which the names and headers are read and the arrays jumped over.

    Args:
      path: the file.

    Returns:
      Its arrays; those that are read are copied out of the mapped file.

    Raises:
      ValueError: it is no tree of Flax's, damaged, or an array claims more than there is.
    """
    with refusing_damage(path), open_input(f"checkpoint {path}: it", path) as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(content, "madvise"):
            content.madvise(mmap.MADV_RANDOM)  # what is jumped over is not to be read ahead
        tree = _Tree(content)
        end = tree.walk(0, ())
        if end != len(content):
            raise ValueError(f"{len(content) - end:,} bytes follow the tree")
        refuse_count(path, len(tree.pieces) + len(tree.others))
        pieces = _joined(tree)
    arrays = {name: _info(piece) for name, piece in pieces.items()}

    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        with refusing_damage(path):
            return {
                name: np.concatenate(pieces[name].chunks, axis=None).reshape(pieces[name].shape)
                for name in names
            }

    return StoredArrays(path, "Flax msgpack", arrays, read)


def _info(piece: Piece) -> ArrayInfo:
    return ArrayInfo(piece.shape, piece.chunks[0].dtype.name, sum(c.nbytes for c in piece.chunks))


class _Tree:
    """Arrays, and the few other values that chunks need, of a mapped file by their names."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.pieces: dict[Name, Piece] = {}
        self.others: dict[Name, Any] = {}
        self.values = 0

    def walk(self, start: int, name: Name) -> int:
        """Collects the value that starts there, and says where it ends."""
        content = self.content
        self.values += 1
        if self.values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values, which are not looked through")
        kind = content[start] if start < len(content) else None
        if kind in MAPS:
            length, start = _small(content, start, msgpack.Unpacker.read_map_header)
            for _ in range(length):
                key, start = _small(content, start, msgpack.Unpacker.unpack)
                start = self.walk(start, (*name, _part(key)))
            return start
        if kind in LISTS:
            length, start = _small(content, start, msgpack.Unpacker.read_array_header)
            for index in range(length):
                start = self.walk(start, (*name, str(index)))
            return start
        if kind in EXTENSIONS or kind in FIXED_EXTENSIONS:
            width = EXTENSIONS.get(kind, 0)
            length = int.from_bytes(content[start + 1 : start + 1 + width])
            body = start + 2 + width  # behind the number of the extension type
            end = body + (length if width else FIXED_EXTENSIONS[kind])
            if end > len(content):
                raise ValueError(f"{excerpt('/'.join(name))} ends behind the file's end")
            if content[body - 1] in FLAX_ARRAYS:
                self.pieces[name] = _piece(content, body, end)
            return end
        value, end = None, start + 1
        if kind not in ONE_BYTE:
            value, end = _small(content, start, msgpack.Unpacker.unpack)
        elif kind is not None and kind < 0x80:
            value = kind
        if name[-1:] == (CHUNKED,) or name[-2:-1] == ("shape",):  # of a large array's chunks
            self.others[name] = value
        return end


def _part(key: Any) -> str:
    """A part of an array's name."""
    text = str(key)
    if len(text) > MOST_NAME:
        got = f"{len(text):,} characters, as {excerpt(text)}"
        raise ValueError(f"an array's name has at most {MOST_NAME}, not {got}")
    return text


def _small(
    content: mmap.mmap, start: int, take: Callable[[msgpack.Unpacker], Any]
) -> tuple[Any, int]:
    """What is taken from there, and where it ends; as little as possible is read for it."""
    window = 64
    while True:
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
        unpacker.feed(content[start : start + window])
        try:
            return take(unpacker), start + unpacker.tell()
        except msgpack.OutOfData:
            if start + window >= len(content):
                raise ValueError("it ends in the middle of a value") from None
            if window >= MOST_VALUE:
                raise ValueError(f"a name or text of more than {MOST_VALUE:,} bytes") from None
            window = min(8 * window, MOST_VALUE)


def _piece(content: mmap.mmap, start: int, end: int) -> Piece:
    """From the shape, the dtype's name and the bytes, whose header has 2 to 5 bytes."""
    header = msgpack.Unpacker()
    header.feed(content[start : min(end, start + 1024)])
    header.read_array_header()
    shape, dtype_name = tuple(header.unpack()), header.unpack()
    if len(shape) > MOST_AXES:
        raise ValueError(f"an array claims {len(shape):,} axes, of at most {MOST_AXES}")
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype_name == "bfloat16" else dtype_name)
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError(f"an array claims the shape {excerpt(shape)}")
    claimed, held = math.prod(shape) * dtype.itemsize, end - start - header.tell()
    if dtype.hasobject or not 2 <= held - claimed <= 5:
        raise ValueError(f"an array claims {claimed:,} bytes where there are {held:,}")
    view = np.frombuffer(content, dtype, math.prod(shape), end - claimed)
    return Piece(shape, [view])


def _joined(tree: _Tree) -> dict[Name, Piece]:
    """The arrays, with one made of the chunks of each large one, which Flax lists by number."""
    parts: dict[Name, dict[int, Any]] = {}
    whole = dict(tree.pieces)
    chunked = [name[:-1] for name in tree.others if name[-1:] == (CHUNKED,)]
    lists = {(*name, part) for name in chunked for part in ("shape", "chunks")}
    for name, value in (*tree.others.items(), *tree.pieces.items()):
        if name[:-1] in lists:
            parts.setdefault(name[:-1], {})[int(name[-1])] = value
            whole.pop(name, None)
    for name in chunked:
        shape, pieces = (
            [found[index] for index in sorted(found)]
            for found in (parts.get((*name, part), {}) for part in ("shape", "chunks"))
        )
        chunks = [chunk for piece in pieces for chunk in piece.chunks]
        if sum(chunk.size for chunk in chunks) != math.prod(shape) or not chunks:
            shown = excerpt("/".join(name)), excerpt(tuple(shape))
            raise ValueError(f"the chunks of {shown[0]} do not make its shape {shown[1]}")
        whole[name] = Piece(tuple(shape), chunks)
    return whole
