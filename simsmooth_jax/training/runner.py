"""One arm of a comparison: an objective, trained, recorded and evaluated like every other."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from simsmooth_jax.config import options
from simsmooth_jax.config.training import SavingConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.machine.bars import Progress
from simsmooth_jax.machine.devices import local
from simsmooth_jax.machine.processes import from_writer, is_writer
from simsmooth_jax.machine.signals import goes_on
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.method.objectives.objective import Objective, table_loss
from simsmooth_jax.method.tables.forms import trainable_table
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.evaluation import Evaluator, are_finite
from simsmooth_jax.training.finite import first_non_finite
from simsmooth_jax.training.fitting import refuse_checkpoint_steps
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.models.built_in import refuse_model
from simsmooth_jax.training.models.initial_weights import open_initial
from simsmooth_jax.training.observers import tracing
from simsmooth_jax.training.observers.recording import (
    METRICS,
    MetricsLog,
    StepRows,
    ValidationRows,
    diverged,
)
from simsmooth_jax.training.observers.saving import Checkpoints, from_step
from simsmooth_jax.training.observers.showing import Shown
from simsmooth_jax.training.saved import checkpoints, kept_steps, made_from
from simsmooth_jax.training.step import Trainer, TrainState
from simsmooth_jax.training.step_memory import of_step


class ArmRunner:
    """Trains arms that differ in their tables alone, all with the same compiled programs."""

    def __init__(self, config: TrainingConfig, saving: SavingConfig) -> None:
        """Loads the images and builds the programs; nothing is written."""
        options.check(config)
        options.check(saving)
        refuse_checkpoint_steps(saving.checkpoint_steps, config.steps_per_dispatch)
        tracing.refuse_directory(saving.profile)
        refuse_model(config.model)
        if config.model.init is not None:
            open_initial(config.model.init)  # before the images, which may take long to load
        self.config = config
        self.saving = saving
        self.profile = saving.profile  # of the first training alone
        self.dataset = load_dataset(config.data)
        self.trainer = Trainer(config, self.dataset, debug_nans=saving.debug_nans)
        self.evaluator = Evaluator(self.trainer.model, self.trainer.image_statistics)
        self.made_from = made_from.of_data(self.dataset)
        model, shape = self.trainer.model, self.dataset.image_shape
        self._of_model = made_from.of_model(config.model, model, shape)
        self._told: set[str] = set()

    def train(
        self, arm: str, objective: Objective, directory: Path, log: MetricsLog, progress: Progress
    ) -> TrainState:
        """Trains by an objective, from the last checkpoint in the directory if there is one."""
        self.refuse(objective)
        trainer, saving, seed = self.trainer, self.saving, self.config.seed
        if is_writer():
            kept_steps.refuse_others(directory)  # before anything is trained
            kept_steps.prune(directory)  # what a kill has left of steps that are not kept
        state = trainer.init(seed, objective.init)
        metadata = self._metadata(arm) | made_from.of_objective(objective)
        if (last := checkpoints.latest_step(directory)) is not None:
            noted = checkpoints.read_metadata(last)
            made_from.refuse_other(last, noted, metadata)
            self._tell(made_from.other_devices(noted, metadata))
            self._tell(made_from.other_settings(noted, metadata))
        state = checkpoints.restore_state(directory, like=state) or state
        step = int(state.step)
        if step and (found := first_non_finite(state)):
            raise checkpoints.not_finite(directory / str(step), found)
        goes_on(from_step(arm, step, directory))
        noted = checkpoints.last_noted(directory).get(METRICS)
        validated = from_writer(f"validated {arm} {step}", log.rewind(arm, step, noted))
        progress.start(arm, step, trainer.total_steps)
        rows, validation, saved = self._records(arm, metadata, directory, log)
        if step and step % trainer.steps_per_epoch == 0 and not validated:  # a signal came before
            validation.validate(step, state)
            log.flush()
        observers = [rows, validation, saved, Shown(progress, trainer.total_steps)]
        given = trainer, objective, seed, state, observers, saving.checkpoint_steps, saved.on_stop
        dispatches = (trainer.total_steps - step) // trainer.steps_per_dispatch
        if saving.debug_nans:
            try:
                return train(*given)
            except FloatingPointError as error:
                raise diverged(arm, "operations", str(error), directory) from error
        given = *given, self._show_memory
        if self.profile is None or dispatches < 2:
            return train(*given)
        with tracing.TracedSteps(self.profile, dispatches) as traced:
            observers.append(traced)
            state = train(*given)
        if traced.written and is_writer():
            print(tracing.how_to_look(self.profile))
        self.profile = None
        return state

    def _show_memory(self, program: jax.stages.Compiled) -> None:
        self._tell(of_step(program))

    def _tell(self, line: str) -> None:
        """Says it once, for all trainings of which it is true."""
        if line and line not in self._told and is_writer():
            tell(line)
        self._told.add(line)

    def refuse(self, objective: Objective) -> None:
        """Refuses a table that labels cannot be, and labels that these images cannot have."""
        self.trainer.refuse(objective)
        if objective.loss is table_loss:
            trainable_table("train", objective.data, self.dataset.num_classes)

    def _records(
        self, arm: str, metadata: dict[str, Any], directory: Path, log: MetricsLog
    ) -> tuple[StepRows, ValidationRows, Checkpoints]:
        """Observers in this order: a checkpoint comes after the rows of its step."""
        trainer, saving, each = self.trainer, self.saving, self.trainer.steps_per_epoch
        every = saving.checkpoint_every, saving.checkpoint_steps
        return (
            StepRows(arm, directory, each, log),
            ValidationRows(arm, directory, each, self.evaluator, self.dataset.validation, log),
            Checkpoints(arm, directory, metadata, trainer, log, *every),
        )

    def data_sha256(self) -> str:
        """What says that these are still the same data."""
        return data_sha256(self.dataset, self.trainer.image_statistics)

    def initial_sha256(self) -> dict[str, str]:
        """What says that the weights that all start from are still the same."""
        initial = self.trainer.initial
        return {} if initial is None else {"init_sha256": initial.sha256}

    def evaluate(self, arm: str, state: TrainState) -> dict[str, Any]:
        """Metrics on validation and test."""
        found = {}
        for part in ("validation", "test"):
            images = getattr(self.dataset, part)
            found[part] = self.evaluator(state.params, state.batch_stats, images)
            if not are_finite(found[part]):
                got = f"NaN or infinity on the {part} images after step {int(state.step)}"
                raise diverged(arm, "likelihood", got)
        return found

    def classifier(self, state: TrainState) -> Classifier:
        """A trained state with all that is needed to use it."""
        return Classifier(
            self.config,
            self.dataset,
            self.trainer.model,
            local(state.params),
            local(state.batch_stats),
            self.trainer.image_statistics,
        )

    def _metadata(self, arm: str) -> dict[str, Any]:
        counts = self.dataset.train_counts()
        return {
            "arm": arm,
            "training": self.config.to_json(),
            "class_names": list(self.dataset.class_names),
            "class_counts": None if counts is None else counts.tolist(),
            "image_shape": list(self.dataset.image_shape),
            "image_statistics": self.trainer.image_statistics,
            **self.made_from,
            **self._of_model,
            **made_from.devices(),
            **made_from.versions(),
        }


def data_sha256(dataset: Dataset, statistics: Any) -> str:
    """What says that data are still the same, without reading every image again.

    Of the names, the statistics and sizes, and the labels as far as they are in memory.
    """
    digest = hashlib.sha256(repr((dataset.class_names, statistics)).encode())
    for part in ("train", "validation", "test"):
        split = getattr(dataset, part)
        digest.update(f"{part} {len(split)} {split.image_shape}".encode())
        digest.update(getattr(split, "labels", np.zeros(0, np.int32)).tobytes())
    return digest.hexdigest()
