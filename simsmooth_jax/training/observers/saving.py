"""The checkpoints of a training while it goes on: when, after what, and of what state."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from simsmooth_jax.training import checkpoints
from simsmooth_jax.training.loop import Metrics
from simsmooth_jax.training.observers.recording import METRICS, MetricsLog, diverged
from simsmooth_jax.training.step import Trainer, TrainState


@dataclasses.dataclass
class Checkpoints:
    """An observer: a checkpoint where one is due, after the rows up to it.

    The loss of a step is that before its update: a loss that is finite says nothing of the state,
    which is looked at itself before anything of it is written.
    """

    arm: str
    directory: Path
    metadata: dict[str, Any]
    trainer: Trainer
    log: MetricsLog
    every_epochs: int
    every_steps: int | None

    def on_step(self, step: int, state: TrainState, metrics: Metrics, input_seconds: float) -> None:
        """Waits for the rows and the state, and saves it, where that is due."""
        if not self._is_due(step):
            return
        self.log.flush()  # before the checkpoint, so that no row of it is missing
        self._refuse_divergence(step, state)
        noted = {METRICS: self.log.summed(self.arm)}
        checkpoints.save(self.directory, step, state, self.metadata | noted)

    def _is_due(self, step: int) -> bool:
        epoch, position = divmod(step, self.trainer.steps_per_epoch)
        by_epochs = epoch % self.every_epochs == 0 or epoch == self.trainer.epochs
        by_steps = self.every_steps is not None and step % self.every_steps == 0
        return by_steps or (position == 0 and by_epochs)

    def _refuse_divergence(self, step: int, state: TrainState) -> None:
        finite = np.asarray(_are_finite(state))
        if not finite.all():
            paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(state)]
            first = jax.tree_util.keystr(paths[int(finite.argmin())], simple=True, separator="/")
            got = f"NaN or infinity in {first} after step {step}"
            raise diverged(self.arm, "state", got, self.directory)


@jax.jit
def _are_finite(state: TrainState) -> Bool[Array, " leaves"]:
    leaves = jax.tree.leaves(state)
    floating = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    return jnp.stack(
        [
            jnp.isfinite(leaf).all() if inexact else jnp.bool_(True)
            for leaf, inexact in zip(leaves, floating, strict=True)
        ]
    )
