"""One arm of a comparison: a table of labels, trained, recorded and evaluated like every other."""

import dataclasses
from pathlib import Path
from typing import Any

from simsmooth_jax import checkpoints, checks, options
from simsmooth_jax.config import TrainingConfig
from simsmooth_jax.data import Dataset, load_dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.evaluation import Evaluator
from simsmooth_jax.label_files import array_sha256
from simsmooth_jax.loop import train
from simsmooth_jax.metrics_log import MetricsLog
from simsmooth_jax.models import build_model
from simsmooth_jax.progress import Progress
from simsmooth_jax.recording import Recorder
from simsmooth_jax.training import Trainer, TrainState


class ArmRunner:
    """Trains arms that differ in their tables alone, all with the same compiled programs."""

    def __init__(self, config: TrainingConfig, checkpoint_every: int) -> None:
        """Loads the images and builds the programs; nothing is written."""
        options.refuse_checkpoint_every(checkpoint_every)
        options.refuse_seed(config.seed)
        self.config = config
        self.checkpoint_every = checkpoint_every
        self.dataset = load_dataset(config.data)
        self.trainer = Trainer(config, self.dataset)
        self.evaluator = Evaluator(self.trainer.model, self.trainer.image_statistics)

    def train(
        self, arm: str, table: Any, directory: Path, log: MetricsLog, progress: Progress
    ) -> TrainState:
        """Trains against a table, from the last checkpoint in the directory if there is one."""
        checks.label_table("train", table, self.dataset.num_classes)
        recorder = Recorder(
            arm=arm,
            directory=directory,
            metadata=self._metadata(arm, table),
            trainer=self.trainer,
            evaluator=self.evaluator,
            validation=self.dataset.validation,
            log=log,
            progress=progress,
            checkpoint_every=self.checkpoint_every,
        )
        state = self.trainer.init(self.config.seed)
        state = recorder.resume(like=state) or state
        return train(self.trainer, table, self.config.seed, state, recorder)

    def evaluate(self, state: TrainState) -> dict[str, Any]:
        """Metrics on validation and test."""
        return {
            part: self.evaluator(state.params, state.batch_stats, getattr(self.dataset, part))
            for part in ("validation", "test")
        }

    def _metadata(self, arm: str, table: Any) -> dict[str, Any]:
        return {
            "arm": arm,
            "training": dataclasses.asdict(self.config),
            "class_names": list(self.dataset.class_names),
            "image_statistics": self.trainer.image_statistics,
            "table_sha256": array_sha256(table),
        }


def evaluate_checkpoint(checkpoint: Path, part: str) -> dict[str, Any]:
    """Metrics of a checkpoint that an `ArmRunner` wrote, on the data that it was trained on."""
    variables, metadata = checkpoints.read(checkpoint, ("params", "batch_stats"))
    if "training" not in metadata:
        raise InputError(
            f"CHECKPOINT must be one that simsmooth trained, got {checkpoint}, which does not say "
            "its model and data. Its kernel can still be used: simsmooth labels CHECKPOINT."
        )
    try:
        config = TrainingConfig.from_dict(metadata["training"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"CHECKPOINT must be of a model that this version has, got {checkpoint}: {error}. "
            "Use the version that trained it."
        ) from error
    dataset: Dataset = load_dataset(config.data)
    if list(dataset.class_names) != metadata["class_names"]:
        raise InputError(
            f"CHECKPOINT must be of the classes of {config.data} in their order, got {checkpoint} "
            f"with {metadata['class_names'][:5]} first. Restore the data that it was trained on."
        )
    model = build_model(config.model, dataset.num_classes)
    evaluator = Evaluator(model, metadata["image_statistics"])
    return evaluator(variables["params"], variables["batch_stats"], getattr(dataset, part))
