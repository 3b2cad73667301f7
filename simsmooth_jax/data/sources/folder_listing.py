"""Which files of a folder are images of which class; what nothing can be made of is refused."""

import os
import unicodedata
from pathlib import Path

from PIL import Image

from simsmooth_jax.data.splits import ALL_NAMES
from simsmooth_jax.errors import InputError

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
    for folder in splits.values():
        _refuse_outside(path, folder)
    refuse_same_folders(list(splits.values()))
    others = [name for name in children if name not in splits]
    if others and not any(map(_folders, splits.values())):
        return {}
    if others:
        raise InputError(
            f"`data=folder:{path}`",
            f"hold no other folder beside {', '.join(splits)}",
            others[0],
            f"Rename it to {RENAME}, or move it.",
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
                f"{folder}: it",
                "hold classes with names in UTF-8",
                f"{os.fsencode(name)!r}",
                "Rename it.",
            ) from error
        inside = folder / name
        _refuse_outside(root, inside)
        composed = unicodedata.normalize("NFC", name)  # some file systems take letters apart
        if composed in classes:
            raise InputError(
                f"{folder}: it",
                "hold each class once",
                f"two folders whose names look the same, {composed!r}",
                "Put their images into one.",
            )
        classes[composed] = _list_class(root, inside)
    return classes


def _folders(path: Path) -> list[str]:
    entries = [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_symlink() and not os.path.exists(entry.path):  # a class that would be missed
            raise InputError(
                f"{entry.path}: it",
                "be a folder or a file",
                f"a link to {os.readlink(entry.path)}, where nothing is",
                "Restore what it leads to, or take the link out.",
            )
    return sorted(entry.name for entry in entries if entry.is_dir())


def refuse_same_folders(folders: list[Path]) -> None:
    """Refuses a link to another one of the folders, whose images would be in both."""
    found: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda folder: (folder.is_symlink(), folder)):
        other = found.setdefault(os.path.realpath(folder), folder)
        if other is not folder:
            raise InputError(
                f"{folder}: it",
                "hold images of its own",
                f"a link to {other}, whose images would be in both",
                "Take the link out, or put a folder in its place.",
            )


def _refuse_unsorted(folder: Path) -> None:
    """Refuses images beside the folders of the classes: nothing says what they show."""
    formats = Image.registered_extensions()  # of documents as well, as .pdf
    for name in sorted(os.listdir(folder)):
        kind = Image.MIME.get(formats.get(os.path.splitext(name)[1].lower(), ""), "")
        if kind.startswith("image/") and not name.startswith(".") and (folder / name).is_file():
            raise InputError(
                f"{folder / name}: an image",
                "lie in the folder of its class",
                f"it in {folder} itself",
                f"Move it into {folder / 'CLASS'}, or elsewhere.",
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
                f"{entry.path}: a class",
                f"hold {' '.join(SUFFIXES)} files and no folders",
                "a folder" if entry.is_dir() else suffix,
                step,
            )
        if suffix in SUFFIXES:
            if entry.is_symlink():
                _refuse_outside(root, Path(entry.path))
            if not entry.is_file():  # reading a pipe would wait for ever
                raise InputError(
                    f"{entry.path}: it",
                    "be an image file",
                    f"a link to {os.readlink(entry.path)}, where nothing is"
                    if entry.is_symlink()
                    else "no file",
                    "Take it out.",
                )
            files.append(os.path.relpath(entry.path, root))
    return files


def _refuse_outside(root: Path, path: Path) -> None:
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(os.path.realpath(root)):
        raise InputError(
            f"`data=folder:{root}`",
            "hold its images itself",
            f"{path}, {'a link' if path.is_symlink() else 'which leads'} to {target} outside of it",
            "Copy them into it.",
        )
