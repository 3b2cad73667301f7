"""Images in a folder for each class: PATH/{train,val,test}/CLASS/*.png, or PATH/CLASS/*.png."""

import dataclasses
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Int32
from PIL import Image

from simsmooth_jax.data.conversion import Conversion, read_image
from simsmooth_jax.data.dataset import Source, fixed_places
from simsmooth_jax.data.sources.folder_listing import (
    SUFFIXES,
    list_split,
    refuse_same_folders,
    split_folders,
)
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.reading import MIB, found_at, open_input

MOST_FILE = 256 * MIB  # of an image: of the 89 million pixels that Pillow decodes, uncompressed


@dataclasses.dataclass(frozen=True)
class FileExamples:
    """Image files, decoded when they are asked for; their names take a few bytes each."""

    root: str
    names: np.ndarray  # relative paths, as bytes
    labels: Int32[np.ndarray, " n"]
    conversion: Conversion
    image_shape: tuple[int, int, int]
    first: str  # the file whose shape it is
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Decodes the images at these indices, each of which must have the shape of the first."""
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        for place, name in enumerate(self.names[indices]):
            path = os.path.join(self.root, os.fsdecode(name))
            images[place] = self._decode(path)
        return images, self.labels[indices]

    def select(self, indices: Any) -> "FileExamples":
        """These examples alone, in this order."""
        return dataclasses.replace(self, names=self.names[indices], labels=self.labels[indices])

    def all_labels(self) -> np.ndarray:
        """Every label."""
        return self.labels

    def identity(self) -> Iterator[bytes]:
        """All names, labels and sizes of files, and the bytes of some."""
        yield self.labels.tobytes()
        yield b"\0".join(self.names)
        paths = [os.path.join(self.root, os.fsdecode(name)) for name in self.names]
        yield np.array([size_of(path) for path in paths]).tobytes()
        for place in fixed_places(len(paths)):
            with content_of(paths[place]) as file:
                yield file.read()

    def _decode(self, path: str) -> np.ndarray:
        def pixels_of(image: Image.Image) -> np.ndarray:
            shape = self.conversion.shape(path, image)
            if shape != self.image_shape:  # before it is decoded
                raise InputError(
                    f"{path}: it",
                    (
                        f"have the height, width and channels {self.image_shape} of the first "
                        f"image, {self.first}"
                    ),
                    shape,
                    "Declare one for all: `image_size` and `image_mode`.",
                )
            return self.conversion.convert(path, image)

        return read_image(path, content_of(path), pixels_of)


def open_folder(path: Path, conversion: Conversion) -> Source:
    """The splits of a folder by name, or one named train where the classes stand in it themselves.

    Class names are the folders' names, sorted by code point. The files of a split are in a fixed
    random order, so that every slice of it holds every class.
    """
    if not path.is_dir():
        raise InputError(
            "`data=folder:PATH`",
            "be an existing folder",
            found_at(path),
            "It holds train and test, or a folder for each class.",
        )
    splits = split_folders(path) or {"train": path}
    if len(splits) > 1 and "train" not in splits:
        raise InputError(
            f"`data=folder:{path}`",
            f"hold a folder train beside {', '.join(splits)}",
            "none",
            "Name the one to train on so.",
        )
    listed = {name: list_split(path, folder) for name, folder in splits.items()}
    refuse_same_folders([splits[split] / name for split in listed for name in listed[split]])
    first = next(iter(listed))
    class_names = tuple(sorted(listed[first]))
    if len(class_names) < 2:
        raise InputError(
            f"{splits[first]}: it",
            "hold a folder for each of two classes or more",
            len(class_names),
            f"A class is a folder of {' '.join(SUFFIXES)} files.",
        )
    for name, classes in listed.items():
        _compare_classes(splits[name], first, class_names, classes)
    file = str(path / next(classes[0] for classes in listed[first].values() if classes))
    shape = read_image(file, content_of(file), partial(conversion.shape, file))
    return Source(
        name=os.path.basename(os.path.abspath(path)),  # also of `.` and `..`
        class_names=class_names,
        splits={
            name: FileExamples(str(path), *_in_order(classes, class_names), conversion, shape, file)
            for name, classes in listed.items()
        },
    )


def _compare_classes(
    folder: Path, first: str, class_names: tuple[str, ...], classes: dict[str, list[str]]
) -> None:
    unknown = sorted(classes.keys() - set(class_names))
    if unknown:
        raise InputError(
            f"{folder}: it",
            f"hold classes of {first}",
            f"{unknown[0]!r}, which {first} has not",
            "Rename or move it.",
        )
    if not any(classes.values()):
        raise InputError(
            f"{folder}: it",
            f"hold images ({' '.join(SUFFIXES)})",
            "none",
            "They belong into a folder for each class.",
        )


def content_of(path: str) -> IO[bytes]:
    """An open file, which is refused by name where it cannot be read; of it a decoder asks parts.

    Raises:
      InputError: it cannot be opened, is no file, or larger than an image of which it may be made.
    """
    try:
        return open_input(f"{path}: it", Path(path), MOST_FILE)
    except OSError as error:
        raise _unreadable(path, error) from error


def size_of(path: str) -> int:
    """The bytes that a file has, which is refused by name where it is gone."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> InputError:
    must, then = "be a file that can be read", "Restore it, or take it out."
    return InputError(f"{path}: it", must, error.strerror, then)


def _in_order(
    classes: dict[str, list[str]], class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Files, as bytes, and labels of a split in its fixed order."""
    counts = [len(classes.get(name, ())) for name in class_names]
    names = np.array([os.fsencode(f) for name in class_names for f in classes.get(name, ())])
    labels = np.repeat(np.arange(len(class_names), dtype=np.int32), counts)
    order = np.random.RandomState(0).permutation(len(labels))
    return names[order], labels[order]
