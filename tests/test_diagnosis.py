"""diagnose: every figure against NumPy in float64, its text and its warnings."""

import dataclasses
import re
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss
from simsmooth_jax.method import diagnosis_numbers
from simsmooth_jax.method.diagnosis import TEMPERATURES, RuleDiagnosis
from simsmooth_jax.method.diagnosis_numbers import sampled_rows

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

N, K = 6, 5
KERNEL = np.random.default_rng(0).normal(size=(N, K)).astype(np.float32)


def relation_rows(similarity: np.ndarray, rule: str, temperature: Any) -> np.ndarray:
    if rule == "softmax":
        return scipy.special.softmax(similarity / temperature, axis=1)
    mass = {"literal": similarity, "clip": similarity.clip(0), "shift": 1 + similarity}[rule]
    return mass / mass.sum(axis=1, keepdims=True)


def rule_of(diagnosis: ss.Diagnosis, name: str) -> RuleDiagnosis:
    return next(rule for rule in diagnosis.rules if rule.rule == name)


@pytest.mark.parametrize("center", [False, True])
@given(seed=st.integers(0, 2**32 - 1))
def test_every_figure_agrees_with_float64(seed, center):
    assert_agrees_with_float64(seed, K, center)


@pytest.mark.parametrize(("num_classes", "center"), [(2100, True), (1101, False)])
def test_means_of_many_classes_are_those_of_the_sampled_rows(num_classes, center):
    """Against float64 of these rows; near those of all rows, as far as their errors say."""
    kernel = np.random.default_rng(1).normal(0.4, 1, size=(N, num_classes)).astype(np.float32)
    diagnosis = ss.diagnose(kernel, center=center, temperature=0.3)
    columns = kernel.astype(np.float64)
    columns -= center * columns.mean(axis=1, keepdims=True)
    similarity = cosine_similarity(columns.T)
    rows = sampled_rows(num_classes)
    assert diagnosis.sampled_rows == len(rows) == len(set(rows)) == 1024

    def assert_estimates(mean, error, of_all, **tolerance):
        sample = of_all[rows]
        assert mean == pytest.approx(sample.mean(), **tolerance)
        missing = 1 - 1024 / num_classes
        assert error == pytest.approx(scipy.stats.sem(sample) * missing**0.5, rel=1e-3)
        assert 0 < abs(mean - of_all.mean()) < 4 * error

    negative = (similarity < 0).sum(axis=1) / (num_classes - 1)
    share, error = diagnosis.negative_cosine_share, diagnosis.negative_cosine_share_error
    assert_estimates(share, error, negative, rel=1e-4)
    sums = similarity.sum(axis=1)
    assert diagnosis.row_sum_min == pytest.approx(sums.min(), abs=1e-3)
    assert diagnosis.row_sum_max == pytest.approx(sums.max(), abs=1e-3)
    assert diagnosis.nonpositive_row_sums == (sums <= 0).sum()
    literal = rule_of(diagnosis, "literal")
    assert (literal.well_posed, literal.row_perplexity) == (False, None)
    assert literal.rows_own_not_on_top == (sums < 0).sum()
    rounding = 1e-4 * (1 / sums**2).mean()
    assert literal.mean_own_mass == pytest.approx((1 / sums).mean(), abs=rounding)
    for rule in diagnosis.rules[1:]:
        of_all = relation_rows(similarity, rule.rule, rule.temperature)
        perplexity = np.exp(scipy.stats.entropy(of_all, axis=1))
        assert_estimates(rule.row_perplexity, rule.perplexity_error, perplexity, rel=1e-4)
        own = np.diag(of_all)
        if rule.rule == "shift":  # exact
            assert rule.mean_own_mass == pytest.approx(own.mean(), rel=1e-4)
        else:
            assert_estimates(rule.mean_own_mass, rule.own_mass_error, own, rel=1e-4)
        assert rule.rows_own_not_on_top == (own < of_all.max(axis=1)).sum() == 0


