"""A user's own module: what is refused of it before it is trained, and when it is imported."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig
from simsmooth_jax.training.models.built_in import build_model

SHAPE, K = (8, 8, 1), 10


class Own(nn.Module):
    """Right, and made wrong in one place by each of those below."""

    num_classes: int = K

    def flat(self, images: Any) -> Any:
        return images.reshape(len(images), -1)

    def head(self, x: Any) -> Any:
        return nn.Dense(self.num_classes, name="head")(x)

    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(self.flat(images))


class WithoutTrain(Own):
    @nn.compact
    def __call__(self, images: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.head(self.flat(images))


class Cache(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        self.variable("cache", "count", lambda: jnp.zeros(()))
        return self.head(self.flat(images))


class Noise(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        noise = jax.random.normal(self.make_rng("noise"), (64,)) if train else 0
        return self.head(self.flat(images) + noise)


class AlwaysDropout(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(nn.Dropout(0.5, deterministic=False)(self.flat(images)))


class AlwaysBatch(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(nn.BatchNorm(use_running_average=False)(self.flat(images)))


class Counts(Own):
    """Statistics of another dtype after a step than before it."""

    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros((), jnp.int32))
        if train and not self.is_initializing():
            seen.value = seen.value + images.mean()
        return self.head(self.flat(images))


class Unnamed(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Dense(K)(nn.Dense(4)(self.flat(images)))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(4, name="head")(x)


class TwoHeads(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(Inner()(self.flat(images)))


class Projection(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Dense(K)(Inner(name="top")(self.flat(images)))


class Convolution(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Conv(K, (1, 1), name="head")(images).mean(axis=(1, 2))


class Pair(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(self.flat(images)), images


class Pixels(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(images)


class Whole(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        steps = self.param("steps", lambda _: jnp.zeros((), jnp.int32))
        return self.head(self.flat(images)) + steps


class Fails(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(images.reshape(3, 7))


def two(num_classes: int, width: int) -> nn.Module:
    raise AssertionError


def breaks(num_classes: int) -> nn.Module:
    raise KeyError(num_classes)


def nothing(num_classes: int) -> None:
    return None


def without_call(num_classes: int) -> Any:
    return nn.Dense


def thousand(num_classes: int) -> nn.Module:
    return Own(1000)


class NNX:
    """As NNX has its modules, by the name of the module that they stand in."""

    __module__ = "flax.nnx.nn.linear"

    def __init__(self, num_classes: int) -> None:
        pass


LAST = 'End with nn.Dense(num_classes, name="head").'
WRONG = {
    "two": "the function must take the number of classes, 10, got TypeError: two() missing 1",
    "breaks": "the number of classes, 10, got KeyError: 10 ({file}, line {line}). Its only argume",
    "nothing": "must return a Flax Linen module, got NoneType. Return one, as nn.Sequential is.",
    "without_call": "must return a Flax Linen module, got the class Dense. Return one",
    "NNX": "module, got NNX of flax.nnx.nn.linear. Write it with flax.linen.",
    "WithoutTrain": "__call__ must take (images, train), got (images: Any) -> Any. Write def __c",
    "Cache": "must have no other collections than params and batch_stats, got cache. Keep no",
    "Noise": "with train=True and the random numbers of dropout alone, got InvalidRngError: ",
    "AlwaysDropout": 'Dropout_0 needs PRNG for "dropout" (',
    "AlwaysBatch": "). Write nn.BatchNorm(use_running_average=not train).",
    "Counts": "must keep the names, shapes and dtypes of batch_stats, got others after a step.",
    "Unnamed": f"got none of: Dense_0/kernel [4, 10], Dense_1/kernel [64, 4]. {LAST}",
    "TwoHeads": f"got 2: head/kernel [4, 10], Inner_0/head/kernel [64, 4]. {LAST}",
    "Projection": "the head must have shape [N, 10], a column for each class, got [64, 4].",
    "Convolution": f"the head must be a Dense layer, got a 1x1 convolution. {LAST}",
    "Pair": f"must return floating-point logits [2, 10] of two images, got tuple. {LAST}",
    "Pixels": "logits [2, 10] of two images, got float32[2, 8, 8, 10].",
    "thousand": "the head must have shape [N, 10], a column for each class, got [64, 1000].",
    "Whole": "its parameter steps must be floating-point, got int32. Integers are not trained.",
    "Fails": "float32 images [2, 8, 8, 1] with train=True, got TypeError: cannot reshape array of",
}


def refused(name: str, **sizes: Any) -> str:
    with pytest.raises(ss.InputError) as caught:
        build_model(ModelConfig(name, **sizes), K, SHAPE)
    text = str(caught.value)
    assert "\n" not in text
    assert "https://" not in text
    return text


def test_a_module_that_is_right_is_taken() -> None:
    assert build_model(ModelConfig(f"{__name__}:Own"), K, SHAPE) == Own(K)


@pytest.mark.parametrize("function", WRONG)
def test_a_module_that_no_training_can_use(function: str) -> None:
    text = refused(f"{__name__}:{function}")
    assert text.startswith(f"`model={__name__}:{function}`: ")
    line = next(
        number
        for number, code in enumerate(Path(__file__).read_text().splitlines(), 1)
        if "raise KeyError(num_classes)" in code
    )
    assert WRONG[function].format(file=__file__, line=line) in text
