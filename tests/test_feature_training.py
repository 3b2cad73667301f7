"""Classifiers of features: every command, every device, and scikit-learn's own on the same."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from feature_archives import save
from shared_images import DATA, needs_images
from sklearn.linear_model import LogisticRegression

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import (
    AugmentationConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.augmentation import augment
from simsmooth_jax.training.classifier import Classifier
from simsmooth_jax.training.evaluation import Evaluator
from simsmooth_jax.training.loop import train
from simsmooth_jax.training.models.built_in import build_model
from simsmooth_jax.training.step import Trainer, TrainState

pytestmark = pytest.mark.slow

TINY = TrainingConfig(
    model=ModelConfig("mlp", width=8, depth=1), optimizer=OptimizerConfig(epochs=2, batch_size=16)
)


@pytest.fixture(scope="module")
def ants(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return DataConfig(f"npz:{save(tmp_path_factory.mktemp('ants') / 'ants.npz')}")


def end(config: TrainingConfig, data: Dataset, devices: Any = None, seed: int = 0) -> TrainState:
    trainer = Trainer(config, data, devices or jax.devices()[:1])
    return train(trainer, label_table(ss.onehot_labels(data.num_classes)), seed)


def kernels(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


@pytest.fixture(scope="module")
def trained(ants: DataConfig) -> list[np.ndarray]:
    return kernels(end(TINY, load_dataset(ants)))


def test_float16_stays_so_on_the_devices_and_trains_as_float32(
    ants: DataConfig, trained: list[np.ndarray]
) -> None:
    data = load_dataset(ants)
    held: Any = data.train
    inputs: Any = next(Trainer(TINY, data, jax.devices()[:1]).inputs.from_step(0, 0, 1))
    assert inputs.images.dtype == jnp.float16
    wide = dataclasses.replace(data, train=Split(held.images.astype(np.float32), held.labels))
    for one, other in zip(kernels(end(TINY, wide)), trained, strict=True):
        assert (one == other).all()


def test_streamed_features_give_the_same_bits(ants: DataConfig, trained: list[np.ndarray]) -> None:
    data = load_dataset(dataclasses.replace(ants, input="stream"))
    assert data.streamed
    for one, other in zip(kernels(end(TINY, data)), trained, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize(("count", "num_devices"), [(3, 1), (1, 8)])
def test_steps_in_a_loop_and_devices_change_nothing(
    count: int, num_devices: int, ants: DataConfig, trained: list[np.ndarray], devices: list[Any]
) -> None:
    config = dataclasses.replace(TINY, steps_per_dispatch=count)
    found = kernels(end(config, load_dataset(ants), devices[:num_devices]))
    for one, other in zip(found, trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_mixup_blends_vectors() -> None:
    vectors = jnp.asarray(np.random.RandomState(0).randn(6, 4), jnp.float32)
    mixed, targets = augment(AugmentationConfig(mixup=1), jax.random.key(1), vectors, np.arange(6))
    (share, own), (rest, partners) = targets
    assert 0 < float(share) < 1
    assert float(share + rest) == pytest.approx(1)
    assert (own.tolist(), partners.tolist()) == ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0])
    expected = float(share) * np.asarray(vectors) + float(rest) * np.asarray(vectors)[::-1]
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-6)


PIXELS = "features [5], which have no pixels"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": ModelConfig()}, "`model` must be mlp, linear or MODULE:FUNCTION with features [5], "
     "got cnn. They have no pixels: give `model=mlp`."),
    ({"model": ModelConfig("resnet")}, "got resnet. They have no pixels: give `model=mlp`."),
    ({"model": ModelConfig("resnet18")}, "got resnet18. They have no pixels: give `model=mlp`."),
    ({"augmentation": AugmentationConfig(crop=1)}, f"`crop` must be left out with {PIXELS}, got"),
    ({"augmentation": AugmentationConfig(flip=True)}, f"`flip` must be left out with {PIXELS}"),
    ({"augmentation": AugmentationConfig(cutout=2)}, f"`cutout` must be left out with {PIXELS}"),
    ({"augmentation": AugmentationConfig(cutmix=1)}, f"`cutmix` must be left out with {PIXELS}, "
     "got 1. `mixup` blends features."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_needs_pixels_is_refused(
    changes: dict[str, Any], message: str, ants: DataConfig
) -> None:
    with pytest.raises(ss.InputError, match=re.escape(message)):
        Trainer(dataclasses.replace(TINY, **changes), load_dataset(ants))


@pytest.mark.parametrize(("name", "value"), [("width", 8), ("depth", 1)])
def test_linear_has_no_sizes(name: Any, value: int) -> None:
    message = f"`{name}` must be left out for linear, got {value}. It has no hidden layer: `model="
    with pytest.raises(ss.InputError, match=re.escape(message)):
        build_model(dataclasses.replace(ModelConfig("linear"), **{name: value}), 3, (5,))


def accuracy(config: TrainingConfig, data: Dataset) -> float:
    trainer = Trainer(config, data, jax.devices()[:1])
    state = train(trainer, label_table(ss.onehot_labels(data.num_classes)), 0)
    evaluator = Evaluator(trainer.model, trainer.image_statistics)
    return evaluator(state.params, state.batch_stats, data.test)["accuracy"]


def test_linear_is_scikit_learns_logistic_regression(tmp_path: Path) -> None:
    """On the pixels of the digits, as vectors and as the images that they are."""
    digits = load_dataset(DataConfig())
    parts: dict[str, Any] = {part: getattr(digits, part) for part in ("train", "test")}
    arrays = {f"{part}_labels": split.labels for part, split in parts.items()}
    arrays |= {
        f"{part}_features": split.images.reshape(len(split), -1).astype(np.float16)
        for part, split in parts.items()
    }
    np.savez(tmp_path / "digits.npz", **arrays)
    data = load_dataset(DataConfig(f"npz:{tmp_path / 'digits.npz'}"))
    train_vectors, labels = data.train.take(np.arange(len(data.train)))
    theirs = LogisticRegression(max_iter=300).fit(train_vectors / 255.0, labels)
    expected = theirs.score(arrays["test_features"] / 255.0, arrays["test_labels"])
    assert expected > 0.93
    config = TrainingConfig(model=ModelConfig("linear"), optimizer=OptimizerConfig(epochs=20))
    assert accuracy(config, data) == pytest.approx(expected, abs=0.02)
    assert accuracy(config, digits) == pytest.approx(expected, abs=0.02)


def test_mean_features_of_linear_are_the_normalised_class_means(ants: DataConfig) -> None:
    data = load_dataset(ants)
    trainer = Trainer(dataclasses.replace(TINY, model=ModelConfig("linear")), data)
    state, statistics = trainer.init(0), trainer.image_statistics
    classifier = Classifier(TINY, data, trainer.model, state.params, {}, statistics)
    means, counts = classifier.mean_features()
    vectors, labels = data.train.take(np.arange(len(data.train)))
    exact = vectors.astype(np.float64)
    exact -= exact.mean(axis=0)
    exact /= np.sqrt((exact**2).mean())
    expected = np.stack([exact[labels == k].mean(axis=0) for k in range(3)], axis=1)
    np.testing.assert_allclose(means, expected, atol=1e-5)
    assert counts.tolist() == [18, 18, 18]


@needs_images
def test_linear_on_features_of_cifar100() -> None:
    """A ridge classifier reaches 53.5% on the same features."""
    data = load_dataset(DataConfig(f"npz:{DATA / 'cifar100_features.npz'}"))
    optimizer = OptimizerConfig(epochs=2, batch_size=500, learning_rate=0.3, warmup_epochs=0.5)
    config = TrainingConfig(model=ModelConfig("linear"), optimizer=optimizer)
    assert accuracy(config, data) > 0.535