def test_a_negative_cosine_outside_of_the_sample_makes_literal_ill_posed():
    num_classes = 1101
    kernel = np.random.default_rng(0).uniform(0.5, 1, (N, num_classes)).astype(np.float32)
    literal = rule_of(ss.diagnose(kernel, temperature=0.3), "literal")
    assert (literal.well_posed, literal.warning) == (True, "nearly uniform: no relation is left")
    a, b = np.setdiff1d(np.arange(num_classes), sampled_rows(num_classes))[[3, -3]]
    kernel[:, a], kernel[:, b] = np.eye(N)[0], [-0.1, *np.ones(N - 1)]
    assert (np.triu(kernel.T @ kernel) < 0).sum() == 1
    diagnosis = ss.diagnose(kernel, temperature=0.3)
    share = 2 / num_classes / (num_classes - 1)
    assert diagnosis.negative_cosine_share == pytest.approx(share)
    assert diagnosis.negative_cosine_share_error == 0  # every pair has been seen
    assert not rule_of(diagnosis, "literal").well_posed


@pytest.mark.parametrize("num_classes", [2, 3, 10, 11])
def test_every_pair_is_seen_once_however_many_strips(num_classes, monkeypatch):
    monkeypatch.setattr(diagnosis_numbers, "STRIP_ENTRIES", 5)
    vectors = np.random.default_rng(num_classes).normal(size=(num_classes, 3))
    negative = (np.triu(vectors @ vectors.T) < 0).sum() / (num_classes * (num_classes - 1) / 2)
    found = diagnosis_numbers.negative_share(jnp.asarray(vectors))
    assert float(found) == pytest.approx(negative)


def test_the_sample_is_fixed_for_ever():
    assert list(sampled_rows(1024)) == list(range(1024))
    assert list(sampled_rows(100_000)[:4]) == [6, 184, 240, 305]


def assert_agrees_with_float64(seed: int, K: int, center: bool) -> None:
    kernel = np.random.default_rng(seed).normal(0.4, 1, size=(N, K)).astype(np.float32)
    diagnosis = ss.diagnose(kernel, center=center, temperature=0.3)

    columns = kernel.astype(np.float64)
    if center:
        columns -= columns.mean(axis=1, keepdims=True)
    similarity = cosine_similarity(columns.T)
    sums, pairs = similarity.sum(axis=1), similarity[np.triu_indices(K, 1)]
    lengths = np.linalg.norm(columns, axis=0)
    ratio = np.linalg.norm(columns.sum(axis=1)) / lengths.mean()
    assert (diagnosis.num_features, diagnosis.num_classes) == (N, K)
    assert diagnosis.row_sum_min == pytest.approx(sums.min(), abs=1e-5 * max(1, K / 100))
    assert diagnosis.row_sum_max == pytest.approx(sums.max(), abs=1e-5 * max(1, K / 100))
    assert diagnosis.nonpositive_row_sums == (sums <= 0).sum()
    assert diagnosis.negative_cosine_share == pytest.approx((pairs < 0).mean(), rel=1e-5)
    assert diagnosis.column_sum_ratio == pytest.approx(ratio, rel=1e-4, abs=1e-5)

    expected = [("literal", None), ("clip", None), ("shift", None), ("softmax", 0.3)]
    assert [(rule.rule, rule.temperature) for rule in diagnosis.rules] == expected
    for rule in diagnosis.rules:
        assert rule.well_posed == (rule.rule != "literal" or bool((pairs >= 0).all()))
        if not rule.well_posed:
            continue  # its figures explode where a row sum is near 0
        rows = relation_rows(similarity, rule.rule, rule.temperature)
        perplexity = np.exp(scipy.stats.entropy(rows, axis=1)).mean()
        assert rule.mean_own_mass == pytest.approx(np.diag(rows).mean(), abs=1e-5)
        assert rule.row_perplexity == pytest.approx(perplexity, rel=1e-5)
        assert rule.rows_own_not_on_top == 0
        assert (rule.own_mass_error, rule.perplexity_error) == (0, 0)
    assert (diagnosis.sampled_rows, diagnosis.negative_cosine_share_error) == (K, 0)


