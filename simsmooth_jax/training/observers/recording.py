"""The rows of `metrics.jsonl`: of each step and of each validation."""

import dataclasses
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.errors import DivergenceError, InputError, first_line
from simsmooth_jax.machine.files import write_atomically
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.metrics import Accumulated
from simsmooth_jax.training.checkpoints import latest_step
from simsmooth_jax.training.evaluation import Evaluator, are_finite
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.step import TrainState

METRICS = "metrics.jsonl"
# Rows are made many at a time: each of its own, between two steps, takes several times as long.
WRITE_SECONDS = 0.25

Row = dict[str, Any]


class MetricsLog:
    """Rows are durable before a checkpoint of the same step is, and cut back to it on resume.

    Every process has the same rows; one of them writes.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self._pending: deque[tuple[Any, Callable[[], Iterable[Row]]]] = deque()
        self._next_write = 0.0

    def append(self, ready: Any, rows: Callable[[], Iterable[Row]]) -> None:
        """Adds rows, which are made once an array of theirs is there; the host does not wait."""
        self._pending.append((ready, rows))
        if time.monotonic() >= self._next_write:
            self._write(wait=False)
            self._next_write = time.monotonic() + WRITE_SECONDS

    def flush(self) -> None:
        """Writes all that was added and waits until the disk has it."""
        self._write(wait=True)
        if is_writer():
            with self.path.open("a", encoding="utf-8") as file:
                os.fsync(file.fileno())

    def rewind(self, arm: str, step: int) -> bool:
        """Drops the rows of an arm after a step, those in memory, and a line that a kill tore.

        Returns:
          Whether there is a row of a validation after that step; the writer knows.
        """
        self._pending.clear()
        if not is_writer():
            return False
        kept = [row for row in self.rows() if row["arm"] != arm or row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        return any(row["arm"] == arm and row["step"] == step and "loss" not in row for row in kept)

    def rows(self) -> list[Row]:
        """All complete rows on disk."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1]]  # the rest, if any, is torn
        except ValueError as error:
            raise InputError(
                f"{self.path}: every line",
                "be JSON",
                first_line(error),
                "Mend that line, or move the file: the checkpoints do not need it.",
            ) from error

    def _write(self, wait: bool) -> None:
        lines: list[str] = []
        try:
            while self._pending and (wait or self._pending[0][0].is_ready()):
                lines.extend(json.dumps(row) + "\n" for row in self._pending.popleft()[1]())
        finally:  # also those before a loss that is refused
            if lines and is_writer():
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(lines)


@dataclasses.dataclass
class StepRows:
    """An observer: a row for each step, and the end of a training whose loss is not finite."""

    arm: str
    directory: Path
    steps_per_epoch: int
    log: MetricsLog

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Adds the rows of one step or several."""
        self.log.append(metrics["loss"], partial(self._rows, step, metrics))

    def _rows(self, last: int, metrics: dict[str, Array]) -> Iterator[Row]:
        columns = [np.atleast_1d(value).tolist() for value in metrics.values()]
        for step, values in enumerate(zip(*columns, strict=True), last + 1 - len(columns[0])):
            row = dict(zip(metrics, values, strict=True))
            if not math.isfinite(row["loss"]):
                raise diverged(self.arm, "loss", f"{row['loss']} at step {step}", self.directory)
            epoch = 1 + (step - 1) // self.steps_per_epoch
            yield {"arm": self.arm, "step": step, "epoch": epoch, **row}


@dataclasses.dataclass
class ValidationRows:
    """An observer: a validation at the end of each epoch, and its row."""

    arm: str
    directory: Path
    steps_per_epoch: int
    evaluator: Evaluator
    examples: Examples
    log: MetricsLog

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Starts a validation where an epoch ends."""
        if step % self.steps_per_epoch == 0:
            self.validate(step, state)

    def validate(self, step: int, state: TrainState) -> None:
        """Starts a validation."""
        found = self.evaluator.dispatch(state.params, state.batch_stats, self.examples)
        self.log.append(found.batches[-1].nll, partial(self._rows, step, found))

    def _rows(self, step: int, found: Accumulated) -> Iterator[Row]:
        metrics = found.summary()
        if not are_finite(metrics):
            got = f"NaN or infinity on the validation images after step {step}"
            raise diverged(self.arm, "likelihood", got, self.directory)
        row = {"arm": self.arm, "step": step, "epoch": step // self.steps_per_epoch}
        yield row | {f"validation_{name}": metrics[name] for name in ("accuracy", "nll", "ece")}


def diverged(arm: str, what: str, got: str, directory: Path | None = None) -> DivergenceError:
    """The error of a training that went wrong, with the step in `got`.

    What it has saved in the directory, if anything, has finite weights: they are looked at before.
    """
    last = directory and latest_step(directory)
    kept = f" Step {last.name} is kept in {directory}." if last else ""
    return DivergenceError(
        f"training {arm}: the {what} must stay finite, got {got}. Lower `learning_rate`.{kept}"
    )
