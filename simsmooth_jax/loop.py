"""The training loop of both stages and of every arm."""

from typing import Any, Protocol

from jaxtyping import Array, Float

from simsmooth_jax.interrupts import heard_between_steps
from simsmooth_jax.training import Trainer, TrainState


class Observer(Protocol):
    """What follows a training."""

    def on_step(self, metrics: dict[str, Float[Array, ""]]) -> None:
        """A step was dispatched; its metrics are still on the device, perhaps not yet computed."""

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
      seed: decides the initial weights and the order of the images.
      state: where to go on from, at the end of an epoch; the initial state if not given. Donated.
      observer: told of every step and epoch.

    Returns:
      The state after the last step.
    """
    state = trainer.init(seed) if state is None else state
    table = trainer.place_table(table)
    with heard_between_steps() as raise_if_interrupted:
        for epoch in range(int(state.step) // trainer.steps_per_epoch, trainer.epochs):
            order = trainer.order(seed, epoch)
            for _ in range(trainer.steps_per_epoch):
                raise_if_interrupted()
                state, metrics = trainer.step(state, order, table)
                if observer:
                    observer.on_step(metrics)
            if observer:
                observer.on_epoch(epoch, state)
        raise_if_interrupted()
    return state
