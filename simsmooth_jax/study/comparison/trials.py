"""One training of a study: drawn, trained, and measured on validation or on test."""

import copy
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from simsmooth_jax.config import stored
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.errors import DivergenceError, InputError
from simsmooth_jax.formats.label_files import array_sha256
from simsmooth_jax.machine.devices import place
from simsmooth_jax.method.objectives import Objective
from simsmooth_jax.study.arms import Plan
from simsmooth_jax.study.comparison import first_models, measures
from simsmooth_jax.study.comparison.draws import Draws
from simsmooth_jax.study.comparison.entrants import ENTRANT, Entrant
from simsmooth_jax.study.comparison.first_models import FirstModel
from simsmooth_jax.study.comparison.points import Point
from simsmooth_jax.study.comparison.relation_rows import Seen
from simsmooth_jax.study.comparison.rows import Row
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.finite import first_non_finite
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.step import Trainer, TrainState
from simsmooth_jax.training.step_memory import objective_bytes, refuse_training

EVALUATION_BATCH = 1000


class Trials:
    """Trainings that share their compiled programs: all constant tables have one of them."""

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        superclasses: Int[np.ndarray, " classes"] | None,
        directory: Path,
    ) -> None:
        """Builds the programs for the training subset of any seed; nothing is written."""
        self.dataset, self.superclasses, self.directory = dataset, superclasses, directory
        self.draws = Draws.of(dataset, config, superclasses)
        self._training = config.training
        self._drawn = dataclasses.replace(
            dataset, train=self.draws.train(0), statistics=dataset.channel_statistics()
        )
        self.trainer = Trainer(self._training, self._drawn)
        self._evaluator = self._new_evaluator()
        self._reader = first_models.Reader(self._new_evaluator, dataset.num_classes)

    def refuse(self, entrants: tuple[Entrant, ...]) -> None:
        """Refuses arms that do not go with mixed images, or do not fit into a device's memory."""
        mixes = [name for name in ("mixup", "cutmix") if getattr(self._training.augmentation, name)]
        unmixed = [entrant.name for entrant in entrants if entrant.unmixed]
        if mixes and unmixed:
            raise InputError(
                f"`{mixes[0]}`",
                f"be 0 with the predictions of single images, of which {', '.join(unmixed)} "
                f"make{'' if unmixed[1:] else 's'} labels",
                getattr(self._training.augmentation, mixes[0]),
                "Leave it out, or take other `arms`.",
            )
        seen = self.seen(0, ENTRANT["onehot"], None)
        for entrant in entrants:
            held = self.trainer.held_bytes, _held_bytes(entrant, seen)
            refuse_training(self.trainer.shapes, *held)

    def seen(self, seed: int, entrant: Entrant, first: Point | None) -> Seen:
        """What the labels of a seed may be made from; `first` is the setting of first models."""
        trainer = self._trainer(entrant.longer)
        size = dataclasses.replace(self._drawn, train=self._train(seed))
        steps, epochs = trainer.steps_per_epoch, trainer.epochs
        plan = Plan(size.num_classes, len(size.train), steps, epochs, uniform_epsilon=0.0)
        model = None
        if "first" in entrant.needs:
            assert first is not None
            model = self.first_model(seed, first)
        return Seen(plan, seed, self.superclasses, model)

    @functools.lru_cache(maxsize=4)  # noqa: B019  (as long as the study itself)
    def first_model(self, seed: int, point: Point) -> FirstModel:
        """The one-hot model of a seed, as labels are made from it."""

        def make() -> FirstModel:
            made = ENTRANT["onehot"].made(self.seen(seed, ENTRANT["onehot"], None), point)
            state = self._trained(self.trainer, made.objective, point, seed)
            found = self._reader(state, self._train(seed))
            if not np.isfinite(found.logits).all():
                raise DivergenceError(
                    f"the first model of seed {seed} must stay finite, got {found.logits.max()}. "
                    "Lower `learning_rate`."
                )
            return found

        return first_models.kept(self.model_path(seed, point), make, self._made_from(seed, point))

    def _made_from(self, seed: int, point: Point) -> dict[str, str]:
        """What tells the first models of one study, seed and setting from all others."""
        training = json.dumps(stored.identity(self._training.absolute()), sort_keys=True)
        labels = array_sha256(self._train(seed).all_labels())
        return {"training": training, "labels": labels, "of": self.model_path(seed, point).stem}

    def model_path(self, seed: int, point: Point) -> Path:
        """Where that model is kept, if an arm needed it."""
        return self.directory / f"{seed}-{point.weight_decay:.3e}.npz"

    def tuned(self, entrant: Entrant, point: Point, seed: int, first: Point | None) -> Row:
        """Trains it, and measures the validation images."""
        state, made = self._run(entrant, point, seed, first)
        validation = measures.of_validation(*self._predicted(state, "validation"))
        return made | {"validation": validation}

    def tested(self, entrant: Entrant, point: Point, seed: int, first: Point | None) -> Row:
        """Trains it, and measures the test images at the temperature of the validation images."""
        state, made = self._run(entrant, point, seed, first)
        validation = measures.of_validation(*self._predicted(state, "validation"))
        logits, labels = self._predicted(state, "test")
        tree = self.superclasses
        found = measures.of_test(
            logits, labels, validation["temperature"], tree, entrant.least_risk
        )
        return made | {"validation": validation, "test": found}

    def _run(
        self, entrant: Entrant, point: Point, seed: int, first: Point | None
    ) -> tuple[TrainState, Row]:
        objective, strength, limit = entrant.made(self.seen(seed, entrant, first), point)
        state = self._trained(self._trainer(entrant.longer), objective, point, seed)
        diverged = first_non_finite((state.params, state.batch_stats)) is not None
        return state, {"strength": strength, "limit": limit, "diverged": diverged}

    def _trained(
        self, trainer: Trainer, objective: Objective, point: Point, seed: int
    ) -> TrainState:
        """The same programs on the images of a seed, with the weight decay of a point."""
        varied = copy.copy(trainer)
        varied.weight_decay = place(np.asarray(point.weight_decay, np.float32), trainer.replicated)
        varied.inputs = trainer.inputs.of(self._train(seed))
        return train(varied, objective, seed)

    def _predicted(
        self, state: TrainState, part: str
    ) -> tuple[Float[np.ndarray, "examples classes"], Int[np.ndarray, " examples"]]:
        split = getattr(self.dataset, part)
        logits = self._evaluator.logits(state.params, state.batch_stats, split)
        if not np.isfinite(logits).all():  # of a diverged training: it can only guess
            logits = np.zeros_like(logits)
        return logits, split.all_labels()

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def _train(self, seed: int) -> Split:
        return self.draws.train(seed)

    @functools.cache  # noqa: B019
    def _trainer(self, longer: int) -> Trainer:
        if longer == 1:
            return self.trainer
        epochs = longer * self._training.optimizer.epochs
        optimizer = dataclasses.replace(self._training.optimizer, epochs=epochs)
        return Trainer(dataclasses.replace(self._training, optimizer=optimizer), self._drawn)

    def _new_evaluator(self) -> Evaluator:
        trainer: Any = self.trainer
        return Evaluator(trainer.model, trainer.image_statistics, EVALUATION_BATCH, jax.devices())


def _held_bytes(entrant: Entrant, seen: Seen) -> int:
    """Bytes of what it minimises and its state: known before there is a first model."""
    if entrant.objective is not None and "first" not in entrant.needs:
        return objective_bytes(entrant.objective(seen, Point(0.0, None, None)))
    rows = seen.classes if entrant.rows else seen.plan.num_examples
    return 4 * rows * seen.classes
