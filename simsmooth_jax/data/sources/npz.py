"""Images or features in one NumPy archive: train_images, train_labels, … and class_names."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simsmooth_jax.data.conversion import CHANNELS, Conversion
from simsmooth_jax.data.dataset import Source, Split, refuse_arrays, refuse_unknown_classes
from simsmooth_jax.data.features import read_features
from simsmooth_jax.data.splits import ALL_NAMES
from simsmooth_jax.errors import InputError, excerpt, first_line, listed
from simsmooth_jax.formats.stores.numpy_files import open_zip, read_member, texts_of
from simsmooth_jax.machine import memory
from simsmooth_jax.machine.files.reading import MOST_TEXT, found_at, open_input, refuse_size

KEYS = (
    "train_images, train_labels, test_images, test_labels and, if you have them, class_names; "
    "features instead of images are train_features and test_features"
)
KINDS = ("images", "features")
BROKEN = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # an encrypted member, or one that damage makes look so
)


def open_npz(path: Path, conversion: Conversion) -> Source:
    """The splits of an archive, in memory: `*_images` uint8 `[n, h, w]` or `[n, h, w, c]`.

    Or `*_features` floating-point `[n, D]`, of which one network gave all.
    Without `class_names` the classes are called "0" to "K-1". Each split is put into a fixed random
    order, so that every slice of it holds every class.
    """
    if not path.is_file():
        raise InputError(
            "`data=npz:PATH`",
            "be an existing file",
            found_at(path),
            "Name it with its suffix; of a folder of images: `data=folder:PATH`.",
        )
    arrays = _read(path)
    splits, shown = {}, f"`data=npz:{path}`"
    kind = _kind(shown, arrays)
    if kind == "features":
        conversion.refuse_features(shown)
    for name in (n for n in ALL_NAMES if {f"{n}_{kind}", f"{n}_labels"} & arrays.keys()):
        splits[name] = _split(f"{shown}: {name}", arrays, name, kind, conversion)
    class_names = _class_names(shown, arrays, splits["train"].labels)
    for name, split in splits.items():
        refuse_unknown_classes(f"{shown}: {name}_labels", split.labels, len(class_names))
    lowest = min(split.labels.min() for split in splits.values())
    if "class_names" not in arrays and lowest == 1:  # an empty class "0" would be trained
        raise InputError(
            f"{shown}: without class_names, labels",
            "count from 0",
            f"1 to {len(class_names) - 1} and no 0",
            (
                "They look as if they counted from 1: subtract 1, or save class_names if a class 0 "
                "without images is meant."
            ),
        )
    return Source(path.stem, class_names, splits)


def _read(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays with names that we know; no pickle, and no more than the file can hold."""
    shown = f"`data=npz:{path}`"
    known = {f"{split}_{kind}" for split in ALL_NAMES for kind in ("labels", *KINDS)}
    try:
        with open_input(shown, path) as content, open_zip(path, content) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if 2 * size > memory.available_memory():  # read, and put into its order
                raise InputError(
                    f"`data=npz:{path}`",
                    f"fit twice into the memory of {memory.available_memory() / 2**30:.1f} GiB",
                    f"{size / 2**30:.1f} GiB of arrays",
                    "Write the images as files and stream them: `data=folder:PATH`.",
                )
            for member in members:  # before memory is taken for what it claims
                read_member(path, archive, member)
                if member.filename == "class_names.npy":
                    refuse_size(f"{shown}: class_names", member.file_size, MOST_TEXT)
            content.seek(0)
            with np.load(content, allow_pickle=False) as file:
                return {name: file[name] for name in file.files if name in known | {"class_names"}}
    except InputError:
        raise
    except BROKEN as error:
        reason = first_line(error)
        if "allow_pickle" in reason:
            reason = "an array of objects, a pickle, which is never loaded"
        raise InputError(
            f"`data=npz:{path}`",
            "be a whole archive of arrays",
            f"one that cannot be read ({reason})",
            "Save it again with numpy.savez.",
        ) from error


