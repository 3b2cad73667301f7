"""Metrics agree with their definitions on 1,000 cases, and with scikit-learn and others."""

import itertools
from functools import partial
from typing import Any

import jax
import metric_oracles as oracles
import numpy as np
import pytest
import sklearn.metrics

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

CASES, N, K = 1000, 24, 5
P, Y, WHERE = oracles.random_cases(CASES, N)
SUPERCLASS = np.array([0, 0, 1, 1, 1])
DISTANCE = np.where(SUPERCLASS[:, None] == SUPERCLASS, 1, 2) * (1 - np.eye(K, dtype=int))
m = ss.metrics

METRICS: dict[str, tuple[Any, Any]] = {
    "accuracy": (m.accuracy, oracles.accuracy),
    "top 2": (partial(m.top_k_accuracy, k=2), partial(oracles.top_k_accuracy, k=2)),
    "top 1": (partial(m.top_k_accuracy, k=1), oracles.accuracy),
    "top 5": (partial(m.top_k_accuracy, k=5), lambda p, y: 1.0),
    "likelihood": (m.negative_log_likelihood, oracles.negative_log_likelihood),
    "Brier": (m.brier_score, oracles.brier_score),
    "ECE": (m.expected_calibration_error, oracles.expected_calibration_error),
    "ECE, 4 bins": (
        partial(m.expected_calibration_error, num_bins=4),  # with edges where the ties are
        partial(oracles.expected_calibration_error, num_bins=4),
    ),
    "adaptive ECE": (m.adaptive_calibration_error, oracles.adaptive_calibration_error),
    "adaptive ECE, 5 bins": (
        partial(m.adaptive_calibration_error, num_bins=5),
        partial(oracles.adaptive_calibration_error, num_bins=5),
    ),
    "class-wise ECE": (m.classwise_calibration_error, oracles.classwise_calibration_error),
    "class-wise ECE, 4 bins": (
        partial(m.classwise_calibration_error, num_bins=4),
        partial(oracles.classwise_calibration_error, num_bins=4),
    ),
    "AURC": (m.aurc, oracles.aurc),
    "excess AURC": (m.excess_aurc, oracles.excess_aurc),
    "coverage at 0": (
        partial(m.coverage_at_risk, risk=0.0),
        partial(oracles.coverage_at_risk, risk=0.0),
    ),
    "coverage at 1/4": (
        partial(m.coverage_at_risk, risk=0.25),
        partial(oracles.coverage_at_risk, risk=0.25),
    ),
    "distance": (
        partial(m.hierarchical_distance, distance=DISTANCE),
        partial(oracles.hierarchical_distance, distance=DISTANCE),
    ),
}


@pytest.mark.parametrize("name", METRICS)
def test_random_cases_agree_with_the_definition(name: str) -> None:
    metric, oracle = METRICS[name]
    mapped = jax.jit(jax.vmap(lambda p, y, where: metric(p, y, where=where)))
    found = np.stack(jax.tree.leaves(mapped(P, Y, WHERE)), axis=-1)
    cases = [oracle(P[i][w].astype(np.float64), Y[i][w]) for i, w in enumerate(WHERE)]
    expected = np.array(cases).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    assert found.dtype == np.float32
    assert np.unique(expected.round(6)).size > 10 or name == "top 5"


def test_least_risk_agrees_with_a_loop() -> None:
    found = np.asarray(m.minimum_risk_predictions(P.reshape(-1, K), DISTANCE))
    for p, j in zip(P.reshape(-1, K).astype(np.float64), found, strict=True):
        risks = [sum(p[k] * DISTANCE[k, i] for k in range(K)) for i in range(K)]
        assert risks[j] <= min(risks) + 1e-6
    assert (found != P.reshape(-1, K).argmax(axis=1)).mean() > 0.01
    plain = m.minimum_risk_predictions(P[0], 1 - np.eye(K))
    np.testing.assert_array_equal(plain, P[0].argmax(axis=1))


