"""A live bar for each training: steps, loss, accuracy, wait for input, time gone < time left."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

REFRESH_SECONDS = 0.5  # drawing a bar takes milliseconds of a core that the training may use


def say(message: str) -> None:
    """One line on standard error."""
    print(f"simsmooth: {' '.join(message.split())}", file=sys.stderr)


class Progress(Protocol):
    """What a training reports to."""

    def start(self, arm: str, step: int, total: int) -> None:
        """A training begins, or goes on from a step."""

    def update(self, step: int, loss: float, accuracy: float, waited: float) -> None:
        """A step is done; the training has waited for input for some seconds up to now."""


class ProgressBars:
    """One line a training on standard error, live on a terminal and once at the end elsewhere."""

    def __init__(self, shown: bool) -> None:
        """Shows nothing yet; of several processes one shows them."""
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=1 / REFRESH_SECONDS,
            disable=not shown,
        )
        self._task = TaskID(0)
        self._started = 0.0

    def __enter__(self) -> Self:
        """Shows the bars."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the last state of the bars on the screen."""
        self._bars.stop()

    def start(self, arm: str, step: int, total: int) -> None:
        """A training begins, or goes on from a step."""
        self._started = time.perf_counter()
        self._task = self._bars.add_task(
            f"{arm:<8}", total=total, completed=step, metrics="done before" if step == total else ""
        )

    def update(self, step: int, loss: float, accuracy: float, waited: float) -> None:
        """A step is done; the training has waited for input for some seconds up to now."""
        share = waited / (time.perf_counter() - self._started)
        shown = f"{loss:{'.3f' if loss < 1000 else '.1e'}}"
        metrics = f"loss {shown}  accuracy {accuracy:.1%}  input {share:.0%}"
        self._bars.update(self._task, completed=step, metrics=metrics)
