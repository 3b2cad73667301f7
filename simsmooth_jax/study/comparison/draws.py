"""What each seed trains on: a subset of the training images, with some of their labels wrong."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Draws:
    """The same subset and the same wrong labels for every arm of a seed; no other part is changed.

    `superclasses` says of each class in which one it lies, where that is known.
    """

    dataset: Dataset
    images_per_class: int | None
    label_noise: float
    within_superclass: bool
    superclasses: Int[np.ndarray, " classes"] | None

    @classmethod
    def of(
        cls, dataset: Dataset, config: StudyConfig, superclasses: Int[np.ndarray, " classes"] | None
    ) -> "Draws":
        """Refuses what cannot be drawn from these images."""
        within = config.noise == "superclass"
        draws = cls(dataset, config.images_per_class, config.label_noise, within, superclasses)
        draws.refuse()
        return draws

    def refuse(self) -> None:
        """Refuses images that are streamed, too few of a class, and noise that has no place."""
        data, counts = self.dataset, self.dataset.train_counts()
        if data.streamed or counts is None:
            raise InputError(
                f"data {data.name}", "fit into memory", "a streamed set", "Use `input=memory`."
            )
        wanted = self.images_per_class
        least = int(counts.argmin())
        if wanted is not None and counts[least] < wanted:
            raise InputError(
                "`images_per_class`",
                f"be at most {counts[least]}, what class {data.class_names[least]!r} has to train "
                "on",
                wanted,
                "Take fewer.",
            )
        if not self.within_superclass or not self.label_noise:
            return
        if self.superclasses is None:
            raise InputError(
                "`noise=superclass`",
                "be given with superclasses",
                "none",
                "Add `superclasses=FILE`.",
            )
        sizes = np.bincount(self.superclasses)[self.superclasses]
        if (sizes == 1).any():
            alone = data.class_names[int(sizes.argmin())]
            raise InputError(
                "`noise=superclass`",
                "find another class in every superclass",
                f"{alone!r} alone in its own",
                "Use `noise=symmetric`.",
            )

    def train(self, seed: int) -> Split:
        """The training images of a seed, by class, with their labels as they are trained on."""
        whole: Any = self.dataset.train
        chosen = self._chosen(seed, whole.labels)
        labels = whole.labels[chosen]
        return Split(whole.images[chosen], self._mislabelled(seed, labels))

    def _chosen(self, seed: int, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        if self.images_per_class is None:
            return np.arange(len(labels))
        order = np.random.default_rng([seed, 0]).permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        starts = np.searchsorted(labels[by_class], np.arange(self.dataset.num_classes))
        return by_class[(starts[:, None] + np.arange(self.images_per_class)[None]).ravel()]

    def _mislabelled(self, seed: int, labels: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
        """Exactly that share of the labels is another class, each of the others as likely."""
        if not self.label_noise:
            return labels
        random = np.random.default_rng([seed, 1])
        wrong = random.permutation(len(labels))[: round(self.label_noise * len(labels))]
        changed = labels.copy()
        for i in wrong:
            others = np.arange(self.dataset.num_classes) != labels[i]
            if self.within_superclass:
                assert self.superclasses is not None
                others &= self.superclasses == self.superclasses[labels[i]]
            changed[i] = random.choice(np.flatnonzero(others))
        return changed
