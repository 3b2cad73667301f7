"""Images in a folder for each class: PATH/{train,val,test}/CLASS/*.png, or PATH/CLASS/*.png."""

import dataclasses
import os
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Int32
from PIL import Image

from simsmooth_jax.data.conversion import Conversion, read_image
from simsmooth_jax.data.dataset import Source
from simsmooth_jax.data.splits import ALL_NAMES
from simsmooth_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class FileExamples:
    """Image files, decoded when they are asked for; their names take a few bytes each."""

    root: str
    names: np.ndarray  # relative paths, as bytes
    labels: Int32[np.ndarray, " n"]
    conversion: Conversion
    image_shape: tuple[int, int, int]
    first: str  # the file whose shape it is

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

    def select(self, indices: Any) -> Self:
        """These examples alone, in this order."""
        return dataclasses.replace(self, names=self.names[indices], labels=self.labels[indices])

    def all_labels(self) -> np.ndarray:
        """Every label."""
        return self.labels

    def _decode(self, path: str) -> np.ndarray:
        pixels = read_image(path, _content(path), partial(self.conversion.convert, path))
        if pixels.shape != self.image_shape:
            raise InputError(
                f"{path}: it must have the height, width and channels {self.image_shape} of the "
                f"first image, {self.first}, got {pixels.shape}. Declare one for all: --image-size "
                "and --image-mode."
            )
        return pixels


def open_folder(path: Path, conversion: Conversion) -> Source:
    """The splits of a folder by name, or one named train where the classes stand in it themselves.

    Class names are the folders' names, sorted by code point. The files of a split are in a fixed
    random order, so that every slice of it holds every class.
    """
    if not path.is_dir():
        raise InputError(
            f"--data folder:PATH must be an existing folder, got {path}. "
            "It holds train and test, or a folder for each class."
        )
    splits = split_folders(path) or {"train": path}
    if len(splits) > 1 and "train" not in splits:
        raise InputError(
            f"--data folder:{path} must hold a folder train beside {', '.join(splits)}, got none. "
            "Name the one to train on so."
        )
    listed = {name: list_split(path, folder) for name, folder in splits.items()}
    first = next(iter(listed))
    class_names = tuple(sorted(listed[first]))
    if len(class_names) < 2:
        raise InputError(
            f"--data folder:{splits[first]} must hold a folder for each of two classes or more, "
            f"got {len(class_names)}. A class is a folder of {' '.join(SUFFIXES)} files."
        )
    for name, classes in listed.items():
        _compare_classes(splits[name], first, class_names, classes)
    file = str(path / next(classes[0] for classes in listed[first].values() if classes))
    shape = read_image(file, _content(file), partial(conversion.shape, file))
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
            f"--data folder: {folder} must hold classes of {first}, got {unknown[0]!r}, which "
            f"{first} has not. Rename or remove it."
        )
    if not any(classes.values()):
        raise InputError(
            f"--data folder: {folder} must hold images ({' '.join(SUFFIXES)}), got none. "
            "They belong into a folder for each class."
        )


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(
            f"{path}: it must be a file that can be read, got {error.strerror}. "
            "Restore it, or take it out."
        ) from error


def _in_order(
    classes: dict[str, list[str]], class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Files, as bytes, and labels of a split in its fixed order."""
    counts = [len(classes.get(name, ())) for name in class_names]
    names = np.array([os.fsencode(f) for name in class_names for f in classes.get(name, ())])
    labels = np.repeat(np.arange(len(class_names), dtype=np.int32), counts)
    order = np.random.RandomState(0).permutation(len(labels))
    return names[order], labels[order]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# Images that Pillow does not know without help.
OTHERS = (".heic", ".heif", ".avif", ".jxl", ".svg", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".raw")
RENAME = "train, val or test (in lower case)"


def split_folders(path: Path) -> dict[str, Path]:
    """The folders with a split's name, or none where the classes stand in the path themselves.

    One of these classes may be called train as well: it is no split, as it holds no folders.
    """
    children = _folders(path)
    splits = {name: path / name for name in ALL_NAMES if name in children}
    others = [name for name in children if name not in splits]
    if others and not any(map(_folders, splits.values())):
        return {}
    if others:
        raise InputError(
            f"--data folder:{path} must hold no other folder beside {', '.join(splits)}, got "
            f"{others[0]}. Rename it to {RENAME}, or move it."
        )
    return splits


def list_split(root: Path, folder: Path) -> dict[str, list[str]]:
    """The image files of each class, relative to the root; what can be no image is passed by."""
    _refuse_unsorted(folder)
    classes: dict[str, list[str]] = {}
    for name in _folders(folder):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"--data folder:{folder} must hold classes with names in UTF-8, got "
                f"{os.fsencode(name)!r}. Rename it."
            ) from error
        inside = folder / name
        _refuse_outside(root, inside)
        composed = unicodedata.normalize("NFC", name)  # some file systems take letters apart
        if composed in classes:
            raise InputError(
                f"--data folder:{folder} must hold each class once, got two folders whose names "
                f"look the same, {composed!r}. Put their images into one."
            )
        classes[composed] = _list_class(root, inside)
    return classes


def _folders(path: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(path) if e.is_dir() and not e.name.startswith("."))


def _refuse_unsorted(folder: Path) -> None:
    """Refuses images beside the folders of the classes: nothing says what they show."""
    formats = Image.registered_extensions()  # of documents as well, as .pdf
    for name in sorted(os.listdir(folder)):
        kind = Image.MIME.get(formats.get(os.path.splitext(name)[1].lower(), ""), "")
        if kind.startswith("image/") and not name.startswith(".") and (folder / name).is_file():
            raise InputError(
                f"{folder / name}: an image must lie in the folder of its class, got it in "
                f"{folder} itself. Move it into {folder / 'CLASS'}, or elsewhere."
            )


def _list_class(root: Path, folder: Path) -> list[str]:
    """The image files of a class; images that would not be read are refused, not left out."""
    files = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            continue
        is_other = suffix in OTHERS or suffix in Image.registered_extensions()
        if entry.is_dir() or (suffix not in SUFFIXES and is_other):
            step = "Convert or move it."
            if entry.is_dir() and folder.parent == root:
                step = f"If {folder.name} is a split, rename that to {RENAME}; else move it."
            raise InputError(
                f"{entry.path}: a class must hold {' '.join(SUFFIXES)} files and no folders, got "
                f"{'a folder' if entry.is_dir() else suffix}. {step}"
            )
        if suffix in SUFFIXES:
            if entry.is_symlink():
                _refuse_outside(root, Path(entry.path))
            if not entry.is_file():  # reading a pipe would wait for ever
                raise InputError(
                    f"{entry.path}: it must be an image file, got "
                    f"{'a link to nothing' if entry.is_symlink() else 'no file'}. Take it out."
                )
            files.append(os.path.relpath(entry.path, root))
    return files


def _refuse_outside(root: Path, path: Path) -> None:
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(os.path.realpath(root)):
        raise InputError(
            f"--data folder:{root} must hold its images itself, got {path}, which leads to "
            f"{target}. Copy them into it."
        )