def test_figures_of_the_ill_posed_literal_rule():
    similarity = cosine_similarity(KERNEL.astype(np.float64).T)
    rows = relation_rows(similarity, "literal", None)
    literal = rule_of(ss.diagnose(KERNEL), "literal")
    assert not literal.well_posed
    assert literal.mean_own_mass == pytest.approx(np.diag(rows).mean(), rel=1e-4)
    assert literal.row_perplexity is None  # a row with negative entries is no distribution
    assert literal.rows_own_not_on_top == (np.diag(rows) < rows.max(axis=1)).sum()


def test_collapsed_kernel_has_row_sums_around_zero_and_other_classes_on_top(simplex_kernel):
    num_classes = 100
    diagnosis = ss.diagnose(simplex_kernel(num_classes), temperature=0.1)
    similarity = cosine_similarity(simplex_kernel(num_classes).astype(np.float64).T)
    negative_sums = int((similarity.sum(axis=1) <= 0).sum())
    assert 0.2 * num_classes < negative_sums < 0.8 * num_classes
    assert diagnosis.nonpositive_row_sums == negative_sums
    # Divided by a negative sum, the own class is the least of its row.
    assert rule_of(diagnosis, "literal").rows_own_not_on_top == negative_sums
    assert diagnosis.row_sum_min < 0 < diagnosis.row_sum_max
    assert diagnosis.column_sum_ratio < 0.2
    assert diagnosis.negative_cosine_share > 0.4


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_figures_do_not_depend_on_the_scale_of_the_kernel(scale):
    found, expected = ss.diagnose(KERNEL * np.float32(scale)), ss.diagnose(KERNEL)
    for field in ("row_sum_min", "row_sum_max", "negative_cosine_share", "column_sum_ratio"):
        assert getattr(found, field) == pytest.approx(getattr(expected, field), rel=1e-4), field
    for found_rule, rule in zip(found.rules, expected.rules, strict=True):
        assert found_rule.mean_own_mass == pytest.approx(rule.mean_own_mass, rel=1e-4)


def own_mass_kernel(own_mass: float) -> np.ndarray:
    """Four classes in two pairs, orthogonal ones, whose clip rule keeps this mass of each label."""
    cosine = 1 / own_mass - 1
    pair = np.array([[1, cosine], [0, np.sqrt(1 - cosine**2)]])
    return np.kron(np.eye(2), pair)


def even_kernel(num_classes: int, cosine: float) -> np.ndarray:
    """Every two classes have this cosine."""
    return np.linalg.cholesky(np.eye(num_classes) * (1 - cosine) + cosine).T


@pytest.mark.parametrize(
    ("kernel", "rule", "warning"),
    [
        (-np.eye(2) + 0.4, "literal", "ill-posed: a cosine is negative"),
        (own_mass_kernel(0.6), "clip", ""),
        (own_mass_kernel(0.989), "clip", ""),
        (own_mass_kernel(0.991), "clip", "nearly one-hot: no relation is left"),
        (even_kernel(10, 0.1), "clip", ""),  # perplexity 5.7 of 10
        (even_kernel(10, 0.22), "clip", "nearly uniform: no relation is left"),  # 8.1
        (np.ones((3, 9)), "clip", "nearly uniform: no relation is left"),
        (np.ones((3, 11)), "literal", "nearly uniform: no relation is left"),
        (np.kron(np.eye(2), np.ones((3, 9))), "clip", ""),  # half of the classes keep 1/9 each
        (np.kron(np.eye(2), np.ones((3, 11))), "clip", "own class nearly lost: lower epsilon"),
    ],
)
def test_warns_outside_of_the_bounds_and_not_inside(kernel, rule, warning):
    diagnosis = ss.diagnose(kernel, temperature=0.2)
    assert rule_of(diagnosis, rule).warning == warning
    assert (warning in str(diagnosis)) or not warning


