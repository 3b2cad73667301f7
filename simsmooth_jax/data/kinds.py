"""The sizes and colour modes of image files, each decoded whole, as a training will do."""

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from simsmooth_jax.data.conversion import MODES, Conversion, read_image
from simsmooth_jax.data.dataset import Source
from simsmooth_jax.data.sources.folder import FileExamples, content_of
from simsmooth_jax.machine.bars import transient_bar

NAMES = {mode: name for name, mode in MODES.items()}  # Pillow's -> ours
_CHUNK = 256  # files that a thread reads at a time


@dataclasses.dataclass(frozen=True)
class Kind:
    """Image files of one height, width and mode, as they are after the declared conversion."""

    height: int
    width: int
    mode: str  # grey, rgb, or Pillow's name of another one
    count: int
    first: str  # the first file of them

    def __str__(self) -> str:
        """As `32x32 rgb`."""
        return f"{self.height}x{self.width} {self.mode}"


def kinds_of_files(source: Source) -> list[Kind]:
    """The kinds of a folder's images, the most common one first; none of other sources.

    Of one kind where a declared size and mode make all images alike.

    Raises:
      InputError: a file cannot be decoded to its end, which its header does not tell.
    """
    splits = [split for split in source.splits.values() if isinstance(split, FileExamples)]
    if not splits:
        return []
    files = sorted(os.path.join(s.root, os.fsdecode(name)) for s in splits for name in s.names)
    counts: dict[tuple[int, int, str], int] = {}
    firsts: dict[tuple[int, int, str], str] = {}
    for file, kind in zip(files, _decoded(files, splits[0].conversion), strict=True):
        counts[kind] = counts.get(kind, 0) + 1
        firsts.setdefault(kind, file)
    kinds = [Kind(*kind, count, firsts[kind]) for kind, count in counts.items()]
    return sorted(kinds, key=lambda kind: -kind.count)


def _decoded(files: list[str], conversion: Conversion) -> Iterator[tuple[int, int, str]]:
    """Height, width and mode of every file, with a progress bar where that takes time."""
    with transient_bar() as bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        task = bar.add_task("reading images", total=len(files))
        chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
        for kinds in threads.map(partial(_read_chunk, conversion), chunks):
            yield from kinds
            bar.update(task, advance=len(kinds))


def _read_chunk(conversion: Conversion, files: list[str]) -> list[tuple[int, int, str]]:
    return [read_image(file, content_of(file), partial(_kind, conversion, file)) for file in files]


def _kind(conversion: Conversion, file: str, image: Image.Image) -> tuple[int, int, str]:
    # Any mode that can become RGB is counted; one that cannot, of 16 bits, is refused by name.
    readable = dataclasses.replace(conversion, mode=conversion.mode or "rgb")
    height, width, _ = readable.shape(file, image)
    image.load()
    return height, width, conversion.mode or NAMES.get(image.mode, image.mode)
