"""Examples with labels: a source's named splits, and the three parts that a training uses.

They are images, or features in their place: vectors, whose `image_shape` is `(D,)`.
"""

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int, Int32, UInt8

from simsmooth_jax.data.features import Features, are_features, feature_statistics
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.stores.class_names import told_apart

Images = UInt8[np.ndarray, "n height width channels"]

STATISTICS_IMAGES = 10_000  # of the training images
IDENTITY_EXAMPLES = 1000  # of a streamed part whose bytes say that they are the same
_CHUNK = 100  # of them are looked at at a time


class Examples(Protocol):
    """Images with labels, of which any can be read; they need not be in memory."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width, channels; of features `(D,)`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 of images, float16 or float32 of features."""
        ...

    def __len__(self) -> int:
        """The number of images."""
        ...

    def take(
        self, indices: Int[np.ndarray, " b"]
    ) -> tuple[Images | Features, Int32[np.ndarray, " b"]]:
        """The images and labels at these indices; several threads may call it at once."""
        ...

    def select(self, indices: Int[np.ndarray, " m"]) -> "Examples":
        """These examples alone, in this order; nothing is read."""
        ...

    def all_labels(self) -> Int32[np.ndarray, " n"]:
        """Every label, without decoding an image."""
        ...

    def identity(self) -> Iterator[bytes]:
        """Bytes that are others where the examples are: of all in memory, or of fixed ones."""
        ...


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples in memory: `images` uint8 `[n, height, width, channels]`, `labels` int32 `[n]`.

    Features stand in the place of images, float16 or float32 `[n, D]`.
    """

    images: Images | Features
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width, channels; of features `(D,)`."""
        return self.images.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 of images, float16 or float32 of features."""
        return self.images.dtype

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the images and labels at these indices."""
        return self.images[indices], self.labels[indices]

    def select(self, indices: Any) -> "Split":
        """These examples alone, in this order."""
        return dataclasses.replace(self, images=self.images[indices], labels=self.labels[indices])

    def all_labels(self) -> np.ndarray:
        """Every label."""
        return self.labels

    def identity(self) -> Iterator[bytes]:
        """All of the labels and images."""
        yield self.labels.tobytes()
        for start in range(0, len(self), IDENTITY_EXAMPLES):
            yield self.images[start : start + IDENTITY_EXAMPLES].tobytes()


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set as it is stored: splits by name, before they are cut into three parts."""

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Examples]
    note: str = ""  # what a reader of the results should know of these images

    def __post_init__(self) -> None:
        """Tells classes of one name apart, and refuses names that no file could hold."""
        who = f"data {self.name}: class_names"
        for name in self.class_names:
            if not name or {unicodedata.category(letter) for letter in name} & {"Cc", "Cs"}:
                raise InputError(who, "be texts of one line", f"{name!r}", "Rename it.")
        object.__setattr__(self, "class_names", told_apart(who, self.class_names))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Three parts without a common image; `class_names` orders the rows of every label table."""

    name: str
    class_names: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    note: str = ""
    streamed: bool = False  # read while it is trained on, instead of held on the devices
    statistics: Any = None  # those of the images that the training images were drawn from

    def __post_init__(self) -> None:
        """Refuses what a compiled program would absorb silently: indexing clamps."""
        if self.num_classes < 2:
            raise InputError(
                f"data {self.name}: it",
                "have two classes or more",
                self.num_classes,
                "Check its labels.",
            )
        for part in ("train", "validation", "test"):
            self._check(part, getattr(self, part))

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width, channels; of features `(D,)`."""
        return self.train.image_shape

    @property
    def holds(self) -> str:
        """What the examples are, for a reader."""
        return "feature vectors" if are_features(self.image_shape) else "images"

    def train_counts(self) -> Int[np.ndarray, " classes"] | None:
        """Training images of each class, or None where counting them would read all images."""
        labels = known_labels(self.train)
        return None if labels is None else np.bincount(labels, minlength=self.num_classes)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel of the training images, on the scale 0 to 1.

        Of features their mean `[D]` and one deviation. Of a fixed sample of 10,000, the same
        whether they are in memory or not.
        """
        if self.statistics is not None:
            return self.statistics
        sample = np.random.RandomState(0).permutation(len(self.train))[:STATISTICS_IMAGES]
        if are_features(self.image_shape):
            return feature_statistics(self.train.take(sample)[0])
        counts = np.zeros((self.image_shape[-1], 256), np.int64)  # exact, and small
        for start in range(0, len(sample), _CHUNK):
            images, _ = self.train.take(sample[start : start + _CHUNK])
            for channel, pixels in enumerate(images.reshape(-1, images.shape[-1]).T):
                counts[channel] += np.bincount(pixels, minlength=256)
        levels, total = np.arange(256) / 255, counts[0].sum()
        means = [float(levels @ count / total) for count in counts]
        variances = [
            float((levels - mean) ** 2 @ count / total)
            for mean, count in zip(means, counts, strict=True)
        ]
        # A constant channel stays finite.
        return tuple(means), tuple(max(v**0.5, 1 / 255) for v in variances)

    def _check(self, part: str, split: Examples) -> None:
        where = f"data {self.name}: the {part} split"
        if len(split) == 0:
            raise InputError(where, "hold one image at least", "none", "Widen the split.")
        if isinstance(split, Split):
            refuse_arrays(where, split.images, split.labels)
            refuse_unknown_classes(where, split.labels, self.num_classes)
        if split.image_shape != self.train.image_shape:
            raise InputError(
                where,
                f"hold images of the training images' shape {self.train.image_shape}",
                split.image_shape,
                "Declare one: `image_size`, `image_mode`.",
            )


def fixed_places(count: int) -> Int[np.ndarray, " places"]:
    """Which of so many streamed examples are read to see that they are the same: evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, IDENTITY_EXAMPLES)).round().astype(int))


def known_labels(examples: Any) -> Int32[np.ndarray, " n"] | None:
    """Every label where they are in memory, though the images need not be."""
    if not hasattr(examples, "pieces"):
        return getattr(examples, "labels", None)
    pieces = [known_labels(piece) for piece in examples.pieces]  # of several splits
    known = [labels for labels in pieces if labels is not None]
    return np.concatenate(known)[examples.indices] if len(known) == len(pieces) else None


def refuse_arrays(where: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Refuses arrays that are not uint8 images, or features, with one int32 label each."""
    features = images.ndim == 2 and images.dtype in (np.float16, np.float32)
    if not features and (images.ndim != 4 or images.dtype != np.uint8):
        raise InputError(
            where,
            "hold images uint8 [n, height, width, channels]",
            f"{images.dtype}{list(images.shape)}",
            "Convert them before.",
        )
    if labels.shape != (len(images),) or labels.dtype != np.int32:
        raise InputError(
            where,
            "hold one int32 label for each of its images",
            f"{labels.dtype}{list(labels.shape)} for {len(images)} images",
            "Give labels int32 [n].",
        )


def refuse_unknown_classes(where: str, labels: np.ndarray, num_classes: int) -> None:
    """Refuses labels that name no class; those that count from 1 are recognised."""
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if not len(wrong):
        return
    hint = "Labels count from 0, in the order of the class names."
    if labels.min() == 1 and labels.max() == num_classes:
        hint = f"These look as if they counted from 1: subtract 1. {hint}"
    raise InputError(where, f"hold labels from 0 to {num_classes - 1}", wrong[0], hint)