def test_text_holds_every_figure_in_a_hundred_columns():
    diagnosis = ss.diagnose(KERNEL)
    lines = str(diagnosis).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "kernel             6 features x 5 classes"
    assert f"{diagnosis.row_sum_min:.4f} to {diagnosis.row_sum_max:.4f}" in lines[1]
    assert f"{diagnosis.nonpositive_row_sums} of 5 are <= 0" in lines[1]
    assert f"{diagnosis.negative_cosine_share:.1%}" in lines[2]
    assert f"{diagnosis.column_sum_ratio:.4f}" in lines[3]
    names = ["literal", "clip", "shift", *[f"softmax τ={tau:g}" for tau in TEMPERATURES]]
    for name, rule, line in zip(names, diagnosis.rules, lines[-7:], strict=True):
        assert re.match(rf"{name} +{rule.mean_own_mass:.3f} ", line)
        assert line.endswith(rule.warning)
        assert rule.row_perplexity is None or f" {rule.row_perplexity:.2f} " in line


def test_text_of_a_sample_says_its_errors_in_a_hundred_columns():
    diagnosis = ss.diagnose(
        np.random.default_rng(1).normal(0.4, 1, size=(N, 1101)).astype(np.float32), temperature=0.3
    )
    rules = tuple(
        dataclasses.replace(
            rule,
            temperature=0.123457,
            mean_own_mass=0.05,
            own_mass_error=0.001,
            row_perplexity=900_000.0,
            perplexity_error=12_345.0,
            rows_own_not_on_top=1_000_000,
            warning="own class nearly lost: lower epsilon",
        )
        for rule in diagnosis.rules
    )
    longest = str(dataclasses.replace(diagnosis, num_classes=1_000_000, rules=rules))
    assert max(map(len, longest.splitlines())) <= 100
    assert "0.050 ±0.001  900000 ±12345     1000000   own class nearly" in longest
    lines = str(diagnosis).splitlines()
    share, error = diagnosis.negative_cosine_share, diagnosis.negative_cosine_share_error
    assert lines[2] == f"negative cosines   {share:.1%} ±{error:.1%} of the pairs of classes"
    assert lines[4] == "±                  standard error, of 1024 rows"
    softmax = diagnosis.rules[-1]
    assert f"{softmax.mean_own_mass:.3f} ±{softmax.own_mass_error:.3f}" in lines[-1]
    assert f"{softmax.row_perplexity:.2f} ±{softmax.perplexity_error:.2f}" in lines[-1]


def test_is_frozen_and_holds_python_numbers():
    diagnosis = ss.diagnose(KERNEL, temperature=0.2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis.row_sum_min = 0.0  # pyright: ignore[reportAttributeAccessIssue]
    for part in (diagnosis, *diagnosis.rules):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            assert type(value) in (int, float, bool, str, tuple, type(None)), field.name
    assert diagnosis == ss.diagnose(jnp.asarray(KERNEL), temperature=0.2)
    assert hash(diagnosis) == hash(ss.diagnose(KERNEL, temperature=0.2))


@pytest.mark.parametrize(
    ("kernel", "temperature", "message"),
    [
        (KERNEL[0], None, "kernel must have shape [N, K], got (5,)."),
        (KERNEL * [1, 1, 0, 1, 1], None, "got zeros in kernel[:, 2] (class 2)."),
        (KERNEL * [1, np.nan, 0, 1, 1], None, "NaN or infinity in kernel[:, 1] (class 1)."),
        (KERNEL, 0.0, "temperature must be a finite number above 0, got 0.0. Smaller is sharper"),
    ],
)
def test_refuses(kernel, temperature, message):
    with pytest.raises(ValueError, match=f"^diagnose: .*{re.escape(message)}"):
        ss.diagnose(kernel, temperature=temperature)


def test_constants_inside_jit_are_diagnosed():
    found = jax.jit(lambda x: x * ss.diagnose(KERNEL).row_sum_max)(1.0)
    assert float(found) == pytest.approx(ss.diagnose(KERNEL).row_sum_max)
