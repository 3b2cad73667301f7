"""Options out of range, refused by name before anything is trained or written."""

import dataclasses
import math

from simsmooth_jax import checks, rules
from simsmooth_jax.config import OptimizerConfig, RelationConfig
from simsmooth_jax.errors import InputError

MAX_SEED = 2**31 - 1  # what a JAX key takes on every backend


def refuse_seed(seed: int) -> None:
    """Refuses a seed that no key can be made of."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"--seed must be from 0 to {MAX_SEED}, got {seed}. Try 0.")


def refuse_optimizer(config: OptimizerConfig) -> None:
    """Refuses what SGD with warm-up and cosine decay cannot work with."""
    ranges = {
        "epochs": (1 <= config.epochs <= 10**6, "from 1 to 1000000", 30),
        "learning-rate": (0 < config.learning_rate < math.inf, "a finite number above 0", 0.03),
        "momentum": (0 <= config.momentum < 1, "at least 0 and below 1", 0.9),
        "weight-decay": (0 <= config.weight_decay < math.inf, "finite and at least 0", 5e-4),
        "warmup-epochs": (0 <= config.warmup_epochs < math.inf, "finite and at least 0", 2),
    }
    for name, (sound, expected, example) in ranges.items():
        if not sound:
            value = getattr(config, name.replace("-", "_"))
            raise InputError(f"--{name} must be {expected}, got {value}. Try {example:g}.")


def refuse_batch_size(size: int, num_examples: int, num_devices: int) -> None:
    """Refuses a batch that the images cannot fill or the devices cannot share."""
    if not 1 <= size <= num_examples:
        raise InputError(
            f"--batch-size must be from 1 to the {num_examples} training images, got {size}. "
            "Choose a smaller one."
        )
    if size % num_devices:
        fitting = max(size // num_devices, 1) * num_devices
        raise InputError(
            f"--batch-size must be a multiple of the {num_devices} devices, got {size}. "
            f"Try {fitting}."
        )


def refuse_checkpoint_every(epochs: int) -> None:
    """Refuses checkpoints after no epoch."""
    if epochs < 1:
        raise InputError(f"--checkpoint-every must be at least 1, got {epochs}. Try 10.")


def refuse_relation(config: RelationConfig, num_classes: int) -> None:
    """Refuses options of the relation labels out of range."""
    values = dataclasses.asdict(config)
    values.pop("center")
    rules.refuse_options("relation labels", num_classes, **values)
    if config.rule == "literal" and config.center:
        raise InputError(
            "--center must not be given with --rule literal, got both. Centred columns sum to 0, "
            "so that some cosine is negative: use --rule clip."
        )


def refuse_uniform_epsilon(epsilon: float) -> None:
    """Refuses a weight of uniform smoothing out of range."""
    checks.fraction("uniform smoothing", "--uniform-epsilon", epsilon)
