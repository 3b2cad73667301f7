"""Random changes of the images, each recognised in its result by plain NumPy."""

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import (
    AugmentationConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.method.objectives import label_table
from simsmooth_jax.training.augmentation import augment
from simsmooth_jax.training.step import Trainer

pytestmark = pytest.mark.slow

B, H, W, C = 64, 9, 7, 2
IMAGES = np.random.RandomState(0).randn(B, H, W, C).astype(np.float32)
LABELS = np.arange(B, dtype=np.int32)


def changed(seed: int = 0, images: np.ndarray = IMAGES, **options: Any) -> tuple[np.ndarray, Any]:
    function = jax.jit(augment, static_argnums=0)
    return jax.device_get(
        function(AugmentationConfig(**options), jax.random.key(seed), images, LABELS)
    )


def test_nothing_asked_for_changes_nothing() -> None:
    images, targets = changed()
    assert (images == IMAGES).all()
    assert [(share, labels.tolist()) for share, labels in targets] == [(1, LABELS.tolist())]


def test_crops_are_windows_of_the_padded_image_and_all_occur() -> None:
    images, _ = changed(crop=1)
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = list(product(range(3), repeat=2))
    found = []
    for image, source in zip(images, padded, strict=True):
        (corner,) = [(y, x) for y, x in windows if (image == source[y : y + H, x : x + W]).all()]
        found.append(corner)
    assert set(found) == set(windows)


def test_half_of_the_images_are_mirrored() -> None:
    images, _ = changed(flip=True)
    mirrored = (images == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (images[~mirrored] == IMAGES[~mirrored]).all()
    assert 16 < mirrored.sum() < 48


def test_cutout_blanks_a_square_and_nothing_else() -> None:
    images, _ = changed(cutout=4)
    sizes = set()
    for image, source in zip(images, IMAGES, strict=True):
        blank = (image == 0).all(axis=-1)
        rows, columns = np.flatnonzero(blank.any(axis=1)), np.flatnonzero(blank.any(axis=0))
        assert (image[~blank] == source[~blank]).all()
        assert blank[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert blank.sum() == len(rows) * len(columns)
        sizes.add((len(rows), len(columns)))
    assert max(sizes) == (4, 4)
    assert min(map(min, sizes)) == 2  # squares around a pixel at the edge stick out


def masks(count: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """What is left of ones whose partners are zeros, and the share of the own label."""
    config = AugmentationConfig(**options)
    images = jnp.zeros((2, 12, 10, 1)).at[0].set(1)

    def draw(key: Any) -> Any:
        mixed, targets = augment(config, key, images, jnp.arange(2))
        return mixed[0, ..., 0], mixed[1, ..., 0], targets[0][0], targets[1][0]

    keys = jax.random.split(jax.random.key(3), count)
    mask, partner, share, rest = map(np.asarray, jax.jit(jax.vmap(draw))(keys))
    np.testing.assert_allclose(partner, 1 - mask, atol=1e-6)
    np.testing.assert_allclose(share, mask.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(share + rest, 1, atol=1e-6)
    return mask, share


def test_mixup_blends_by_a_beta_distribution() -> None:
    mask, share = masks(500, mixup=0.4)
    np.testing.assert_allclose(mask, np.broadcast_to(share[:, None, None], mask.shape), atol=1e-6)
    assert stats.kstest(share, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_cutmix_pastes_boxes_of_uniform_area() -> None:
    mask, share = masks(500, cutmix=1.0)
    assert set(np.unique(mask)) == {0, 1}
    for box in mask == 0:
        rows, columns = box.any(axis=1).sum(), box.any(axis=0).sum()
        assert box.sum() == rows * columns
    assert share.min() < 0.2
    assert share.max() > 0.98
    assert 0.5 < share.mean() < 0.75  # 1/2 but for the boxes that stick out


def test_both_mixtures_take_turns() -> None:
    mask, _ = masks(300, mixup=1.0, cutmix=1.0)
    boxes = np.isin(mask, (0, 1)).all(axis=(1, 2))
    assert 100 < boxes.sum() < 200


def test_each_key_gives_its_own_changes() -> None:
    options = {"crop": 2, "flip": True, "cutout": 3, "mixup": 0.5, "cutmix": 1.0}
    first, again, other = (changed(seed, **options)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_mixed_step_is_trained_on_mixed_rows_of_the_table(devices: list[Any]) -> None:
    """Against optax on dense targets, with the images and shares that the step's key gives."""
    digits = load_dataset(DataConfig())
    config = TrainingConfig(
        model=ModelConfig("mlp", width=8, depth=1),
        optimizer=OptimizerConfig(batch_size=B),
        augmentation=AugmentationConfig(crop=1, mixup=0.7),
    )
    table = np.asarray(ss.uniform_labels(10, 0.3))
    losses = []
    for count in (1, 8):
        trainer = Trainer(config, digits, devices[:count])
        state, key = trainer.init(0), trainer.key(0)
        params = jax.tree.map(np.asarray, state.params)
        inputs = next(trainer.inputs.from_step(0, 0, 1))
        order = np.asarray(inputs.order)[:B]  # type: ignore[union-attr]
        _, metrics = trainer.step(state, inputs, trainer.place(label_table(table)), key)
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    raw, labels = digits.train.take(order)
    mean, deviation = digits.channel_statistics()
    images = ((raw / 255 - mean) / deviation).astype(np.float32)
    step_key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), 0)
    function = jax.jit(augment, static_argnums=0)
    mixed, targets = function(config.augmentation, step_key, images, labels)
    dense = sum(np.asarray(share) * table[np.asarray(y)] for share, y in targets)
    logits: Any = trainer.model.apply({"params": params}, mixed, train=True)
    expected = optax.softmax_cross_entropy(logits, dense).mean()
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert 0.02 < targets[0][0] < 0.98  # the mixture was seen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 8}, "`crop` must be from 0 to 7 pixels, less than the images' 8, got 8. Try 1."),
        ({"crop": -1}, "`crop` must be at least 0, got -1. Try 4."),
        ({"cutout": 9}, "`cutout` must be from 0 to 7 pixels, .* got 9. Try 4."),
        ({"mixup": -0.5}, "`mixup` must be from 0 to 100, got -0.5. Try 1; 0 is off."),
        ({"cutmix": float("nan")}, "`cutmix` must be from 0 to 100, got nan"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    config = TrainingConfig(augmentation=AugmentationConfig(**options))
    with pytest.raises(ss.InputError, match=message):
        Trainer(config, load_dataset(DataConfig()), jax.devices()[:1])
