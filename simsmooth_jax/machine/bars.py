"""A live bar for each training: steps, loss, accuracy, wait for input, time gone < time left.

And bars of what else takes long: these vanish.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

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

from simsmooth_jax.machine.processes import is_writer

REFRESH_SECONDS = 0.5  # drawing a bar takes milliseconds of a core that the training may use
SHOWN_AFTER = 2.0  # seconds; what is done before needs no bar


@contextlib.contextmanager
def transient_bar() -> Iterator[RichProgress]:
    """Bars of one process on a terminal, where they last for two seconds; they leave nothing.

    Yields:
      Rich's bars: give them tasks, as by `add_task`, `track` or `wrap_file`.
    """
    console = Console(stderr=True)
    # Standard output is left alone: callers redirect it themselves.
    bars = RichProgress(console=console, transient=True, redirect_stdout=False)
    if not console.is_interactive or not is_writer():  # elsewhere it would leave an empty line
        yield bars
        return
    timer = threading.Timer(SHOWN_AFTER, bars.start)
    timer.daemon = True
    timer.start()
    try:
        yield bars
    finally:
        timer.cancel()
        timer.join()
        bars.stop()


def advance(bars: RichProgress, task: TaskID, total: int) -> None:
    """One more of `total` steps is done; a task that was at its end begins again."""
    shown = bars.tasks[bars.task_ids.index(task)]
    if shown.finished or shown.total != total:
        bars.reset(task, total=total)
    bars.advance(task)


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
        self.live = RichProgress(
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

    def __enter__(self) -> "ProgressBars":
        """Shows the bars."""
        self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the last state of the bars on the screen."""
        with contextlib.suppress(OSError):  # of a terminal that is gone
            self.live.stop()

    def start(self, arm: str, step: int, total: int) -> None:
        """A training begins, or goes on from a step."""
        self._started = time.perf_counter()
        self._task = self.live.add_task(
            f"{arm:<8}", total=total, completed=step, metrics="done before" if step == total else ""
        )

    def update(self, step: int, loss: float, accuracy: float, waited: float) -> None:
        """A step is done; the training has waited for input for some seconds up to now."""
        share = waited / (time.perf_counter() - self._started)
        shown = f"{loss:{'.3f' if loss < 1000 else '.1e'}}"
        metrics = f"loss {shown}  accuracy {accuracy:.1%}  input {share:.0%}"
        self.live.update(self._task, completed=step, metrics=metrics)
