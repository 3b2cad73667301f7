"""Flax classifiers; the final Dense layer is always named `head`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from simsmooth_jax.config import options
from simsmooth_jax.config.training import DEFAULT_SIZE, MODELS, ModelConfig
from simsmooth_jax.data.features import are_features
from simsmooth_jax.errors import InputError
from simsmooth_jax.method.heads.candidates import HEAD
from simsmooth_jax.training.models.own_models import build_own, find_function, refuse_unfit

MAX_DEPTH = {"mlp": 100, "cnn": 6, "resnet": 1202, "resnet18": 18}  # a cnn's channels double

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, "batch classes"]


class MLP(nn.Module):
    """Flattened images, or features, through `depth` hidden layers of `width` units."""

    num_classes: int
    width: int = 128
    depth: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "batch ..."], train: bool) -> Logits:
        """Logits of every image; there is no difference between training and evaluation."""
        x = images.reshape(images.shape[0], -1)
        for _ in range(self.depth):
            x = nn.relu(nn.Dense(self.width, dtype=self.dtype)(x))
        return _head(self.num_classes)(x)


class CNN(nn.Module):
    """`depth` times convolution and pooling, doubling the channels, then one hidden layer."""

    num_classes: int
    width: int = 32
    depth: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Logits:
        """Logits of every image; there is no difference between training and evaluation."""
        x = images
        for stage in range(self.depth):
            x = nn.relu(nn.Conv(self.width * 2**stage, (3, 3), dtype=self.dtype)(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="SAME")
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(4 * self.width, dtype=self.dtype)(x))
        return _head(self.num_classes)(x)


class ResNet(nn.Module):
    """The ResNet for 32x32 images of He et al. 2016, section 4.2: `depth = 2 stages n + 2` layers.

    Three stages of n blocks with `width`, `2 width` and `4 width` channels, then global average
    pooling: N = `4 width` features. With four stages from width 64 and n = 2 it is the usual
    ResNet-18 of CIFAR: a 3x3 convolution first, no pooling after it, N = 512.
    """

    num_classes: int
    width: int = 16
    depth: int = 20
    dtype: DTypeLike = jnp.float32
    stages: int = 3

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Logits:
        """Logits of every image; training normalises by the statistics of the global batch."""

        def normalise(x: Images) -> Images:
            # Flax takes and keeps the statistics in float32, whatever dtype comes out.
            return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x)

        x = nn.relu(normalise(_conv(self.width, (3, 3), 1, self.dtype)(images)))
        for stage in range(self.stages):
            for block in range((self.depth - 2) // (2 * self.stages)):
                stride = 2 if stage > 0 and block == 0 else 1
                x = _residual_block(x, self.width * 2**stage, stride, normalise)
        return _head(self.num_classes)(x.mean(axis=(1, 2), dtype=jnp.float32))


def _residual_block(
    x: Images, channels: int, stride: int, normalise: Callable[[Images], Images]
) -> Images:
    dtype = x.dtype
    y = nn.relu(normalise(_conv(channels, (3, 3), stride, dtype)(x)))
    y = normalise(_conv(channels, (3, 3), 1, dtype)(y))
    if x.shape != y.shape:
        x = normalise(_conv(channels, (1, 1), stride, dtype)(x))
    return nn.relu(x + y)


def _conv(channels: int, size: tuple[int, int], stride: int, dtype: DTypeLike) -> nn.Conv:
    # A bias before BatchNorm has no effect but drifts.
    return nn.Conv(channels, size, strides=(stride, stride), use_bias=False, dtype=dtype)


def _head(num_classes: int) -> nn.Dense:
    # float32 always: rounded logits would tie, and the kernel is what the labels are made of.
    return nn.Dense(num_classes, dtype=jnp.float32, name=HEAD)


def refuse_model(config: ModelConfig) -> None:
    """Refuses what can be known to be no model before its images are."""
    options.check(config)
    if config.freeze and config.init is None:
        raise InputError(
            "`freeze`",
            "be given with `init`",
            "none, and so a model whose features would stay random",
            "Add `init=CHECKPOINT`, or leave `freeze` out.",
        )
    if config.is_own:
        for name in ("width", "depth", "dtype"):
            if (value := getattr(config, name)) != getattr(ModelConfig(), name):
                then = "Set it in the function."
                raise InputError(f"`{name}`", f"be left out for {config.model}", value, then)
        find_function(config.model)
    elif config.model == "linear":
        for name in ("width", "depth"):
            if (value := getattr(config, name)) is not None:
                then = "It has no hidden layer: `model=mlp` takes it."
                raise InputError(f"`{name}`", "be left out for linear", value, then)
    elif config.model not in MODELS:
        raise InputError(
            "`model`",
            f"be {', '.join(MODELS)} or MODULE:FUNCTION",
            f"{config.model!r}",
            f"Try {ModelConfig.model}, or mymodels:vit for def vit(num_classes) in mymodels.py.",
        )


def build_model(
    config: ModelConfig, num_classes: int, image_shape: tuple[int, ...] = (32, 32, 3)
) -> nn.Module:
    """The classifier that a configuration describes; a user's own must take such images."""
    refuse_model(config)
    if config.is_own:
        model = build_own(config.model, num_classes)
        refuse_unfit(config.model, model, image_shape, num_classes)
        return model
    if are_features(image_shape) and config.model not in ("linear", "mlp"):
        raise InputError(
            "`model`",
            f"be mlp, linear or MODULE:FUNCTION with features {list(image_shape)}",
            config.model,
            "They have no pixels: give `model=mlp`.",
        )
    if config.model == "linear":
        return MLP(num_classes, depth=0)
    if config.model == "resnet18" and config.depth not in (None, 18):
        then = "`model=resnet` takes one."
        raise InputError("`depth`", "be left out for a resnet18", config.depth, then)
    sizes: dict[str, Any] = {
        name: size for name in ("width", "depth") if (size := getattr(config, name)) is not None
    }
    if config.depth is not None and config.depth > (most := MAX_DEPTH[config.model]):
        raise InputError("`depth`", f"be from 1 to {most}", config.depth, DEFAULT_SIZE)
    dtype = jnp.dtype(config.dtype)
    if config.model == "resnet18":
        return ResNet(num_classes, config.width or 64, 18, dtype, stages=4)
    if config.model == "resnet":
        model = ResNet(num_classes, **sizes, dtype=dtype)
        if (model.depth - 2) % 6 or model.depth < 8:
            must = "be 6n + 2 for a resnet (8, 14, 20, 32, …)"
            raise InputError("`depth`", must, model.depth, "The default is 20.")
        return model
    return {"mlp": MLP, "cnn": CNN}[config.model](num_classes, **sizes, dtype=dtype)


def normalise_images(
    images: Array, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float[Array, "batch ..."]:
    """Images uint8 to float32 with mean 0 and deviation 1 over the training images' channels.

    Features of any float to float32 with mean 0 each and deviation 1 over all of them.
    """
    scaled = images.astype(jnp.float32)
    if images.dtype == jnp.uint8:
        scaled /= 255
    return (scaled - jnp.asarray(mean, jnp.float32)) / jnp.asarray(deviation, jnp.float32)
