"""NumPy's .npz and .npy files, without their objects, which are pickles."""

import io
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from simsmooth_jax.formats.stores.arrays import (
    MOST_AXES,
    ArrayInfo,
    Name,
    StoredArrays,
    refuse_bomb,
    refuse_count,
    refusing_damage,
)
from simsmooth_jax.machine.borrowed import zip_directory_size
from simsmooth_jax.machine.files.reading import MIB, MOST_TEXT, open_input, refuse_size

MAGIC = b"\x93NUMPY"
ONLY: Name = ("array",)  # an .npy file does not name its array
NAMES: Name = ("class_names",)  # a text for each class: noted about the arrays, none of them
MOST_HEADER = 10_240  # bytes of an .npy file's header, of which NumPy itself takes 10,000
MOST_DIRECTORY = 4 * MIB  # of a zip archive's list of what it holds


def recognises(path: Path, start: bytes) -> bool:
    """Whether a file is NumPy's: by its content, or damaged by its name."""
    return start.startswith((MAGIC, b"PK")) or path.suffix in (".npz", ".npy")


def open_file(path: Path) -> StoredArrays:
    """Lists an .npz or .npy file from its headers, each held against what the file holds.

    Args:
      path: the file.

    Returns:
      Its arrays; the one of an .npy file is named `array`.

    Raises:
      ValueError: it is damaged, or a header claims more than the file holds.
    """
    with refusing_damage(path), open_input(f"checkpoint {path}: it", path) as file:
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            arrays = {ONLY: read_header(file, path.stat().st_size)}
            return StoredArrays(path, "NumPy .npy", arrays, _reader(path))
        arrays = {}
        with open_zip(path, file) as archive:
            _refuse_lost_members(file, len(archive.infolist()))
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    name = (member.filename.removesuffix(".npy"),)
                    arrays[name] = read_member(path, archive, member)
        read = _reader(path)
        metadata = {}
        if NAMES in arrays and arrays[NAMES].dtype.startswith(("str", "bytes")):
            refuse_size(f"checkpoint {path}: class_names", arrays[NAMES].nbytes, MOST_TEXT)
            metadata["class_names"] = texts_of(read([NAMES])[NAMES]).tolist()
        return StoredArrays(path, "NumPy .npz", arrays, read, metadata)


def open_zip(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    """A zip archive, of which the list of members is read only where it is of a bounded size."""
    refuse_size(f"{path}: its list of members", zip_directory_size(file), MOST_DIRECTORY)
    archive = zipfile.ZipFile(file)
    refuse_count(path, len(archive.infolist()))
    return archive


def read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayInfo:
    """What the header of an archive's array says, held against what the archive holds of it."""
    with archive.open(member) as file:
        info = read_header(file, member.file_size)
    refuse_bomb(path, (member.filename,), member.file_size, member.compress_size)
    return info


def _refuse_lost_members(file: IO[bytes], found: int) -> None:
    """Compares the members with their number in the archive's end, which zipfile passes over."""
    file.seek(-22, os.SEEK_END)
    end = file.read()
    number = int.from_bytes(end[10:12], "little")
    if end[:4] == b"PK\x05\x06" and number != 0xFFFF and number != found:  # that many have another
        raise ValueError(f"it lists {found} of {number} members")


def read_header(file: IO[bytes], size: int) -> ArrayInfo:
    """What an .npy file's header says, held against the bytes that follow it.

    Args:
      file: at the beginning of the header.
      size: bytes of the whole .npy file.

    Returns:
      Shape, dtype and bytes; of an array of objects none.

    Raises:
      ValueError: it is no such header, or claims another number of bytes.
    """
    start = io.BytesIO(file.read(MOST_HEADER))  # NumPy reads whatever length a header claims
    major, _ = np.lib.format.read_magic(start)
    read = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(start)
    if len(shape) > MOST_AXES:
        raise ValueError(f"a header claims {len(shape):,} axes, of at most {MOST_AXES}")
    if dtype.hasobject:
        return ArrayInfo(shape, "object", 0)
    claimed, held = math.prod(shape) * dtype.itemsize, size - start.tell()
    if claimed != held:
        raise ValueError(f"a header claims {claimed:,} bytes where there are {held:,}")
    return ArrayInfo(shape, dtype.name, claimed)


def texts_of(array: np.ndarray) -> np.ndarray:
    """Texts, which some programs store as bytes in UTF-8."""
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array


def _reader(path: Path) -> Callable[[Sequence[Name]], dict[Name, np.ndarray]]:
    def read(names: Sequence[Name]) -> dict[Name, np.ndarray]:
        with refusing_damage(path), open_input(f"checkpoint {path}: it", path) as file:
            content: Any = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return dict.fromkeys(names, _native(content))
            return {name: _native(content[name[0]]) for name in names}

    return read


def _native(array: np.ndarray) -> np.ndarray:
    """The same numbers in this machine's order of bytes, the only one that JAX takes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
