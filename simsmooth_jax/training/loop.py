"""The training loop of both stages and of every arm."""

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import jax
from jaxtyping import Array, Float

from simsmooth_jax.machine import signals
from simsmooth_jax.method.objectives.objective import Objective, unchanged
from simsmooth_jax.training.step import Trainer, TrainState

# Programs that were dispatched and not computed: bounds the memory of their inputs. On several CPU
# devices XLA hangs at its own limit of 32: a step waits for a place that only itself would free.
MAX_IN_FLIGHT = 8
SOON = 0.02  # seconds: longer steps are waited for one by one, and shown so

Metrics = dict[str, Float[Array, "*steps"]]


class Observer(Protocol):
    """What follows a training."""

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """A step was dispatched, after a wait for its input; its metrics may not be there yet.

        Several in one program have metrics `[steps]`, and the state after the last of them. `step`
        counts those that the state has seen. The state is donated to the next step.
        """


def train(
    trainer: Trainer,
    objective: Objective,
    seed: int,
    state: TrainState | None = None,
    observers: Sequence[Observer] = (),
    checkpoint_steps: int | None = None,
    on_stop: Callable[[int, TrainState], None] | None = None,
    on_compiled: Callable[[jax.stages.Compiled], None] | None = None,
) -> TrainState:
    """Trains a classifier by an objective.

    Args:
      trainer: the compiled programs, shared by all objectives of a kind and all seeds.
      objective: what is minimised, as against a table of labels.
      seed: decides the initial weights, the order of the images and their random changes.
      state: where to go on from, at any step; the initial state if not given. Donated.
      observers: told of every step, in this order.
      checkpoint_steps: steps after each of which the observers must see the state.
      on_stop: told of the last step and the state after it, where a signal ends the program.
      on_compiled: given the first program, which has not run yet.

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
        contextlib.ExitStack() as kept,
        contextlib.closing(trainer.inputs.from_step(seed, first, trainer.total_steps)) as inputs,
    ):
        step = first
        while step < trainer.total_steps:
            count = _steps_at_once(trainer.steps_per_dispatch, step, periods)
            start = time.perf_counter()
            batch = next(itertools.islice(inputs, count - 1, None))  # one for all, in an epoch
            waited = time.perf_counter() - start
            dispatch = trainer.step if count == 1 else trainer.steps
            if step == first and on_compiled is not None:
                on_compiled(trainer.compiled(count, state, batch, objective, key))
            state, metrics = dispatch(state, batch, objective, key)
            if step == first:  # before, an end loses nothing
                kept.enter_context(signals.boundaries())
            step += count
            if step % refresh_steps == 0 and objective.refresh is not unchanged:
                state = trainer.refresh(state, objective)  # a checkpoint of this step has it
            in_flight.append(metrics["loss"])
            if len(in_flight) > MAX_IN_FLIGHT:
                _wait_for_room(in_flight)
            try:
                for observer in observers:
                    observer.on_step(step, state, metrics, waited)
                signals.stop_if_asked()
            except signals.Stopped:
                if on_stop is not None:
                    on_stop(step, state)
                raise
    return state


def _wait_for_room(in_flight: deque[Array]) -> None:
    """Waits for the oldest program, and for half of them where that is soon there.

    Waking after every short step takes a core of the device's twice the time that dispatching
    takes; steps that are dispatched in a row share it, and the device still has the other half.
    """
    start = time.perf_counter()
    in_flight.popleft().block_until_ready()
    if time.perf_counter() - start < SOON:
        for _ in range(MAX_IN_FLIGHT // 2 - 1):
            in_flight.popleft()
        in_flight.popleft().block_until_ready()


def _steps_at_once(count: int, step: int, periods: tuple[int, ...]) -> int:
    """As many as one program has, unless a period ends among them, as an epoch: then one.

    It depends on the step alone, so that a training which goes on runs the same programs.
    """
    return count if all(step % period + count <= period for period in periods) else 1
