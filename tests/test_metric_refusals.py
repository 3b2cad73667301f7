"""What metrics refuse where they see it, and what they give where they cannot: NaN."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

m = ss.metrics
P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.3, 0.3, 0.4]], np.float32)
Y, ALL = np.array([0, 1, 2, 0]), np.ones(4, bool)
DISTANCE = 1 - np.eye(3, dtype=np.float32)
METRICS: dict[str, Any] = {
    "accuracy": m.accuracy,
    "top_k_accuracy": partial(m.top_k_accuracy, k=2),
    "negative_log_likelihood": m.negative_log_likelihood,
    "brier_score": m.brier_score,
    "expected_calibration_error": m.expected_calibration_error,
    "adaptive_calibration_error": m.adaptive_calibration_error,
    "classwise_calibration_error": m.classwise_calibration_error,
    "aurc": m.aurc,
    "excess_aurc": m.excess_aurc,
    "coverage_at_risk": partial(m.coverage_at_risk, risk=0.5),
    "hierarchical_distance": partial(m.hierarchical_distance, distance=DISTANCE),
}


def replaced(array: Any, index: Any, value: Any) -> Any:
    changed = array.copy()
    changed[index] = value
    return changed


UNSOUND: dict[str, tuple[Any, Any, Any, str]] = {
    "NaN": (
        replaced(P, (2, 1), np.nan),
        Y,
        ALL,
        "every row of probabilities must be finite, got NaN or infinity in row 2. Leave that",
    ),
    "label": (
        P,
        replaced(Y, 1, 3),
        ALL,
        "labels must be from 0 to 2, got another in row 1. Labels",
    ),
    "negative label": (
        P,
        replaced(Y, 3, -1),
        ALL,
        "labels must be from 0 to 2, got another in row",
    ),
    "nothing": (
        P,
        Y,
        ~ALL,
        "where must select an example, got none. Skip a batch of padding alone",
    ),
}


@pytest.mark.parametrize("name", METRICS)
def test_unsound_values_are_refused_or_give_nan(name: str) -> None:
    metric = METRICS[name]
    traced = jax.jit(lambda p, y, where: metric(p, y, where=where))
    assert np.isfinite(jax.tree.leaves(traced(P, Y, ALL))).all()
    for p, y, where, message in UNSOUND.values():
        with pytest.raises(ss.InputError, match=f"^{name}: {message}"):
            metric(p, y, where=where)
        assert np.isnan(jax.tree.leaves(traced(p, y, where))).all()
    # What does not count may hold anything.
    p, y = replaced(P, 3, np.nan), replaced(Y, 3, 99)
    found = [np.array(f(p, y, where=np.arange(4) < 3)) for f in (metric, traced)]
    expected = np.array(metric(P[:3], Y[:3]))
    np.testing.assert_allclose(found, np.stack([expected] * 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"probabilities": np.log(P)},
            "every row of probabilities must be at least 0 and sum to 1, got a least value of "
            "-2.303 and a sum of -4.269 in row 0. Take softmax of the logits.",
        ),
        ({"probabilities": P * 1.01}, "a least value of 0.101 and a sum of 1.01 in row 0. Take"),
        ({"probabilities": P[0]}, "must have shape [n, K] with n >= 1 examples and K >= 2 classes"),
        ({"probabilities": P[:0]}, "K >= 2 classes, got (0, 3). Pass a row for each example"),
        ({"probabilities": P[:, :1]}, "K >= 2 classes, got (4, 1). Pass a row for each example"),
        ({"probabilities": "0.5"}, "probabilities must hold real numbers, got dtype <U3. Pass"),
        ({"labels": Y[:3]}, "labels must have shape (4,), one for each row of probabilities, got"),
        ({"labels": Y / 1}, "labels must be integer class indices, got dtype float64. Labels are"),
        ({"where": ALL[:2]}, "where must be boolean of shape (4,), got bool[2]. It masks whole"),
    ],
)
def test_unsound_forms_are_refused(changed: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        m.accuracy(**{"probabilities": P, "labels": Y} | changed)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.top_k_accuracy(P, Y, 0), "top_k_accuracy: k must be an integer >= 1, got 0."),
        (lambda: m.top_k_accuracy(P, Y), "top_k_accuracy: k must be at most the 3 classes, got 5."),
        (
            lambda: m.expected_calibration_error(P, Y, 0),
            "expected_calibration_error: num_bins must be an integer >= 1, got 0. 15 is usual.",
        ),
        (
            lambda: m.adaptive_calibration_error(P, Y, num_bins=1.5),  # pyright: ignore
            "adaptive_calibration_error: num_bins must be an integer >= 1, got 1.5. 15 is usual.",
        ),
        (
            lambda: m.classwise_calibration_error(P, Y, -1),
            "classwise_calibration_error: num_bins must be an integer >= 1, got -1. 15 is usual.",
        ),
        (
            lambda: m.coverage_at_risk(P, Y, 5),
            "coverage_at_risk: risk must be in [0, 1], got 5. 0.05 bears one error in 20 answers.",
        ),
        (
            lambda: m.hierarchical_distance(P, Y, np.zeros((4, 4))),
            "hierarchical_distance: distance must have shape (3, 3), as there are classes, got (4, "
            "4). Row k holds the distances of true class k to every prediction.",
        ),
        (
            lambda: m.hierarchical_distance(P, Y, -DISTANCE),
            "hierarchical_distance: every row of distance must be finite and at least 0, got "
            "another in row 0. Count the steps between two classes.",
        ),
        (
            lambda: m.minimum_risk_predictions(P, np.eye(3)),
            "minimum_risk_predictions: distance must be 0 on the diagonal, got 1 for class 0. A "
            "right answer has no distance; give distances, not similarities.",
        ),
        (
            lambda: m.minimum_risk_predictions(P, DISTANCE * np.nan),
            "minimum_risk_predictions: every row of distance must be finite and at least 0, got",
        ),
        (
            lambda: m.minimum_risk_predictions(2 * P, DISTANCE),
            "minimum_risk_predictions: every row of probabilities must be at least 0 and sum to 1",
        ),
    ],
)
def test_unsound_numbers_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        call()
    assert str(refused.value).startswith(message)


def test_traced_risk_of_nan_is_no_class() -> None:
    found = jax.jit(m.minimum_risk_predictions)(replaced(P, (1, 0), np.nan), DISTANCE)
    assert found.tolist() == [0, -1, 2, 2]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_probabilities_of_16_bits_are_distributions(dtype: Any) -> None:
    """Casting moves a sum by a quarter of eps; a row of two classes shows it most."""
    high = np.linspace(0.5, 1, 1000, dtype=np.float32)
    p = jnp.asarray(np.stack([high, 1 - high], axis=1), dtype)
    for rows in (p, jax.nn.softmax(jnp.log(p + 1e-3))):
        sums = rows.astype(jnp.float32).sum(axis=1)
        assert (sums != 1).any()
        assert float(m.accuracy(rows, np.zeros(1000, int))) > 0.99
    assert np.abs(p.astype(jnp.float32).sum(axis=1) - 1).max() > 1e-3 or dtype == jnp.float16


def test_no_coverage_at_a_risk_that_is_never_met() -> None:
    assert np.isnan(m.coverage_at_risk(P[:2], np.array([0, 0]), 0.4))
    assert m.coverage_at_risk(P[:2], np.array([0, 0]), 0.5) == 1  # the curve is 1, 1/2


def test_gradients_of_scores_do_not_see_padding() -> None:
    where = np.array([True, True, False, False])
    for metric in (m.negative_log_likelihood, m.brier_score, m.expected_calibration_error):
        slope = jax.grad(lambda p, f=metric: f(p, Y, where=where))(replaced(P, 2, np.nan))
        assert np.isfinite(slope).all()
        assert np.any(slope[:2] != 0)
        assert (slope[2:] == 0).all()
