"""The training loop of both stages and of every arm."""

import contextlib
import itertools
import time
from collections import deque
from typing import Protocol

from jaxtyping import Array, Float

from simsmooth_jax.machine.signals import heard_between_steps
from simsmooth_jax.method.objectives.objective import Objective, unchanged
from simsmooth_jax.training.step import Trainer, TrainState

# Programs that were dispatched and not computed: bounds the memory of their inputs. On several CPU
# devices XLA hangs at its own limit of 32: a step waits for a place that only itself would free.
MAX_IN_FLIGHT = 8


class Observer(Protocol):
    """What follows a training."""

    def on_step(
        self, state: TrainState, metrics: dict[str, Float[Array, "*steps"]], input_seconds: float
    ) -> None:
        """A step was dispatched, after a wait for its input; its metrics may not be there yet.

        Several in one program have metrics `[steps]`, and the state after the last of them.
        """

    def on_epoch(self, epoch: int, state: TrainState) -> None:
        """The steps of an epoch, which count from 0, were dispatched."""


def train(
    trainer: Trainer,
    objective: Objective,
    seed: int,
    state: TrainState | None = None,
    observer: Observer | None = None,
    checkpoint_steps: int | None = None,
) -> TrainState:
    """Trains a classifier by an objective.

    Args:
      trainer: the compiled programs, shared by all objectives of a kind and all seeds.
      objective: what is minimised, as against a table of labels.
      seed: decides the initial weights, the order of the images and their random changes.
      state: where to go on from, at any step; the initial state if not given. Donated.
      observer: told of every step and epoch.
      checkpoint_steps: steps after each of which the observer must see the state.

    Returns:
      The state after the last step.
    """
    objective, key = trainer.place(objective), trainer.key(seed)
    state = trainer.init(seed, objective.init) if state is None else state
    refresh_steps = objective.refresh_steps or trainer.steps_per_epoch
    periods = (trainer.steps_per_epoch, refresh_steps, checkpoint_steps or refresh_steps)
    first = int(state.step)
    in_flight: deque[Array] = deque()
    with (
        heard_between_steps() as raise_if_interrupted,
        contextlib.closing(trainer.inputs.from_step(seed, first, trainer.total_steps)) as inputs,
    ):
        step = first
        while step < trainer.total_steps:
            raise_if_interrupted()
            count = _steps_at_once(trainer.steps_per_dispatch, step, periods)
            start = time.perf_counter()
            batch = next(itertools.islice(inputs, count - 1, None))  # one for all, in an epoch
            waited = time.perf_counter() - start
            dispatch = trainer.step if count == 1 else trainer.steps
            state, metrics = dispatch(state, batch, objective, key)
            step += count
            if step % refresh_steps == 0 and objective.refresh is not unchanged:
                state = trainer.refresh(state, objective)  # a checkpoint of this step has it
            in_flight.append(metrics["loss"])
            if len(in_flight) > MAX_IN_FLIGHT:
                in_flight.popleft().block_until_ready()
            if observer:
                observer.on_step(state, metrics, waited)
            epoch, position = divmod(step, trainer.steps_per_epoch)
            if observer and position == 0:
                observer.on_epoch(epoch - 1, state)
        raise_if_interrupted()
    return state


def _steps_at_once(count: int, step: int, periods: tuple[int, ...]) -> int:
    """As many as one program has, unless a period ends among them, as an epoch: then one.

    It depends on the step alone, so that a training which goes on runs the same programs.
    """
    return count if all(step % period + count <= period for period in periods) else 1
