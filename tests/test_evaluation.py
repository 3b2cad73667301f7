"""Metrics count every example, whatever the batch size, and agree with independent oracles."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import metric_oracles
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from simsmooth_jax.data.dataset import Split
from simsmooth_jax.training.evaluation import Evaluator

K = 4


class Pixels(nn.Module):
    """Logits that a host can compute: the first K pixels."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return 6 * images.reshape(images.shape[0], -1)[:, :K]


def random_split(count: int) -> Split:
    random = np.random.RandomState(count)
    images = random.randint(0, 256, (count, 3, 2, 1)).astype(np.uint8)
    return Split(images, random.randint(0, K, count).astype(np.int32))


def evaluate(split: Split, batch_size: int) -> dict[str, Any]:
    evaluator = Evaluator(Pixels(), ((0.5,), (0.25,)), batch_size, jax.devices()[:1])
    return evaluator({}, {}, split)


def host_probabilities(split: Split) -> np.ndarray:
    logits = 6 * (split.images.reshape(len(split), -1)[:, :K] / 255 - 0.5) / 0.25
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 63, 64, 65, 10007])
def test_every_example_counts_once(count: int) -> None:
    split = random_split(count)
    probabilities = host_probabilities(split)
    correct = probabilities.argmax(axis=1) == split.labels
    for batch_size in (1, 7, 64) if count < 100 else (64, 128):
        found = evaluate(split, batch_size)
        assert found["count"] == count == sum(found["bins"]["count"])
        assert found["correct"] == correct.sum() == sum(found["bins"]["correct_sum"])
        assert found["accuracy"] == correct.sum() / count
        nll = sklearn_metrics.log_loss(split.labels, probabilities, labels=range(K))
        assert found["nll"] == pytest.approx(nll, rel=1e-5)
        onehot = np.eye(K)[split.labels]
        brier = ((probabilities - onehot) ** 2).sum(axis=1).mean()
        assert found["brier"] == pytest.approx(brier, rel=1e-4)
        classwise = metric_oracles.classwise_calibration_error(probabilities, split.labels)
        assert found["classwise_ece"] == pytest.approx(classwise, rel=1e-4)


def test_batch_of_one_equals_batch_of_many_and_a_second_time() -> None:
    split = random_split(65)
    assert evaluate(split, 64) == evaluate(split, 64)
    single = evaluate(split, 1)
    for name, value in evaluate(split, 64).items():
        if name != "bins":
            assert single[name] == pytest.approx(value, rel=1e-5)


def test_order_of_the_examples_is_without_effect() -> None:
    split, order = random_split(65), np.random.RandomState(1).permutation(65)
    found = evaluate(split, 8)
    shuffled = evaluate(Split(split.images[order], split.labels[order]), 8)
    for name in ("correct", "count"):
        assert shuffled[name] == found[name]
    for name in ("nll", "ece", "brier", "aurc", "adaptive_ece", "classwise_ece", "excess_aurc"):
        assert shuffled[name] == pytest.approx(found[name], rel=1e-6)


def test_padding_reaches_no_metric() -> None:
    """Evaluating 5 of 8: the padded rows would add three wrong or right answers."""
    split = random_split(5)
    assert evaluate(split, 8)["correct"] == evaluate(split, 5)["correct"]
    assert sum(evaluate(split, 8)["bins"]["count"]) == 5
    assert jnp.isfinite(evaluate(split, 8)["nll"])


def test_logits_are_those_of_every_example_in_order() -> None:
    split = random_split(65)
    evaluator = Evaluator(Pixels(), ((0.5,), (0.25,)), 8, jax.devices()[:2])
    found = evaluator.logits({}, {}, split)
    expected = 6 * (split.images.reshape(65, -1)[:, :K] / 255 - 0.5) / 0.25
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
