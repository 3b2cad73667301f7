"""Options that must fit the images and the devices, refused where these are known."""

from simsmooth_jax.config import options
from simsmooth_jax.config.training import (
    USUAL_WARMUP,
    AugmentationConfig,
    OptimizerConfig,
    TrainingConfig,
)
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.data.features import are_features
from simsmooth_jax.errors import InputError

MAX_STEPS = 2**31 - 1  # a state counts its steps in 32 bits


def refuse_unfitting(config: TrainingConfig, dataset: Dataset, num_devices: int) -> None:
    """Refuses what no training takes, and what these images and so many devices do not."""
    options.check(config)
    batch_size = config.optimizer.batch_size
    refuse_batch_size(batch_size, len(dataset.train), num_devices)
    refuse_pixels(config.augmentation, dataset.image_shape)
    steps_per_epoch = len(dataset.train) // batch_size
    refuse_epochs(config.optimizer, steps_per_epoch)
    refuse_steps_per_dispatch(config.steps_per_dispatch, steps_per_epoch, dataset.streamed)


def refuse_batch_size(size: int, num_examples: int, num_devices: int) -> None:
    """Refuses a batch that the images cannot fill or the devices cannot share."""
    if size > num_examples:
        must = f"be from 1 to the {num_examples} training images"
        raise InputError("`batch_size`", must, size, "Choose a smaller one.")
    if size % num_devices:
        fitting = max(size // num_devices, 1) * num_devices
        must = f"be a multiple of the {num_devices} devices"
        raise InputError("`batch_size`", must, size, f"Try {fitting}.")


def refuse_epochs(config: OptimizerConfig, steps_per_epoch: int) -> None:
    """Refuses more steps than are counted in 32 bits, and a warm-up that is longer than them."""
    most = MAX_STEPS // steps_per_epoch
    if config.epochs > most:
        must = f"be at most {most} where an epoch has {steps_per_epoch} steps"
        raise InputError("`epochs`", must, config.epochs, "Choose larger batches, or fewer epochs.")
    if config.warmup_epochs > config.epochs and config.warmup_epochs != USUAL_WARMUP:
        must = f"be at most `epochs={config.epochs}`"
        raise InputError("`warmup_epochs`", must, config.warmup_epochs, "Choose a shorter one.")


def refuse_pixels(config: AugmentationConfig, shape: tuple[int, ...]) -> None:
    """Refuses changes of the images that leave nothing of them, and any of features but mixup."""
    if are_features(shape):
        for name in ("crop", "flip", "cutout", "cutmix"):
            if value := getattr(config, name):
                must = f"be left out with features {list(shape)}, which have no pixels"
                raise InputError(f"`{name}`", must, value, "`mixup` blends features.")
        return
    side = min(shape[:2])
    for name, example in (("crop", side // 8), ("cutout", side // 2)):
        pixels = getattr(config, name)
        if pixels >= side:
            must = f"be from 0 to {side - 1} pixels, less than the images' {side}"
            raise InputError(f"`{name}`", must, pixels, f"Try {example}.")


def refuse_mixing(config: AugmentationConfig, unmixed: bool) -> None:
    """Refuses to mix images where their predictions are taken for those of single ones."""
    for name in ("mixup", "cutmix"):
        if unmixed and (value := getattr(config, name)):
            must = "be 0 with labels that are made of the predictions of single images"
            raise InputError(f"`{name}`", must, value, "Leave it out, or choose other labels.")


def refuse_steps_per_dispatch(steps: int, steps_per_epoch: int, streamed: bool) -> None:
    """Refuses more steps at once than an epoch has, or several of what is streamed."""
    if steps > steps_per_epoch:
        must = f"be from 1 to the {steps_per_epoch} steps of an epoch"
        then = f"Try {min(10, steps_per_epoch)}."
        raise InputError("`steps_per_dispatch`", must, steps, then)
    if streamed and steps > 1:
        raise InputError(
            "`steps_per_dispatch`",
            "be 1 where images are streamed",
            steps,
            "Leave it out, or hold the images on the devices with `input=memory`.",
        )


def refuse_checkpoint_steps(every: int | None, steps_per_dispatch: int) -> None:
    """Refuses checkpoints in the midst of every dispatch."""
    if every is not None and every < steps_per_dispatch:
        must = f"be at most `checkpoint_steps={every}`"
        raise InputError("`steps_per_dispatch`", must, steps_per_dispatch, f"Try {every}.")
