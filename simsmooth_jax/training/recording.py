"""What is kept of a training while it goes on: metrics, checkpoints, progress."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax import checkpoints
from simsmooth_jax.data import Examples
from simsmooth_jax.errors import DivergenceError
from simsmooth_jax.evaluation import Evaluator, summarise
from simsmooth_jax.metrics_log import MetricsLog
from simsmooth_jax.progress import Progress
from simsmooth_jax.training import Trainer, TrainState


@dataclasses.dataclass
class Recorder:
    """Writes rows as the device finishes them: the loop waits for them at a checkpoint alone."""

    arm: str
    directory: Path
    metadata: dict[str, Any]
    trainer: Trainer
    evaluator: Evaluator
    validation: Examples
    log: MetricsLog
    progress: Progress
    checkpoint_every: int
    checkpoint_steps: int | None
    step: int = 0

    def __post_init__(self) -> None:
        """Nothing is pending yet: arrays to be ready, and what is then written of them."""
        self._pending: deque[tuple[Any, Callable[[], None]]] = deque()

    def resume(self, like: TrainState) -> TrainState | None:
        """The state of the last checkpoint, with the log cut back to it."""
        state = checkpoints.restore(self.directory, like)
        self.step = 0 if state is None else int(state.step)
        self.log.rewind(self.arm, self.step)
        self.progress.start(self.arm, self.step, self.trainer.total_steps)
        return state

    def on_step(
        self, state: TrainState, metrics: dict[str, Float[Array, "*steps"]], input_seconds: float
    ) -> None:
        """Takes metrics of one step or several, writes what is ready, and saves where it is due."""
        first = self.step + 1
        self.step += metrics["loss"].size
        self.progress.wait(input_seconds)
        self._pending.append((metrics["loss"], partial(self._write_steps, first, metrics)))
        self._write_what_is_ready()
        if self._is_due() and self.step % self.trainer.steps_per_epoch:  # else on_epoch saves it
            self._save(state)

    def on_epoch(self, epoch: int, state: TrainState) -> None:
        """Starts a validation, and saves a checkpoint where one is due."""
        batches = self.evaluator.dispatch(state.params, state.batch_stats, self.validation)
        write = partial(self._write_validation, self.step, epoch + 1, batches)
        self._pending.append((batches[-1]["nll"], write))
        last = epoch + 1 == self.trainer.epochs
        if last or (epoch + 1) % self.checkpoint_every == 0 or self._is_due():
            self._save(state)
        self._write_what_is_ready()
        self.log.flush()

    def _is_due(self) -> bool:
        return self.checkpoint_steps is not None and self.step % self.checkpoint_steps == 0

    def _save(self, state: TrainState) -> None:
        while self._pending:
            self._pending.popleft()[1]()
        self.log.flush()  # before the checkpoint, so that no row of it is missing
        checkpoints.save(self.directory, self.step, state, self.metadata)

    def _write_what_is_ready(self) -> None:
        while self._pending and self._pending[0][0].is_ready():
            self._pending.popleft()[1]()

    def _write_steps(self, first: int, metrics: dict[str, Array]) -> None:
        columns = {name: np.atleast_1d(value).tolist() for name, value in metrics.items()}
        for step, values in enumerate(zip(*columns.values(), strict=True), first):
            self._write(step, dict(zip(columns, values, strict=True)))

    def _write_validation(self, step: int, epoch: int, batches: list[dict[str, Array]]) -> None:
        metrics = summarise(batches, len(self.validation))
        row = {"arm": self.arm, "step": step, "epoch": epoch}
        for name in ("accuracy", "nll", "ece"):
            row[f"validation_{name}"] = metrics[name]
        self.log.append(row)

    def _write(self, step: int, values: dict[str, float]) -> None:
        if not math.isfinite(values["loss"]):
            raise DivergenceError(
                f"training {self.arm}: the loss must stay finite, got {values['loss']} at step "
                f"{step}. Lower --learning-rate. "
                f"Checkpoints before it are kept in {self.directory}."
            )
        epoch = 1 + (step - 1) // self.trainer.steps_per_epoch
        self.log.append({"arm": self.arm, "step": step, "epoch": epoch, **values})
        self.progress.update(step, values["loss"], values["accuracy"])
