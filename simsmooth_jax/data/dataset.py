"""Images with labels, in three parts that share no image."""

import dataclasses

import numpy as np
from jaxtyping import Int32, UInt8

from simsmooth_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Split:
    """`images` uint8 `[n, height, width, channels]`, `labels` int32 `[n]`."""

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A set of images; the order of `class_names` is the order of every label table's rows."""

    name: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    note: str = ""  # what a reader of the results should know of these images

    def __post_init__(self) -> None:
        """Refuses what a compiled program would absorb silently: indexing clamps."""
        for part in ("train", "validation", "test"):
            self._check(part, getattr(self, part))

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel of the training images, on the scale 0 to 1."""
        pixels = self.train.images.reshape(-1, self.image_shape[-1]).astype(np.float64) / 255
        deviation = np.maximum(pixels.std(axis=0), 1 / 255)  # a constant channel stays finite
        return tuple(pixels.mean(axis=0).tolist()), tuple(deviation.tolist())

    def _check(self, part: str, split: Split) -> None:
        images, labels = split.images, split.labels
        where = f"data {self.name}: the {part} split"
        if images.ndim != 4 or images.dtype != np.uint8:
            raise InputError(
                f"{where} must hold images uint8 [n, height, width, channels], got "
                f"{images.dtype}{list(images.shape)}. Convert them before."
            )
        if len(images) == 0 or labels.shape != (len(images),) or labels.dtype != np.int32:
            raise InputError(
                f"{where} must hold one int32 label for each of its images, and one at least, got "
                f"{labels.dtype}{list(labels.shape)} for {len(images)} images."
            )
        if images.shape[1:] != self.train.images.shape[1:]:
            raise InputError(
                f"{where} must hold images of the training images' shape "
                f"{self.train.images.shape[1:]}, got {images.shape[1:]}. Resize them before."
            )
        if labels.min() < 0 or labels.max() >= self.num_classes:
            wrong = labels[(labels < 0) | (labels >= self.num_classes)][0]
            raise InputError(
                f"{where} must hold labels from 0 to {self.num_classes - 1}, got {wrong}. "
                "Labels count from 0, in the order of the class names."
            )