def test_distances_have_the_true_class_first() -> None:
    distance = np.array([[0, 1, 2], [7, 0, 3], [5, 4, 0]])
    p = np.eye(3)[[1, 0]]
    found = m.hierarchical_distance(p, np.array([0, 0]), distance)
    assert (float(found.over_all), float(found.over_mistakes)) == (0.5, 1)
    # Expected distances of the predictions: (3.5, 0.5, 2.5), though class 0 is as probable.
    assert m.minimum_risk_predictions(np.array([[0.5, 0.5, 0]]), distance).tolist() == [1]


def test_scikit_learn_agrees() -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(12), 200)
    y = np.where(random.random(200) < 0.6, p.argmax(axis=1), random.integers(0, 12, 200))
    named: Any = {"labels": range(12)}
    for found, expected in [
        (m.accuracy(p, y), sklearn.metrics.accuracy_score(y, p.argmax(axis=1))),
        (m.top_k_accuracy(p, y), sklearn.metrics.top_k_accuracy_score(y, p, k=5, **named)),
        (m.negative_log_likelihood(p, y), sklearn.metrics.log_loss(y, p, **named)),
        (
            m.brier_score(p, y),
            sum(sklearn.metrics.brier_score_loss(y == k, p[:, k]) for k in range(12)),
        ),
    ]:
        assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_a_tie_has_the_mean_of_all_its_orders() -> None:
    """Four of six examples have one confidence: every order of them, cut by strict ranks."""
    p = np.array([[0.9, 0.1], *[[0.75, 0.25]] * 4, [0.6, 0.4]])
    for wrong in itertools.product([0, 1], repeat=6):
        areas = []
        for order in itertools.permutations(range(1, 5)):
            errors = np.cumsum([wrong[i] for i in (0, *order, 5)])
            areas.append((errors / np.arange(1, 7)).mean())
        assert float(m.aurc(p, np.array(wrong))) == pytest.approx(np.mean(areas), rel=1e-6)


def test_order_of_the_examples_is_without_effect() -> None:
    p, y = P[612:616].reshape(-1, K), Y[612:616].reshape(-1)  # many ties
    order = np.random.default_rng(1).permutation(len(y))
    for metric in (METRICS["adaptive ECE"][0], m.aurc, partial(m.coverage_at_risk, risk=0.4)):
        found = float(metric(p, y))
        assert 0 < found < 1
        assert float(metric(p[order], y[order])) == pytest.approx(found, rel=1e-6)


def test_many_examples_lose_no_digits() -> None:
    """Of so many, sums in float32 that are taken one by one are off in the fourth digit."""
    random = np.random.default_rng(0)
    high = random.uniform(0.5, 1, 200_000).astype(np.float32)
    p = np.stack([high, 1 - high], axis=1)
    y = (random.random(200_000) < 0.2).astype(np.int32)
    exact = p.astype(np.float64)
    for name in ("likelihood", "Brier", "ECE"):
        metric, oracle = METRICS[name]
        assert float(metric(p, y)) == pytest.approx(oracle(exact, y), rel=1e-4), name
    curve = np.cumsum(y[np.argsort(-high, kind="stable")]) / np.arange(1, 200_000 + 1)
    assert float(m.aurc(p, y)) == pytest.approx(curve.mean(), rel=1e-4)


def test_third_parties_agree() -> None:
    """Not torchmetrics, which has a bin of its own for confidence 1."""
    reason = "uncertainty-calibration is an oracle that nobody needs to install"
    calibration = pytest.importorskip("calibration", reason=reason)
    random = np.random.default_rng(3)
    p = random.dirichlet(np.ones(K), 450)
    y = random.integers(0, K, 450)
    found = float(m.adaptive_calibration_error(p, y))
    assert found == pytest.approx(calibration.get_ece_em(p, y, num_bins=15), rel=1e-5)
