"""What is kept of a training while it goes on: metrics, checkpoints, progress."""

import dataclasses
import json
import math
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.errors import DivergenceError, InputError
from simsmooth_jax.machine.files import write_atomically
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.machine.terminal import Progress
from simsmooth_jax.training import checkpoints
from simsmooth_jax.training.evaluation import Evaluator, summarise
from simsmooth_jax.training.step import Trainer, TrainState

METRICS = "metrics.jsonl"


class MetricsLog:
    """Rows are durable before a checkpoint of the same step is, and cut back to it on resume.

    Every process has the same rows; one of them writes.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self._pending: list[str] = []

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row, in memory until `flush`."""
        self._pending.append(json.dumps(row))

    def flush(self) -> None:
        """Writes what was added and waits until the disk has it."""
        lines, self._pending = self._pending, []
        if not is_writer():
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, arm: str, step: int) -> None:
        """Drops the rows of an arm after a step, and a line that a kill has torn."""
        if not is_writer():
            return
        kept = [row for row in self.rows() if row["arm"] != arm or row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows on disk."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1]]  # the rest, if any, is torn
        except ValueError as error:
            raise InputError(
                f"{self.path}: every line must be JSON, got {error}. Start anew with --overwrite."
            ) from error


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
