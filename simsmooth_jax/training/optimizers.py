"""The learning rate of every step, and what is done with a gradient."""

from typing import Any

import jax
import optax

from simsmooth_jax.config.training import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, steps_per_epoch: int) -> optax.Schedule:
    """Linear warm-up to the peak, above 0 from the first step on; then a cosine to 0 at the end."""
    total = config.epochs * steps_per_epoch
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
    peak = config.learning_rate
    return optax.warmup_cosine_decay_schedule(peak / (warmup + 1), peak, warmup, total)


def build_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule, weight_decay: Any
) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, or AdamW; weight decay on kernels alone, not biases or scales.

    The decay may be traced, as no state depends on it: trainings that differ in it share a program.
    """

    def is_kernel(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    if config.optimizer == "adamw":
        decay = {"weight_decay": weight_decay, "mask": is_kernel}
        return optax.adamw(schedule, b1=config.momentum, **decay)
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=is_kernel),
        optax.sgd(schedule, momentum=config.momentum, nesterov=True),
    )
