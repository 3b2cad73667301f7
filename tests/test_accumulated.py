"""Metrics of many batches are those of all examples at once, in float64; and a temperature."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import metric_oracles as oracles
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

import simsmooth_jax as ss
from simsmooth_jax.metrics import exact

m = ss.metrics
N, K = 100, 6
RANDOM = np.random.default_rng(0)
LOGITS = (3 * RANDOM.normal(size=(N, K))).astype(np.float32)
LOGITS[::7] = 50 * np.eye(K)[RANDOM.integers(0, K, len(LOGITS[::7]))]  # confidence 1, exactly
LABELS = np.where(RANDOM.random(N) < 0.6, LOGITS.argmax(axis=1), RANDOM.integers(0, K, N))


def accumulated(logits: np.ndarray, labels: np.ndarray, size: int) -> Any:
    """Batches of one size, of which the last is padded with NaN."""
    total = m.Accumulated()
    step = jax.jit(lambda z, y, where: m.batch_values(z, y, where=where))
    for start in range(0, len(labels), size):
        z, y = np.full((size, K), np.nan, np.float32), np.full(size, -1)
        count = len(labels[start : start + size])
        z[:count], y[:count] = logits[start : start + size], labels[start : start + size]
        total.add(step(z, y, np.arange(size) < count))
    return total


@pytest.mark.parametrize("size", [7, 100])
def test_batches_have_the_metrics_of_all_examples(size: int) -> None:
    total = accumulated(LOGITS, LABELS, size)
    found, p = total.summary(), scipy.special.softmax(LOGITS.astype(np.float64), axis=1)
    saturated = np.asarray(jax.nn.softmax(LOGITS), np.float64)  # with the ties of float32
    assert (saturated.max(axis=1) == 1).sum() > 10
    expected = {
        "accuracy": oracles.accuracy(p, LABELS),
        "nll": float(
            np.mean(-scipy.special.log_softmax(LOGITS.astype(float), 1)[range(N), LABELS])
        ),
        "brier": oracles.brier_score(p, LABELS),
        "ece": oracles.expected_calibration_error(p, LABELS),
        "adaptive_ece": oracles.adaptive_calibration_error(saturated, LABELS),
        "classwise_ece": oracles.classwise_calibration_error(saturated, LABELS),
        "aurc": oracles.aurc(saturated, LABELS),
        "excess_aurc": oracles.excess_aurc(saturated, LABELS),
    }
    assert found.pop("count") == N == sum(found["bins"]["count"])
    assert (
        found.pop("correct")
        == round(N * expected["accuracy"])
        == sum(found.pop("bins")["correct_sum"])
    )
    assert found == pytest.approx(expected, rel=1e-6)
    assert json.loads(json.dumps(found)) == found
    for risk in (0.0, 0.1, 0.25, 1.0):
        coverage = oracles.coverage_at_risk(saturated, LABELS, risk)
        assert total.coverage_at_risk(risk) == pytest.approx(coverage, nan_ok=True)


def test_the_functions_give_the_same_in_float32() -> None:
    found, p = accumulated(LOGITS, LABELS, N).summary(), jax.nn.softmax(LOGITS)
    names = {
        "accuracy": m.accuracy,
        "brier": m.brier_score,
        "ece": m.expected_calibration_error,
        "adaptive_ece": m.adaptive_calibration_error,
        "classwise_ece": m.classwise_calibration_error,
        "aurc": m.aurc,
        "excess_aurc": m.excess_aurc,
    }
    for name, metric in names.items():
        assert float(metric(p, LABELS)) == pytest.approx(found[name], rel=1e-5), name


def test_nothing_but_padding_is_no_example() -> None:
    total = m.Accumulated()
    with pytest.raises(ss.InputError, match="^Accumulated must hold an example, got none. Add"):
        total.summary()
    nothing = m.batch_values(LOGITS[:2], np.full(2, -1), where=np.zeros(2, bool))
    total.add(nothing)
    with pytest.raises(ss.InputError, match="^Accumulated must hold an example, got none. Add"):
        total.coverage_at_risk(0.1)
    total.add(m.batch_values(LOGITS[:2], LABELS[:2]))
    assert total.summary()["count"] == 2
    with pytest.raises(ss.InputError, match="coverage_at_risk: risk must be in \\[0, 1\\], got 2."):
        total.coverage_at_risk(2)


def test_unsound_batches_are_refused_or_give_nan() -> None:
    broken = LOGITS.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ss.InputError, match="^batch_values: every row of logits must be without "):
        m.batch_values(broken, LABELS)
    with pytest.raises(ss.InputError, match="^batch_values: labels must be from 0 to 5, got anot"):
        m.batch_values(LOGITS, LABELS + 1)
    with pytest.raises(
        ss.InputError, match="^batch_values: logits must have shape \\[n, K\\] with"
    ):
        m.batch_values(LOGITS[0], LABELS)
    with pytest.raises(ss.InputError, match="^batch_values: logits must be floating point \\[B, K"):
        m.batch_values(LABELS[:, None], LABELS)
    found = accumulated(broken, LABELS, 50).summary()
    names = ("nll", "brier", "ece", "adaptive_ece", "classwise_ece", "aurc", "excess_aurc")
    assert np.isnan([found[name] for name in names]).all()
    assert np.isnan(accumulated(LOGITS, LABELS - 1, 50).summary()["nll"])
    masked = np.where(np.arange(K) == 5, -np.inf, LOGITS)  # a class that is ruled out
    labels = np.minimum(LABELS, 4)
    assert m.batch_values(masked, labels).nll.max() < np.inf


def loop_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Naeini et al. 2015, one example at a time, in bins (b/15, (b+1)/15]."""
    total = 0.0
    for b in range(15):
        inside = [
            i for i, c in enumerate(confidence) if b / 15 < c <= (b + 1) / 15 or (b == 0 and c == 0)
        ]
        if inside:
            total += abs(correct[inside].mean() - confidence[inside].mean()) * len(inside)
    return total / len(confidence)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_agrees_with_a_loop(examples: list[tuple[float, bool]]) -> None:
    confidence = np.array([c for c, _ in examples])
    correct = np.array([c for _, c in examples], float)
    # An edge of a bin may round to either side: the loop and the code then may differ.
    confidence = np.where(np.abs(confidence * 15 % 1 - 0.5) > 0.499, 0.01, confidence)
    bins = exact.calibration_bins(confidence, correct)
    assert sum(bins["count"]) == len(examples)
    found = exact.calibration_error(bins)
    assert 0 <= found <= 1
    assert found == pytest.approx(loop_ece(confidence, correct), abs=1e-9)


