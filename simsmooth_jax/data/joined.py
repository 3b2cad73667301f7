"""Several splits read as one, as `--train-split train+extra` asks for."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from jaxtyping import Int

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Joined:
    """Examples of several splits, as one: `indices` counts through the pieces in their order."""

    pieces: tuple[Examples, ...]
    indices: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, where: str, pieces: Mapping[str, Examples]) -> Self:
        """All examples of the pieces, which are named; NumPy would broadcast grey to RGB."""
        first, *others = pieces
        shape = pieces[first].image_shape
        for name in others:
            if pieces[name].image_shape != shape:
                raise InputError(
                    f"{where} must join splits of one height, width and channels, got {shape} in "
                    f"{first} and {pieces[name].image_shape} in {name}. Declare one for all: "
                    "--image-size and --image-mode."
                )
        return cls(tuple(pieces.values()), np.arange(sum(map(len, pieces.values()))))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.indices)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.pieces[0].image_shape

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels at these indices."""
        wanted = self.indices[indices]
        images = np.empty((len(wanted), *self.image_shape), np.uint8)
        labels = np.empty(len(wanted), np.int32)
        start = 0
        for piece in self.pieces:
            here = (start <= wanted) & (wanted < start + len(piece))
            if here.any():
                images[here], labels[here] = piece.take(wanted[here] - start)
            start += len(piece)
        return images, labels

    def select(self, indices: Any) -> Self:
        """These examples alone, in this order."""
        return dataclasses.replace(self, indices=self.indices[indices])

    def all_labels(self) -> np.ndarray:
        """Every label."""
        return np.concatenate([piece.all_labels() for piece in self.pieces])[self.indices]
