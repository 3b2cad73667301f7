"""A trace of a few training steps for JAX's profiler."""

from pathlib import Path
from types import TracebackType

import jax

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.disks import unwritten
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.step import TrainState

WARM = 10  # dispatches before the trace: compilations and the first touch of memory
TRACED = 5  # dispatches in it, so that its size does not grow with the training


class TracedSteps:
    """An observer, and the last one: what the others do in the traced steps is in the trace."""

    def __init__(self, directory: Path, dispatches: int) -> None:
        """Traces in the middle of a training that is shorter than warm-up and trace."""
        self.directory = directory
        self.first = WARM if dispatches > WARM + TRACED else dispatches // 2
        self.seen, self.tracing, self.written = 0, False, False

    def __enter__(self) -> "TracedSteps":
        """Nothing is traced yet."""
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends a trace that the training ended in."""
        self._stop()

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Starts and ends the trace where the device has done the steps before."""
        self.seen += 1
        if self.seen == self.first:
            jax.block_until_ready(metrics)
            jax.profiler.start_trace(self.directory)
            self.tracing = True
        elif self.seen == self.first + TRACED:
            jax.block_until_ready(metrics)
            self._stop()

    def _stop(self) -> None:
        if self.tracing:
            self.tracing = False
            try:
                jax.profiler.stop_trace()
            except (OSError, jax.errors.JaxRuntimeError) as error:
                raise unwritten(self.directory / "plugins", None, error) from None
            self.written = True


def refuse_directory(directory: Path | None) -> None:
    """Refuses to trace into a file."""
    if directory is not None and directory.exists() and not directory.is_dir():
        raise InputError(
            "`profile`", "be a directory", f"the file {directory}", "Name a new directory."
        )


def how_to_look(directory: Path) -> str:
    """What opens a trace."""
    return (
        f"Profile of {TRACED} steps: {directory}. Look at it with `pip install xprof` and `xprof "
        f"--logdir {directory}`."
    )
