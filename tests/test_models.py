"""The classifiers: shapes, the name of the head, BatchNorm."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config import ModelConfig
from simsmooth_jax.models import build_model, normalise_images

pytestmark = pytest.mark.slow

CONFIGS = {
    "mlp": (ModelConfig("mlp", width=6, depth=1), 6),
    "cnn": (ModelConfig("cnn", width=4, depth=2), 16),
    "resnet": (ModelConfig("resnet", width=2, depth=8), 8),
}
IMAGES = jnp.asarray(np.random.RandomState(0).randn(4, 9, 8, 3), jnp.float32)


@pytest.mark.parametrize("name", CONFIGS)
def test_head_is_the_final_layer(name: str) -> None:
    config, features = CONFIGS[name]
    model: Any = build_model(config, num_classes=5)
    variables = model.init(jax.random.key(0), IMAGES, train=False)
    kernel = ss.head_kernel(variables)
    assert kernel.shape == (features, 5)
    logits = np.asarray(model.apply(variables, IMAGES, train=False))
    assert logits.shape == (4, 5)
    # Permuting its columns permutes the logits: so it is the classifier's own kernel.
    swapped = dict(variables["params"]) | {
        "head": {
            "kernel": kernel[:, ::-1],
            "bias": variables["params"]["head"]["bias"][::-1],
        }
    }
    permuted = model.apply({**variables, "params": swapped}, IMAGES, train=False)
    np.testing.assert_allclose(permuted, logits[:, ::-1], rtol=1e-5, atol=1e-6)


def test_extracted_kernel_and_bias_give_the_models_logits() -> None:
    model: Any = build_model(CONFIGS["cnn"][0], num_classes=5)
    variables = model.init(jax.random.key(0), IMAGES, train=False)
    logits, state = model.apply(
        variables, IMAGES, train=False, capture_intermediates=True, mutable=["intermediates"]
    )
    features = jax.nn.relu(state["intermediates"]["Dense_0"]["__call__"][0])
    kernel, bias = ss.head_kernel(variables), variables["params"]["head"]["bias"]
    expected = np.asarray(features, np.float64) @ np.asarray(kernel, np.float64) + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_resnet_20_has_the_parameters_of_the_paper() -> None:
    """He et al. 2016, table 6: 0.27 million; three projections here instead of zero padding."""
    model: Any = build_model(ModelConfig("resnet"), num_classes=10)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    )
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert 0.27e6 <= count < 0.28e6


def test_batch_norm_changes_in_training_alone() -> None:
    model: Any = build_model(CONFIGS["resnet"][0], num_classes=5)
    variables = model.init(jax.random.key(0), IMAGES, train=False)
    _, trained = model.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
    _, evaluated = model.apply(variables, IMAGES, train=False, mutable=["batch_stats"])
    before, after = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(trained)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    for a, b in zip(before, jax.tree.leaves(evaluated), strict=True):
        assert (a == b).all()


def test_images_are_normalised_by_channel() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (50, 4, 4, 3)).astype(np.uint8)
    values = pixels.reshape(-1, 3) / 255
    mean, deviation = tuple(values.mean(0).tolist()), tuple(values.std(0).tolist())
    normalised = np.asarray(normalise_images(jnp.asarray(pixels), mean, deviation)).reshape(-1, 3)
    np.testing.assert_allclose(normalised.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig("resnet", depth=21), "--depth must be 6n . 2 for a resnet .*, got 21"),
        (ModelConfig("resnet", depth=2), "got 2. The default is 20"),
        (ModelConfig("cnn", width=0), "--width must be from 1 to 4096, got 0"),
        (ModelConfig("mlp", depth=-1), "--depth must be from 1 to 100, got -1"),
    ],
)
def test_refused_sizes(config: ModelConfig, message: str) -> None:
    with pytest.raises(ss.InputError, match=message):
        build_model(config, num_classes=10)
