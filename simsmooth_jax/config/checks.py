"""Options out of range, refused by name before anything is trained or written."""

import math
import re

from simsmooth_jax.config.training import (
    AugmentationConfig,
    DistributedConfig,
    OptimizerConfig,
)
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


def refuse_augmentation(config: AugmentationConfig, image_shape: tuple[int, int, int]) -> None:
    """Refuses changes of the images that leave nothing of them, or are no distribution."""
    side = min(image_shape[:2])
    for name in ("crop", "cutout"):
        pixels = getattr(config, name)
        if not 0 <= pixels < side:
            raise InputError(
                f"--{name} must be from 0 to {side - 1} pixels, less than the images' {side}, got "
                f"{pixels}. Try {side // 8 if name == 'crop' else side // 2}."
            )
    for name in ("mixup", "cutmix"):
        parameter = getattr(config, name)
        if not 0 <= parameter <= 100:
            raise InputError(f"--{name} must be from 0 (off) to 100, got {parameter}. Try 1.")


def refuse_steps_per_dispatch(steps: int, steps_per_epoch: int, streamed: bool) -> None:
    """Refuses more steps at once than an epoch has, or several of what is streamed."""
    if not 1 <= steps <= steps_per_epoch:
        raise InputError(
            f"--steps-per-dispatch must be from 1 to the {steps_per_epoch} steps of an epoch, got "
            f"{steps}. Try {min(10, steps_per_epoch)}."
        )
    if streamed and steps > 1:
        raise InputError(
            f"--steps-per-dispatch must be 1 where images are streamed, got {steps}. Leave it out, "
            "or hold the images on the devices with --input memory."
        )


def refuse_checkpoints(epochs: int, steps: int | None, steps_per_dispatch: int = 1) -> None:
    """Refuses checkpoints after no epoch or no step, or in the midst of every dispatch."""
    for name, value, example in (("every", epochs, 10), ("steps", steps, 1000)):
        if value is not None and value < 1:
            raise InputError(f"--checkpoint-{name} must be at least 1, got {value}. Try {example}.")
    if steps is not None and steps < steps_per_dispatch:
        raise InputError(
            f"--steps-per-dispatch must be at most --checkpoint-steps {steps}, got "
            f"{steps_per_dispatch}. Try {steps}."
        )


def refuse_workers(workers: int) -> None:
    """Refuses a number of reading processes that no machine has use for."""
    if not 0 <= workers <= 256:
        raise InputError(
            f"--workers must be from 0 to 256 processes, got {workers}. Try 0: threads read."
        )


def refuse_processes(config: DistributedConfig) -> None:
    """Refuses names of processes that are incomplete, or that no process can have."""
    values = {
        "coordinator": config.coordinator,
        "num-processes": config.num_processes,
        "process-id": config.process_id,
    }
    given = [f"--{name} {value}" for name, value in values.items() if value is not None]
    if config.distributed and given:
        raise InputError(
            f"--distributed must be given without {given[0].split()[0]}, got {given[0]} as well. "
            "It finds the processes: leave one of them out."
        )
    if 0 < len(given) < len(values):
        missing = next(name for name, value in values.items() if value is None)
        raise InputError(
            f"--{missing} must be given with {' '.join(given)}, got none. Give all three of "
            "--coordinator, --num-processes and --process-id."
        )
    if config.coordinator is None or config.num_processes is None or config.process_id is None:
        return
    address = re.fullmatch(r"([^\s:]+|\[[\da-fA-F:]+\]):(\d{1,5})", config.coordinator)
    if not address or not 1 <= int(address[2]) <= 65535:
        raise InputError(
            "--coordinator must be HOST:PORT with a port from 1 to 65535, got "
            f"{config.coordinator}. Try 127.0.0.1:8476 for processes of one machine."
        )
    if config.num_processes < 1:
        raise InputError(f"--num-processes must be at least 1, got {config.num_processes}. Try 2.")
    if not 0 <= config.process_id < config.num_processes:
        raise InputError(
            f"--process-id must be from 0 to {config.num_processes - 1}, less than "
            f"--num-processes, got {config.process_id}. They count from 0."
        )
