"""The rows of a training are written while it goes on, without waiting for any of them."""

from pathlib import Path
from typing import Any

import jax
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.training import DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.machine.terminal import ProgressBars
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.recording import MetricsLog, Recorder
from simsmooth_jax.training.step import Trainer, TrainState

pytestmark = pytest.mark.slow

EPOCHS = 4
CONFIG = TrainingConfig(
    model=ModelConfig("cnn", width=16), optimizer=OptimizerConfig(epochs=EPOCHS)
)


class Watched(Recorder):
    """Notes of all that it writes whether it was there already, until a checkpoint is due."""

    was_ready: list[bool]
    pending = 0

    def _write_steps(self, first: int, metrics: dict[str, Any]) -> None:
        self.was_ready += [value.is_ready() for value in metrics.values()]
        super()._write_steps(first, metrics)

    def _write_validation(self, step: int, epoch: int, batches: list[dict[str, Any]]) -> None:
        self.was_ready += [value.is_ready() for batch in batches for value in batch.values()]
        super()._write_validation(step, epoch, batches)

    def _save(self, state: TrainState) -> None:
        self.noted, self.pending = list(self.was_ready), len(self._pending)
        super()._save(state)


def test_the_host_waits_for_no_metric(tmp_path: Path) -> None:
    """But before a checkpoint, whose rows must be on disk."""
    dataset = load_dataset(DataConfig())
    trainer = Trainer(CONFIG, dataset, jax.devices()[:1])
    evaluator = Evaluator(trainer.model, trainer.image_statistics)
    log = MetricsLog(tmp_path / "metrics.jsonl")
    with ProgressBars(shown=True) as bars:
        last = (trainer, evaluator, dataset.validation, log, bars, 99, None)
        recorder = Watched("onehot", tmp_path, {}, *last)
        state = trainer.init(0)
        recorder.resume(like=state)
        recorder.was_ready = []
        train(trainer, label_table(ss.onehot_labels(10)), 0, state, recorder)
    rows = log.rows()
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, trainer.total_steps + 1))
    assert [row["epoch"] for row in rows if "validation_nll" in row] == list(range(1, EPOCHS + 1))
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert 0 < recorder.pending < trainer.steps_per_epoch  # most were written before
    assert len(recorder.noted) > 2 * trainer.total_steps
    assert all(recorder.noted)
