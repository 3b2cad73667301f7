"""A folder of images of three classes, for the tests of `--data folder:PATH`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.load import load_dataset

CLASSES = ("cat", "Äpfel", "狗")  # in the order of their code points


def write(path: Path, seed: int = 0, size: tuple[int, int] = (5, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def write_pets(path: Path) -> Path:
    """20 images of each class to train on, 3 to test on, of all three kinds."""
    for k, name in enumerate(CLASSES):
        for i in range(23):
            part, suffix = ("train", "test")[i >= 20], ("png", "JPG", "webp")[i % 3]
            write(path / part / name / f"{i}.{suffix}", 100 * k + i)
    return path


def load(path: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(f"folder:{path}", SourceConfig(**options)))


def pairs(*parts: Any) -> list[tuple[bytes, int]]:
    read = [part.take(np.arange(len(part))) for part in parts]
    return sorted(
        (image.tobytes(), int(label))
        for images, labels in read
        for image, label in zip(images, labels, strict=True)
    )


def refuses(path: Path, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        load(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