def test_confidence_zero_and_one_are_counted() -> None:
    bins = exact.calibration_bins(np.array([0.0, 1.0, 1.0]), np.array([0, 1, 0]))
    assert bins["count"][0] == 1
    assert bins["count"][-1] == 2
    assert exact.calibration_error(bins) == pytest.approx(1 / 3)


def test_risk_coverage_of_small_cases() -> None:
    correct = np.array([1, 1, 0, 0])
    falling = exact.risk_curve(np.array([0.9, 0.8, 0.7, 0.6]), correct)
    np.testing.assert_allclose(falling, [0, 0, 1 / 3, 2 / 4])
    rising = exact.risk_curve(np.array([0.6, 0.7, 0.8, 0.9]), correct)
    np.testing.assert_allclose(rising, [1, 1, 2 / 3, 2 / 4])
    for answers in (correct, correct[::-1]):
        assert exact.risk_curve(np.full(4, 0.5), answers).tolist() == [0.5] * 4
    assert exact.least_area(correct.astype(bool)) == pytest.approx((1 / 3 + 2 / 4) / 4)


@pytest.mark.parametrize("scale", [0.1, 1, 5])
def test_temperature_is_where_the_likelihoods_slope_is_zero(scale: float) -> None:
    """As SciPy's root finder has it, of the slope in 1 / T: the mean of E_p[z] - z_y."""
    logits = scale * LOGITS.astype(np.float64)

    def slope(inverse: float) -> float:
        p = scipy.special.softmax(inverse * logits, axis=1)
        return float(((p * logits).sum(axis=1) - logits[np.arange(N), LABELS]).mean())

    root: Any = scipy.optimize.brentq(slope, 1e-3 / scale, 1e2 / scale, xtol=1e-14)
    expected = 1 / root
    where = np.arange(2 * N) < N
    padded = np.concatenate([logits, np.full_like(logits, np.nan)])
    labels = np.concatenate([LABELS, np.full(N, -1)])
    for given_logits in (padded, jnp.asarray(padded, jnp.float32)):
        found = m.fit_temperature(given_logits, labels, where=where)
        assert isinstance(found, float)
        assert found == pytest.approx(expected, rel=1e-5)


def test_temperature_without_an_optimum_is_an_end_of_the_range() -> None:
    z = np.array([[3.0, 0.0], [0.0, 2.0]])
    assert m.fit_temperature(z, np.array([0, 1])) == pytest.approx(0.01)
    assert m.fit_temperature(z, np.array([1, 0])) == pytest.approx(100)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"logits": LOGITS * np.nan}, "every row of logits must be finite, got another in row 0."),
        ({"labels": LABELS + 1}, "labels must be from 0 to 5, got another in row"),
        ({"where": np.zeros(N, bool)}, "where must select an example, got none. Skip a batch of"),
        ({"logits": LABELS[:, None]}, "logits must be floating point [n, K], got int64[100, 1]."),
        ({"logits": LOGITS[0]}, "logits must have shape [n, K] with n >= 1 examples and K >= 2"),
        ({"labels": LABELS[:3]}, "labels must have shape (100,), one for each row of logits, got"),
    ],
)
def test_temperature_refuses(changed: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        m.fit_temperature(**{"logits": LOGITS, "labels": LABELS} | changed)
    assert str(refused.value).startswith(f"fit_temperature: {message}")


def test_temperature_is_not_fitted_inside_a_program() -> None:
    message = "fit_temperature: logits must be known, got a traced array. Fit it outside of jit"
    with pytest.raises(ss.InputError, match=message):
        jax.jit(lambda z: m.fit_temperature(z, LABELS))(LOGITS)
