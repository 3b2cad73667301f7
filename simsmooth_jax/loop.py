"""The training loop of both stages and of every arm."""

import contextlib
import time
from collections import deque
from typing import Any, Protocol

from jaxtyping import Array, Float

from simsmooth_jax.interrupts import heard_between_steps
from simsmooth_jax.training import Trainer, TrainState

# Steps that were dispatched and not computed: bounds the memory of their inputs. On several CPU
# devices XLA hangs at its own limit of 32: a step waits for a place that only itself would free.
MAX_IN_FLIGHT = 8


class Observer(Protocol):
    """What follows a training."""

    def on_step(
        self, state: TrainState, metrics: dict[str, Float[Array, ""]], input_seconds: float
    ) -> None:
        """A step was dispatched, after a wait for its input; its metrics may not be there yet."""

    def on_epoch(self, epoch: int, state: TrainState) -> None:
        """The steps of an epoch, which count from 0, were dispatched."""


def train(
    trainer: Trainer,
    table: Any,
    seed: int,
    state: TrainState | None = None,
    observer: Observer | None = None,
) -> TrainState:
    """Trains a classifier against a table of labels `[K, K]`.

    Args:
      trainer: the compiled programs, shared by all tables and seeds.
      table: row y is the target of every image of class y.
      seed: decides the initial weights, the order of the images and their random changes.
      state: where to go on from, at any step; the initial state if not given. Donated.
      observer: told of every step and epoch.

    Returns:
      The state after the last step.
    """
    state = trainer.init(seed) if state is None else state
    table, key = trainer.place_table(table), trainer.key(seed)
    first = int(state.step)
    in_flight: deque[Array] = deque()
    with (
        heard_between_steps() as raise_if_interrupted,
        contextlib.closing(trainer.inputs.from_step(seed, first, trainer.total_steps)) as inputs,
    ):
        for step in range(first, trainer.total_steps):
            raise_if_interrupted()
            start = time.perf_counter()
            batch = next(inputs)
            waited = time.perf_counter() - start
            state, metrics = trainer.step(state, batch, table, key)
            in_flight.append(metrics["loss"])
            if len(in_flight) > MAX_IN_FLIGHT:
                in_flight.popleft().block_until_ready()
            if observer:
                observer.on_step(state, metrics, waited)
            epoch, position = divmod(step + 1, trainer.steps_per_epoch)
            if observer and position == 0:
                observer.on_epoch(epoch - 1, state)
        raise_if_interrupted()
    return state
