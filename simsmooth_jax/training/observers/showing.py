"""The progress of a training while it goes on, shown without waiting for it."""

import time
from collections import deque
from typing import Any

import numpy as np

from simsmooth_jax.machine.bars import REFRESH_SECONDS, Progress
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.step import TrainState


class Shown:
    """An observer: tells a progress bar of the last step that is done, when the bar is redrawn."""

    def __init__(self, progress: Progress, total_steps: int) -> None:
        """Has seen no step."""
        self.progress, self.total_steps = progress, total_steps
        self._waited = self._next = 0.0
        self._pending: deque[tuple[int, dict[str, Any]]] = deque()

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Notes a step now and then, and shows the last of those whose metrics are there."""
        self._waited += input_seconds
        last = step == self.total_steps
        if time.monotonic() < self._next and not last:
            return
        self._next = time.monotonic() + REFRESH_SECONDS
        self._pending.append((step, metrics))
        done = None
        while self._pending and (last or self._pending[0][1]["loss"].is_ready()):
            done = self._pending.popleft()
        if done:
            self._show(*done)

    def _show(self, step: int, metrics: Metrics) -> None:
        loss, accuracy = (float(np.ravel(metrics[name])[-1]) for name in ("loss", "accuracy"))
        self.progress.update(step, loss, accuracy, self._waited)
