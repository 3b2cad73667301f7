"""The checkpoints of a training while it goes on: when, after what, and of what state."""

import dataclasses
from pathlib import Path
from typing import Any

from simsmooth_jax.machine.signals import goes_on, held
from simsmooth_jax.training.finite import first_non_finite
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog, diverged
from simsmooth_jax.training.saved import checkpoints
from simsmooth_jax.training.step import Trainer, TrainState


@dataclasses.dataclass
class Checkpoints:
    """An observer: a checkpoint where one is due, after the rows up to it.

    The loss of a step is that before its update: a loss that is finite says nothing of the state,
    which is looked at itself before anything of it is written.
    """

    arm: str
    directory: Path
    metadata: dict[str, Any]
    trainer: Trainer
    log: MetricsLog
    every_epochs: int
    every_steps: int | None
    saved: int = 0

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Waits for the rows and the state, and saves it, where that is due."""
        if self._is_due(step):
            self._save(step, state)

    def on_stop(self, step: int, state: TrainState) -> None:
        """Saves what the end of the program would lose."""
        if self.saved != step:
            self._save(step, state)

    def _save(self, step: int, state: TrainState) -> None:
        with held():
            self.log.flush()  # before the checkpoint, so that no row of it is missing
            self._refuse_divergence(step, state)
            noted = {METRICS: self.log.summed(self.arm)}
            checkpoints.save(self.directory, step, state, self.metadata | noted)
            self.saved = step
            goes_on(from_step(self.arm, step, self.directory))

    def _is_due(self, step: int) -> bool:
        epoch, position = divmod(step, self.trainer.steps_per_epoch)
        by_epochs = epoch % self.every_epochs == 0 or epoch == self.trainer.epochs
        by_steps = self.every_steps is not None and step % self.every_steps == 0
        return by_steps or (position == 0 and by_epochs)

    def _refuse_divergence(self, step: int, state: TrainState) -> None:
        if first := first_non_finite(state):
            got = f"NaN or infinity in {first} after step {step}"
            raise diverged(self.arm, "state", got, self.directory)


def from_step(arm: str, step: int, directory: Path) -> str:
    """What the same command does after a stop, in words."""
    if step == 0:
        return f"starts training {arm} in {directory}"
    return f"goes on from step {step} of training {arm} in {directory}"
