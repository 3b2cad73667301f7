"""Classes without a training image: their columns of the kernel are what they were initialised as.

They are refused by name, or left out before any row is normalised.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.labels import OF_CLASSIFIER, RelationConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.method.tables.forms import LabelTable, as_table
from simsmooth_jax.method.tables.placement import placed
from simsmooth_jax.study.neighbours import Neighbours

MAX_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Kept:
    """The classes that relations are of, `places` among all `num_classes`, in their order."""

    places: Int[np.ndarray, " kept"]
    num_classes: int

    @classmethod
    def all_of(cls, num_classes: int) -> "Kept":
        """Every class."""
        return cls(np.arange(num_classes), num_classes)

    @property
    def is_all(self) -> bool:
        """Whether no class is left out."""
        return len(self.places) == self.num_classes

    def columns(self, vectors: Any) -> Any:
        """Those of the kept classes."""
        return vectors if self.is_all else vectors[:, self.places]

    def square(self, similarity: Any) -> Any:
        """The rows and columns of the kept classes."""
        return similarity if self.is_all else similarity[np.ix_(self.places, self.places)]

    def among_all(self, table: LabelTable) -> LabelTable:
        """Labels, or cosines, of the kept classes as those of all: the others are one-hot."""
        return table if self.is_all else placed(as_table(table), self.places, self.num_classes)

    def shown(self, found: Neighbours) -> Neighbours:
        """The neighbours of kept classes, with their places and columns among all."""
        if self.is_all:
            return found
        similarity = np.zeros((len(found.classes), self.num_classes), np.float32)
        similarity[:, self.places] = found.similarity
        return Neighbours(self.places[found.classes], similarity)

    def noted(self, class_names: tuple[str, ...]) -> dict[str, list[str]]:
        """What a file says of the classes that are left out; nothing if there are none."""
        others = np.setdiff1d(np.arange(self.num_classes), self.places)
        return {} if self.is_all else {"hard_classes": [class_names[k] for k in others]}


def counts_of_checkpoint(metadata: Mapping[str, Any], num_classes: int) -> list[int] | None:
    """Training images of each class, where a checkpoint of ours says them; older ones do not."""
    counts = metadata.get("class_counts")
    if not isinstance(counts, list) or len(counts) != num_classes:
        return None
    return counts if {type(count) for count in counts} == {int} else None


def kept_classes(
    config: RelationConfig, counts: Any, class_names: tuple[str, ...], where: str
) -> Kept:
    """The classes with a training image, or all; those without are refused unless told otherwise.

    Args:
      config: a similarity out of a file knows classes without an image: all of them are kept,
        unless `empty_classes` says that they are hard.
      counts: training images of each class `[K]`, or None where nobody has counted them.
      class_names: K names.
      where: what the images are of, as `data pets`.
    """
    every, hard = Kept.all_of(len(class_names)), config.empty_classes == "hard"
    if counts is None and hard:
        raise InputError(
            "`empty_classes=hard`",
            "be given where the training images of each class are counted",
            f"{where}, of which they are not known",
            "Leave it out, or train the first classifier on images that are not streamed of TFDS.",
        )
    empty = _empty(counts)
    if not empty.size:
        return every
    if hard and len(class_names) - empty.size < 2:
        raise InputError(
            f"{where}: two classes or more",
            "have a training image",
            _named(empty, class_names),
            "Relations are of classes with images: give some.",
        )
    if hard:
        return Kept(np.setdiff1d(every.places, empty), every.num_classes)
    if config.similarity in OF_CLASSIFIER:
        raise InputError(
            f"{where}: every class",
            "be learned from images, as its relations are those of its own weights",
            _named(empty, class_names),
            "Give images or leave the class out; or use `empty_classes=hard`: its label is "
            "one-hot, and no other class's label gives it weight.",
        )
    return every


def refuse_for_online(dataset: Dataset) -> None:
    """Refuses classes without a training image for labels that every step makes of the kernel."""
    if (empty := _empty(dataset.train_counts())).size:
        raise InputError(
            f"data {dataset.name}: every class",
            "be learned from images for `labels=online`",
            _named(empty, dataset.class_names),
            "Give images or leave the class out; or train on a table that simsmooth labels makes "
            "with --empty-classes hard.",
        )


def refuse_for_study(dataset: Dataset) -> None:
    """Refuses classes without a training image for first models, which nobody can leave out."""
    if (empty := _empty(dataset.train_counts())).size:
        raise InputError(
            f"data {dataset.name}: every class",
            "be learned from images in a study",
            _named(empty, dataset.class_names),
            "Give images or leave the class out.",
        )


def _empty(counts: Any) -> Int[np.ndarray, " empty"]:
    return np.arange(0) if counts is None else np.flatnonzero(np.asarray(counts) == 0)


def _named(empty: Int[np.ndarray, " empty"], class_names: tuple[str, ...]) -> str:
    """As `zebra, which has no training image`."""
    named = ", ".join(class_names[k] for k in empty[:MAX_NAMED])
    if (more := empty.size - MAX_NAMED) > 0:
        named += f" and {more} more"
    return f"{named}, which {'has' if empty.size == 1 else 'have'} no training image"
