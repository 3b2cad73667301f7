"""The classifiers: shapes, the name of the head, BatchNorm."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig
from simsmooth_jax.training.models.built_in import build_model, normalise_images

pytestmark = pytest.mark.slow

CONFIGS = {
    "mlp": (ModelConfig("mlp", width=6, depth=1), 6),
    "cnn": (ModelConfig("cnn", width=4, depth=2), 16),
    "resnet": (ModelConfig("resnet", width=2, depth=8), 8),
    "resnet18": (ModelConfig("resnet18", width=2), 16),
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


def test_resnet_18_has_the_parameters_of_its_layers() -> None:
    """Counted from the paper's table: 3x3 stem, four stages of two blocks, 1x1 projections."""

    def convolution(size: int, before: int, after: int) -> int:
        return size * size * before * after + 2 * after  # with BatchNorm's scale and bias

    expected, before = convolution(3, 3, 64), 64
    for after in (64, 128, 256, 512):
        expected += convolution(3, before, after) + 3 * convolution(3, after, after)
        expected += convolution(1, before, after) if before != after else 0
        before = after
    expected += 512 * 100 + 100
    model: Any = build_model(ModelConfig("resnet18"), num_classes=100)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    )
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))
    assert count == expected == 11_220_132
    features = {
        leaf.shape[:3]
        for leaf in jax.eval_shape(
            lambda: model.apply(
                model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False),
                jnp.zeros((1, 32, 32, 3)),
                train=False,
                capture_intermediates=lambda module, _: type(module).__name__ == "Conv",
                mutable=["intermediates"],
            )
        )[1]["intermediates"].values()
        for leaf in leaf["__call__"]
    }
    assert features == {(1, 32, 32), (1, 16, 16), (1, 8, 8), (1, 4, 4)}


@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_computes_in_it_and_keeps_float32(name: str, equations: Any) -> None:
    config = dataclasses.replace(CONFIGS[name][0], dtype="bfloat16")
    model: Any = build_model(config, num_classes=5)
    variables = model.init(jax.random.key(0), IMAGES, train=True)
    logits, updated = model.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
    kept = jax.tree.leaves((variables, updated, logits))
    assert {leaf.dtype for leaf in kept} == {jnp.dtype(jnp.float32)}

    def loss(params: Any) -> Any:
        apply = variables | {"params": params}
        return model.apply(apply, IMAGES, train=True, mutable=["batch_stats"])[0].sum()

    head, bodies = [], []
    for equation in equations(jax.grad(loss), variables["params"]):
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            shapes = [v.aval.shape for v in (*equation.invars, *equation.outvars)]
            of_head = any(5 in shape for shape in shapes) and len(shapes[0]) == 2
            (head if of_head else bodies).extend(v.aval.dtype for v in equation.invars)
    assert set(bodies) == {jnp.dtype(jnp.bfloat16)}
    assert set(head) == {jnp.dtype(jnp.float32)}
    assert len(head) == 6  # its product, and the gradients of kernel and features


def test_bfloat16_gives_the_logits_of_float32_roughly() -> None:
    config = CONFIGS["resnet"][0]
    model: Any = build_model(config, num_classes=5)
    rounded: Any = build_model(dataclasses.replace(config, dtype="bfloat16"), num_classes=5)
    variables = model.init(jax.random.key(0), IMAGES, train=False)
    exact, found = (m.apply(variables, IMAGES, train=False) for m in (model, rounded))
    assert 0 < np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


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
        (ModelConfig("resnet", depth=21), "`depth` must be 6n . 2 for a resnet .*, got 21"),
        (ModelConfig("resnet", depth=2), "got 2. The default is 20"),
        (ModelConfig("resnet18", depth=10), "`depth` must be left out for a resnet18, got 10"),
        (ModelConfig("resnet18", depth=20), "`depth` must be left out for a resnet18, got 20"),
        (ModelConfig("cnn", width=0), "`width` must be from 1 to 4096, got 0"),
        (ModelConfig("mlp", depth=-1), "`depth` must be from 1 to 2000, got -1. Leave it out"),
    ],
)
def test_refused_sizes(config: ModelConfig, message: str) -> None:
    with pytest.raises(ss.InputError, match=message):
        build_model(config, num_classes=10)
