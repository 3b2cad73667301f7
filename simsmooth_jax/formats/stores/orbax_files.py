"""What lies in the directory of a step, looked at before Orbax or TensorStore opens any of it."""

import math
import os
import stat
from collections.abc import Iterator

from simsmooth_jax.formats.stores.arrays import Place, damaged
from simsmooth_jax.formats.stores.buckets import BucketPath
from simsmooth_jax.formats.stores.orbax_steps import STEP, TREE
from simsmooth_jax.machine.files.reading import KINDS, MIB, MOST_TEXT

MOST_FILES = 200_000
# What is read whole before anything is known of it, and its most bytes.
READ_WHOLE = {
    STEP: MOST_TEXT,
    TREE: MOST_TEXT,
    "_sharding": MOST_TEXT,
    "array_metadatas": MOST_TEXT,
    "manifest.ocdbt": MIB,
    ".zarray": MIB,
    ".zattrs": MIB,
    ".zgroup": MIB,
    "zarr.json": MIB,
}


def bytes_of(path: Place, directory: Place) -> float:
    """Refuses a step with what is no file, or of a size that no step has.

    Args:
      path: what the user has named.
      directory: the step that it means.

    Returns:
      The bytes of all files; infinity for a bucket, of which the sizes are not listed.

    Raises:
      ValueError: a pipe, a device or another thing that would be waited for is among them, a file
        of metadata is larger than any is, or there are too many files.
    """
    if isinstance(directory, BucketPath):
        return math.inf
    total = 0
    for count, entry in enumerate(_files(str(directory), set())):
        if count == MOST_FILES:
            raise damaged(path, f"more than {MOST_FILES:,} files in it")
        shown = os.path.relpath(entry.path, directory)
        try:
            found = entry.stat()
        except OSError as error:  # a link to nowhere, or in a circle
            raise damaged(path, f"{shown} is no file: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
            raise damaged(path, f"{shown} is no file, but {kind}")
        in_metadata = os.path.basename(os.path.dirname(entry.path)) == "array_metadatas"
        name = "array_metadatas" if in_metadata else entry.name
        if (most := READ_WHOLE.get(name)) is not None and found.st_size > most:
            raise damaged(path, f"{shown} has {found.st_size:,} bytes, of at most {most:,}")
        total += found.st_size
    return total


def _files(directory: str, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """All that is no directory below one, also behind links, each directory once."""
    place = os.stat(directory)
    if (place.st_dev, place.st_ino) in seen:
        return
    seen.add((place.st_dev, place.st_ino))
    inside = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir():
                inside.append(entry.path)
            else:
                yield entry
    for path in inside:
        yield from _files(path, seen)