def _kind(where: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Whether an archive holds images or features."""
    held = {kind: [n for n in arrays if n.endswith(f"_{kind}")] for kind in KINDS}
    if held["images"] and held["features"]:
        raise InputError(
            where,
            "hold images or features",
            f"{held['images'][0]} and {held['features'][0]}",
            "Save them in two archives.",
        )
    for kind in KINDS:
        if f"train_{kind}" in arrays:
            return kind
    raise InputError(
        where, f"hold {KEYS}", listed(arrays) or "nothing", "Save it with numpy.savez."
    )


def _split(
    where: str, arrays: Mapping[str, np.ndarray], name: str, kind: str, conversion: Conversion
) -> Split:
    for one, other in ((kind, "labels"), ("labels", kind)):
        if f"{name}_{other}" not in arrays:
            raise InputError(f"{where}_{one}", f"come with {name}_{other}", "none", "Save both.")
    values, labels = arrays[f"{name}_{kind}"], arrays[f"{name}_labels"]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(
            f"{where}_labels",
            "be whole numbers [n]",
            f"{labels.dtype}{list(labels.shape)}",
            "Save class indices, counted from 0.",
        )
    wrong = labels[np.abs(labels.astype(np.float64)) > np.iinfo(np.int32).max]
    if len(wrong):
        raise InputError(
            f"{where}_labels", "be class indices", wrong[0], "Save class indices, counted from 0."
        )
    labels = labels.astype(np.int32)
    if kind == "features":
        values = _features(f"{where}_features", values, arrays["train_features"])
    elif values.ndim == 2 and values.dtype.kind == "f":
        raise InputError(
            f"{where}_images",
            "hold images uint8 [n, height, width, channels]",
            f"{values.dtype}{list(values.shape)}",
            f"Vectors are features: save them as {name}_features.",
        )
    elif values.ndim == 3:
        values = values[..., None]
    refuse_arrays(where, values, labels)
    if kind == "images":
        _refuse_no_images(f"{where}_images", values)
    order = np.random.RandomState(0).permutation(len(labels))
    return Split(conversion.convert_array(where, values[order]), labels[order])


def _features(where: str, values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Features in a type that a training takes; the training ones are read first."""
    features = read_features(where, values)
    if features.shape[1] != train.shape[1]:
        raise InputError(
            where,
            f"have the {train.shape[1]} columns of train_features",
            features.shape[1],
            "Take all of them from one network.",
        )
    return features


def _refuse_no_images(where: str, images: np.ndarray) -> None:
    if not images.size:
        raise InputError(
            where,
            "hold one image of one pixel at least",
            list(images.shape),
            "Leave out a split that is empty.",
        )
    if images.shape[-1] not in CHANNELS.values():
        raise InputError(
            where,
            "have 1 channel (grey) or 3 (rgb)",
            f"{images.shape[-1]} in {list(images.shape)}",
            "The channels are the last axis; images[..., :3] drops alpha.",
        )


def _class_names(
    where: str, arrays: Mapping[str, np.ndarray], labels: np.ndarray
) -> tuple[str, ...]:
    if "class_names" not in arrays:
        if labels.max() >= len(labels):  # a stray label would make billions of classes
            raise InputError(
                f"{where}: without class_names, train_labels",
                f"be less than the number of training images, {len(labels)}",
                labels.max(),
                "Correct it, or save class_names.",
            )
        return tuple(map(str, range(int(labels.max()) + 1)))
    stored = arrays["class_names"]
    if stored.ndim != 1 or stored.dtype.kind not in "US":
        raise InputError(
            f"{where}: class_names",
            "be texts [K]",
            f"{stored.dtype}{list(stored.shape)}",
            "Save them with numpy.array(names, str).",
        )
    try:
        return tuple(map(str, texts_of(stored)))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: class_names",
            "be texts in UTF-8",
            excerpt(repr(error.object)),
            "Save them with numpy.array(names, str).",
        ) from error
