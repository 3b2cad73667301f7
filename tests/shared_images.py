"""The real images beside the repository, for the tests that need some; they are never committed."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from PIL import Image
from program import REPOSITORY

DATA = REPOSITORY.parent / "shared" / "data"
ARCHIVES = DATA / "fashion_mnist"
needs_images = pytest.mark.skipif(
    not DATA.exists(), reason="the real images are not beside the repository"
)


def prepared_fashion_mnist(shared_directory: Path) -> Path:
    """A TFDS directory with Fashion-MNIST in it, prepared once for all processes of a session."""
    from simsmooth_jax.data.conversion import Conversion
    from simsmooth_jax.data.sources.official import open_official

    directory = shared_directory / "tensorflow_datasets"
    with filelock.FileLock(shared_directory / "fashion_mnist.lock"):
        manual = directory / "downloads" / "manual"
        if not manual.exists():
            manual.mkdir(parents=True)
            for path in ARCHIVES.iterdir():
                shutil.copy(path, manual)
            open_official("fashion_mnist", directory, Conversion())
    return directory


def cifar100() -> dict[str, Any]:
    """10 test images of each class to train on, 5 others to test on, and the classes' names."""
    found = importlib.util.spec_from_file_location("read", DATA / "read.py")
    assert found is not None
    assert found.loader is not None
    read = importlib.util.module_from_spec(found)
    found.loader.exec_module(read)
    images, labels = read._strips(DATA / "cifar100" / "test.zip")
    place = np.arange(len(labels)) % 100  # 100 images of each class, in the order of the classes
    train, test = place < 10, (place >= 10) & (place < 15)
    return {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
        "class_names": np.array(
            json.loads((DATA / "cifar100" / "classes.json").read_text())["fine_names"]
        ),
    }


def write_folder(arrays: dict[str, Any], path: Path) -> None:
    """The same images as files, in `train` and `test`."""
    for part in ("train", "test"):
        pairs = zip(arrays[f"{part}_images"], arrays[f"{part}_labels"], strict=True)
        for i, (image, label) in enumerate(pairs):
            file = path / part / str(arrays["class_names"][label]) / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
