"""Image-classification sets of TFDS that are prepared as array_record, read without TensorFlow."""

import dataclasses
import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from simsmooth_jax.data.conversion import Conversion, read_image
from simsmooth_jax.data.dataset import Source, fixed_places, refuse_unknown_classes
from simsmooth_jax.data.sources.tfds_files import refuse_hostile
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine.borrowed import tfds_directory, tfds_prepared

LABELS_AT_ONCE = 1024  # a record comes with its encoded image, which is dropped


@dataclasses.dataclass(frozen=True)
class RecordExamples:
    """Records of one split, decoded when they are asked for."""

    where: str
    source: Any  # TFDS's data source, whose images stay encoded
    keys: tuple[str, str]  # of image and label
    indices: Int[np.ndarray, " n"]
    num_classes: int
    conversion: Conversion
    image_shape: tuple[int, int, int]
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.indices)

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Reads and decodes the records at these indices."""
        image_key, label_key = self.keys
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        labels = np.empty(len(indices), np.int32)
        for place, record in enumerate(self._records(indices)):
            where = f"{self.where}, record {self.indices[indices[place]]}"
            convert = partial(self.conversion.convert, where)
            pixels = read_image(where, record[image_key], convert)
            if pixels.shape != self.image_shape:
                raise InputError(
                    f"{where}: it",
                    f"have the height, width and channels {self.image_shape} of the first image",
                    pixels.shape,
                    "Declare one for all: `image_size`.",
                )
            images[place], labels[place] = pixels, record[label_key]
        refuse_unknown_classes(self.where, labels, self.num_classes)
        return images, labels

    def select(self, indices: Any) -> "RecordExamples":
        """These examples alone, in this order."""
        return dataclasses.replace(self, indices=self.indices[indices])

    def all_labels(self) -> np.ndarray:
        """Every label; no image is decoded."""
        labels = np.empty(len(self), np.int32)
        for start in range(0, len(self), LABELS_AT_ONCE):
            some = np.arange(start, min(start + LABELS_AT_ONCE, len(self)))
            labels[some] = [record[self.keys[1]] for record in self._records(some)]
        return labels

    def identity(self) -> Iterator[bytes]:
        """The sizes of all files of the set, and the bytes and labels of some records."""
        files = sorted(Path(self.source.dataset_info.data_dir).iterdir())
        yield repr([(file.name, file.stat().st_size) for file in files]).encode()
        yield self.indices.tobytes()
        for places in np.array_split(fixed_places(len(self)), 10):
            for record in self._records(places):
                yield record[self.keys[0]]
                yield int(record[self.keys[1]]).to_bytes(8, "little")

    def _records(self, indices: Any) -> list[dict[str, Any]]:
        with refusing_damage(f"{self.where} in {self.source.dataset_info.data_dir}"):
            return self.source.__getitems__(self.indices[indices].tolist())


def open_tfds(name: str, data_dir: Path | None, conversion: Conversion) -> Source:
    """The splits of a prepared set, `NAME[/CONFIG][:VERSION]`."""
    if (
        not re.fullmatch(r"[a-zA-Z]\w*(/\w[\w.+-]*)?(:(\d+|\*)(\.(\d+|\*)){2})?", name)
        or ".." in name
    ):
        raise InputError(
            "`data`",
            "name a set of TFDS as tfds:NAME[/CONFIG][:VERSION]",
            f"{name!r}",
            "Write tfds:mnist or tfds:imagenet_resized/32x32:0.1.0.",
        )
    directory = data_dir or tfds_directory()
    try:
        with refusing_damage(f"{name} in {directory}"):
            refuse_hostile(directory / re.split(r"[/:]", name)[0])
            builder = tfds_prepared(name, directory)
    except tfds.core.DatasetNotFoundError as error:
        raise _not_prepared(name, directory) from error
    formats, place = builder.info.available_file_formats(), builder.data_path
    if tfds.core.FileFormat.ARRAY_RECORD not in formats:
        raise InputError(
            f"`data=tfds:{name}`",
            "be prepared as array_record, which can be read in any order",
            f"{', '.join(sorted(kind.value for kind in formats))} in {place}",
            "Prepare that beside it, with TensorFlow and without a download: "
            "pip install 'simsmooth_jax[tf]' && tfds convert_format "
            f"--dataset_version_dir={place} --out_file_format=array_record",
        )
    with refusing_damage(f"{name} in {place}"):
        keys = _image_and_label(name, builder.info)
        label: Any = builder.info.features[keys[1]]
    skip = {keys[0]: tfds.decode.SkipDecoding()}
    splits: dict[str, RecordExamples] = {}
    shape = None
    for split, info in builder.info.splits.items():
        where = f"{name} {split}"
        with refusing_damage(f"{where} in {place}"):
            source = builder.as_data_source(split, decoders=skip, file_format="array_record")
            first = source[0][keys[0]] if info.num_examples and shape is None else None
        if first is not None:
            shape = read_image(where, first, partial(conversion.shape, where))
        indices = np.arange(info.num_examples)
        splits[split] = RecordExamples(
            where, source, keys, indices, label.num_classes, conversion, shape or (0, 0, 0)
        )
    return Source(name, tuple(label.names), splits)


def _image_and_label(name: str, info: tfds.core.DatasetInfo) -> tuple[str, str]:
    """The keys of the one image and the one label, or of those that a set names as its own."""
    features: Any = info.features
    of_kind = {
        kind: [key for key, feature in features.items() if type(feature) is kind]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    }
    images, labels = of_kind.values()
    own: Any = info.supervised_keys
    if own and len(own) == 2 and own[0] in images and own[1] in labels:
        images, labels = [own[0]], [own[1]]
    if len(images) != 1 or len(labels) != 1:
        listed = ", ".join(
            f"{key} {type(feature).__name__}" for key, feature in sorted(features.items())
        )
        raise InputError(
            f"`data=tfds:{name}`",
            "hold one image and one class label in each record",
            listed,
            "Choose a set of image classification.",
        )
    return images[0], labels[0]


def _not_prepared(name: str, directory: Path) -> InputError:
    base = re.split(r"[/:]", name)[0]
    prepared = sorted(
        str(path.parent.relative_to(directory)) for path in directory.glob("*/**/dataset_info.json")
    )
    here = [path for path in prepared if path.split("/")[0] == base]
    if here:
        got, then = f"{', '.join(here[:5])} there", "Name one of these as NAME/CONFIG:VERSION."
        return InputError(f"`data=tfds:{name}`", f"be prepared in {directory}", got, then)
    known = tfds.list_builders(with_community_datasets=False)
    if base in known:
        got, then = f"no {base} there", _how_to(name, directory)
        return InputError(f"`data=tfds:{name}`", f"be prepared in {directory}", got, then)
    close = difflib.get_close_matches(base.lower(), [*known, *prepared], 1)
    hint = (
        f"Did you mean {close[0]}?"
        if close
        else f"A set of your own must be prepared in `data_dir`, now {directory}."
    )
    return InputError("`data=tfds:NAME`", "be a set of TFDS", f"{base!r}", hint)


def _how_to(name: str, directory: Path) -> str:
    return (
        "Prepare it with TensorFlow: pip install 'simsmooth_jax[tf]' && "
        f"tfds build {name} --file_format=array_record --data_dir={directory}"
    )


@contextmanager
def refusing_damage(where: str) -> Iterator[None]:
    """What TFDS and array_record raise on files that are damaged or gone becomes one line."""
    try:
        yield
    except (tfds.core.DatasetNotFoundError, PermissionError, InputError):
        raise
    except Exception as error:  # of any kind, as their JSON may hold anything
        raise InputError(
            f"{where}: it",
            "be a whole prepared set of TFDS",
            f"one that cannot be read ({first_line(error)})",
            "Restore it from a copy, or prepare it again in another `data_dir`.",
        ) from error
