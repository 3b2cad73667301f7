"""Fashion-MNIST and CIFAR out of their official archives, prepared for TFDS without TensorFlow."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.client
import io
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from rich.progress import Progress
from tensorflow_datasets.image_classification import cifar, mnist

from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.dataset import Source
from simsmooth_jax.data.sources.tfds_sets import open_tfds, refusing_damage
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.bars import transient_bar
from simsmooth_jax.machine.borrowed import tfds_cifar_layout, tfds_directory, tfds_with_splits

BUILDERS: dict[str, Any] = {
    "fashion_mnist": mnist.FashionMNIST,
    "cifar10": cifar.Cifar10,
    "cifar100": cifar.Cifar100,
}


@dataclasses.dataclass(frozen=True)
class RawSplit:
    """A split as its archive has it: `labels` by the name of their feature."""

    images: np.ndarray
    labels: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class RawSet:
    """A set as its archives have it; the names of the classes, where these say them."""

    splits: dict[str, RawSplit]
    class_names: dict[str, list[str]]


def open_official(name: str, data_dir: Path | None, conversion: Conversion) -> Source:
    """The prepared set; where it is not prepared, its archives are, found or downloaded."""
    directory = data_dir or tfds_directory()
    with refusing_damage(f"{name} in {directory}"):
        official = BUILDERS[name](data_dir=directory)  # of any format: `open_tfds` says which
    prepared = Path(official.data_path)
    if not prepared.exists():
        manual = directory / "downloads" / "manual"
        read = _read_fashion_mnist if name == "fashion_mnist" else _read_cifar
        raw = read(official, manual)
        prepared.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(prepared.parent / ".lock"):  # one process prepares, others wait
            if not prepared.exists():
                _prepare(name, directory, raw)
    source = open_tfds(f"{name}:{official.version}", directory, conversion)
    return dataclasses.replace(source, name=name)


def _prepare(name: str, directory: Path, raw: RawSet) -> None:
    """Writes the set under the official builder's name, for any program's `tfds.data_source`."""
    official: Any = BUILDERS[name]

    def records(split: str, features: Any, bar: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
        images, labels = raw.splits[split].images, raw.splits[split].labels
        for i in bar.track(range(len(images)), description=f"preparing {name} {split}"):
            record: dict[str, Any] = {key: int(values[i]) for key, values in labels.items()}
            if "id" in features:
                record["id"] = f"{split}_{i:05d}"
            # An array would be encoded by TensorFlow, an image is by Pillow.
            yield i, record | {"image": Image.fromarray(images[i])}

    with transient_bar() as bar:

        def split_generators(self: Any, dl_manager: Any) -> dict[str, Any]:
            for key, names in raw.class_names.items():
                self.info.features[key].names = names
            return {split: records(split, self.info.features, bar) for split in raw.splits}

        without_tensorflow = tfds_with_splits(official, split_generators)
        builder = without_tensorflow(data_dir=directory, file_format="array_record")
        tfds.disable_progress_bar()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
        finally:
            tfds.enable_progress_bar()


def _read_fashion_mnist(official: Any, manual: Path) -> RawSet:
    """Two files a split: a header of 16 bytes and the images, one of 8 bytes and the labels."""
    parts = {"train": "train", "test": "t10k"}
    kinds = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    names = [f"{part}-{kind}" for part in parts.values() for kind in kinds]
    archives = find_archives(official, names, manual)

    def content(name: str, header: int) -> np.ndarray:
        with gzip.open(archives[name]) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    splits = {}
    for split, part in parts.items():
        images = content(f"{part}-{kinds[0]}", 16).reshape(-1, 28, 28)
        splits[split] = RawSplit(images, {"label": content(f"{part}-{kinds[1]}", 8)})
    return RawSet(splits, {})


def _read_cifar(official: Any, manual: Path) -> RawSet:
    """Each record is a byte for each label, then 3 x 32 x 32 of the image, channels first."""
    layout = tfds_cifar_layout(official)
    archive = Path(layout.url).name
    with tarfile.open(find_archives(official, [archive], manual)[archive]) as members:

        def content(name: str) -> bytes:
            member: Any = members.extractfile(layout.prefix + name)  # nothing is written anywhere
            return member.read()

        names = {
            key: content(file).decode().split()
            for key, file in zip(layout.label_keys, layout.label_files, strict=True)
        }
        raw = {
            split: np.frombuffer(b"".join(map(content, files)), np.uint8)
            for split, files in (("train", layout.train_files), ("test", layout.test_files))
        }
    splits = {}
    for split, values in raw.items():
        rows = values.reshape(-1, len(names) + 3072)
        labels = {key: rows[:, i] for i, key in enumerate(names)}
        images = rows[:, len(names) :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits[split] = RawSplit(np.ascontiguousarray(images), labels)
    return RawSet(splits, names)


REACHABLE_SECONDS = 5


def find_archives(builder: Any, names: list[str], manual: Path) -> dict[str, Path]:
    """The named archives, each with the SHA-256 that the builder has recorded.

    They are looked for in the manual directory and in its folder with the set's name; those that
    are in neither are downloaded into it.
    """
    recorded = {Path(url).name: (url, info.checksum) for url, info in builder.url_infos.items()}
    paths = {}
    for name in names:
        places = (manual / name, manual / builder.name / name)
        paths[name] = next((path for path in places if path.is_file()), None)
    missing = [recorded[name] for name in names if paths[name] is None]
    if missing:
        paths |= _download(builder.name, missing, manual)
    for name in names:
        _refuse_other_content(paths[name], recorded[name][1], paths[name])
    return paths


def _refuse_other_content(path: Path, expected: str, shown: str | Path) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"archive {shown}: it", "be a file that can be read", error.strerror, "Fetch it again."
        ) from error
    if found != expected:
        raise InputError(
            f"archive {shown}: it",
            f"have the SHA-256 {expected} that TFDS has recorded",
            found,
            "Fetch it again, or move it away to have it downloaded.",
        )


def _download(name: str, wanted: list[tuple[str, str]], manual: Path) -> dict[str, Path]:
    """Fetches archives, each with its SHA-256, after a short look whether they can be had.

    TFDS would try for minutes. Each process writes a file of its own, which gets the archive's
    name when it is whole.
    """
    paths = {}
    try:
        for url, expected in wanted:
            look = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(look, timeout=REACHABLE_SECONDS).close()
            manual.mkdir(parents=True, exist_ok=True)
            path = manual / Path(url).name
            with (
                urllib.request.urlopen(url, timeout=60) as source,
                tempfile.TemporaryDirectory(prefix=".part-", dir=manual) as directory,
            ):
                part = Path(directory) / path.name
                size = int(source.headers.get("Content-Length", 0))
                with part.open("wb") as target, transient_bar() as bar:
                    shown: Any = bar.wrap_file(source, size, description=path.name)
                    shutil.copyfileobj(shown, target)
                _refuse_other_content(part, expected, url)
                paths[path.name] = part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"`data={name}`",
            (
                f"be prepared in `data_dir`, or its archives lie in {manual}, or the network reach "
                "them"
            ),
            f"none of these ({reason})",
            f"Fetch into that directory: {' '.join(url for url, _ in wanted)}",
        ) from error
    return paths
