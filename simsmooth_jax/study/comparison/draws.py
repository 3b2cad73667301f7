"""What each seed trains on: a subset of the training images, with some of their labels wrong."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.errors import InputError
from simsmooth_jax.study.empty_classes import refuse_for_study

MOST_DRAWS = 100  # of wrong labels for one seed, to see whether every class can keep a label


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
        refuse_for_study(data)
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
        if self.label_noise:
            self._refuse_noise()

    def _refuse_noise(self) -> None:
        if self.within_superclass:
            self._refuse_lonely_classes()
        self._refuse_mostly_wrong()
        labels: Any = self.dataset.train.all_labels()
        drawn = self._wrong_labels(0, labels[self._chosen(0, labels)])
        if not any(map(self._has_all, itertools.islice(drawn, MOST_DRAWS))):
            raise InputError(
                "`label_noise`",
                "leave every class a training label",
                f"a class without one in each of {MOST_DRAWS} draws of {self.label_noise}",
                "Take less of it, or more `images_per_class`.",
            )

    def _refuse_mostly_wrong(self) -> None:
        """Refuses a share at which a wrong label is as likely as the right one."""
        size = self.dataset.num_classes
        if self.within_superclass:
            assert self.superclasses is not None
            size = int(np.bincount(self.superclasses).min())
        if self.label_noise >= 1 - 1 / size:
            must = (
                f"be below {1 - 1 / size:.3g}, where each wrong label is as likely as the right one"
            )
            raise InputError("`label_noise`", must, self.label_noise, "Try 0.4.")

    def _refuse_lonely_classes(self) -> None:
        if self.superclasses is None:
            raise InputError(
                "`noise=superclass`",
                "be given with superclasses",
                "none",
                "Add `superclasses=FILE`.",
            )
        sizes = np.bincount(self.superclasses)[self.superclasses]
        if (sizes == 1).any():
            alone = self.dataset.class_names[int(sizes.argmin())]
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
        return Split(whole.images[chosen], self._mislabelled(seed, whole.labels[chosen]))

    def _chosen(self, seed: int, labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        if self.images_per_class is None:
            return np.arange(len(labels))
        order = np.random.default_rng([seed, 0]).permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        starts = np.searchsorted(labels[by_class], np.arange(self.dataset.num_classes))
        return by_class[(starts[:, None] + np.arange(self.images_per_class)[None]).ravel()]

    def _mislabelled(self, seed: int, labels: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
        """Drawn again where a class would be left without a label: no first model could be made."""
        if not self.label_noise:
            return labels
        return next(filter(self._has_all, self._wrong_labels(seed, labels)))

    def _has_all(self, labels: Int[np.ndarray, " m"]) -> bool:
        return len(np.unique(labels)) == self.dataset.num_classes

    def _wrong_labels(
        self, seed: int, labels: Int[np.ndarray, " m"]
    ) -> Iterator[Int[np.ndarray, " m"]]:
        """Exactly that share of the labels is another class, each of the others as likely."""
        for attempt in itertools.count():
            random = np.random.default_rng([seed, 1, attempt])
            wrong = random.permutation(len(labels))[: round(self.label_noise * len(labels))]
            changed = labels.copy()
            for i in wrong:
                others = np.arange(self.dataset.num_classes) != labels[i]
                if self.within_superclass:
                    assert self.superclasses is not None
                    others &= self.superclasses == self.superclasses[labels[i]]
                changed[i] = random.choice(np.flatnonzero(others))
            yield changed
