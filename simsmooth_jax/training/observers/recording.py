"""The rows of `metrics.jsonl`: of each step and of each validation."""

import dataclasses
import hashlib
import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array

from simsmooth_jax.data.dataset import Examples
from simsmooth_jax.errors import DivergenceError, InputError, first_line
from simsmooth_jax.machine.files.writing import append, write_atomically
from simsmooth_jax.machine.processes import is_writer
from simsmooth_jax.metrics import Accumulated
from simsmooth_jax.training.evaluation import Evaluator, are_finite
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.saved.checkpoints import latest_step
from simsmooth_jax.training.step import TrainState

METRICS = "metrics.jsonl"
# Rows are made many at a time: each of its own, between two steps, takes several times as long.
WRITE_SECONDS = 0.25

Row = dict[str, Any]
Noted = dict[str, Any]  # `rows`, how many, and `sha256`


class MetricsLog:
    """Rows are durable before a checkpoint of the same step is, and cut back to it on resume.

    Every process has the same rows; one of them writes. What an arm has written is summed up, which
    its checkpoints note: rows that are lost or changed later are found.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path
        self._pending: deque[tuple[Any, Callable[[], Iterable[Row]]]] = deque()
        self._next_write = 0.0
        self._begun = False  # whether the file must be there
        self._sums: defaultdict[str, _Sum] = defaultdict(_Sum)

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
            self._append(b"", durable=True)

    def summed(self, arm: str) -> Noted:
        """The number of an arm's rows and their SHA-256, as its checkpoint of this step notes."""
        return self._sums[arm].noted()

    def rewind(self, arm: str, step: int, noted: Noted | None = None) -> bool:
        """Drops the rows of an arm after a checkpoint, those in memory, and a torn line.

        Returns:
          Whether there is a row of a validation after that step; the writer knows.

        Raises:
          InputError: the rows up to that step are not those that its checkpoint has noted.
        """
        self._pending.clear()
        if not is_writer():
            return False
        lines = self._lines()
        self._sums[arm] = self._compared(lines, arm, step, noted)
        left, kept, validated = self._sums[arm].rows, [], False
        for its_arm, _, line in lines:
            own = its_arm == arm
            if own and not left:
                continue
            left -= own
            kept.append(line)
            validated = "loss" not in json.loads(line) if own else validated
        write_atomically(self.path, b"".join(kept))
        self._begun = True
        return validated

    def verify(self, arm: str, step: int, noted: Noted | None) -> None:
        """Compares the rows of an arm on disk with those that its last checkpoint has noted.

        Raises:
          InputError: they are others.
        """
        self._compared(self._lines(), arm, step, noted)

    def rows(self) -> list[Row]:
        """All complete rows on disk."""
        return [json.loads(line) for _, _, line in self._lines()]

    def _compared(
        self, lines: list[tuple[str, int, bytes]], arm: str, step: int, noted: Noted | None
    ) -> "_Sum":
        found = _Sum()
        for its_arm, its_step, line in lines:
            # Of the same step a validation may follow, which a signal has put off to afterwards.
            enough = noted is not None and its_step == step and found.noted() == noted
            if its_arm == arm and its_step <= step and not enough:
                found.add(line)
        if noted is not None and found.noted() != noted:
            expected, count = noted.get("rows"), found.rows
            raise InputError(
                f"{self.path}: it",
                f"hold the rows of {arm} up to step {step} as its checkpoint has noted them",
                f"{count} of {expected}" if count != expected else "other ones",
                "Restore it from a copy, or start anew: `overwrite`.",
            )
        return found

    def _lines(self) -> list[tuple[str, int, bytes]]:
        """Arm, step and bytes of every complete row on disk."""
        if not self.path.exists():
            return []
        whole = self.path.read_bytes()
        lines = whole[: whole.rfind(b"\n") + 1].splitlines(keepends=True)  # the rest is torn
        try:
            read = [json.loads(line) for line in lines]
            keys = [(str(row["arm"]), int(row["step"])) for row in read]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path}: every line",
                "be a JSON object with arm and step",
                first_line(error),
                "Restore it from a copy, or start anew: `overwrite`.",
            ) from error
        return [(*key, line) for key, line in zip(keys, lines, strict=True)]

    def _write(self, wait: bool) -> None:
        lines: list[bytes] = []
        try:
            while self._pending and (wait or self._pending[0][0].is_ready()):
                for row in self._pending.popleft()[1]():
                    lines.append((json.dumps(row) + "\n").encode())
                    self._sums[row["arm"]].add(lines[-1])
        finally:  # also those before a loss that is refused
            if lines and is_writer():
                self._append(b"".join(lines), durable=False)

    def _append(self, lines: bytes, durable: bool) -> None:
        append(self.path, lines, durable, new=not self._begun)
        self._begun = True


class _Sum:
    """Of lines, one after the other."""

    def __init__(self) -> None:
        self.rows, self._digest = 0, hashlib.sha256()

    def add(self, line: bytes) -> None:
        self.rows += 1
        self._digest.update(line)

    def noted(self) -> Noted:
        return {"rows": self.rows, "sha256": self._digest.hexdigest()}


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
