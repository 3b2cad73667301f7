"""diagnose: every figure against NumPy in float64, its text and its warnings."""

from typing import Any

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss
from simsmooth_jax.method.relations import diagnosis_numbers
from simsmooth_jax.method.relations.diagnosis import RuleDiagnosis
from simsmooth_jax.method.relations.diagnosis_numbers import sampled_rows

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


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5, 3.0])  # all round, in a cone, in a narrow one
@pytest.mark.parametrize("num_classes", [2, 3, 10, 11, 200])
def test_every_negative_pair_is_counted_once_however_many_tiles(num_classes, shift, monkeypatch):
    monkeypatch.setattr(diagnosis_numbers, "TILE", 5)
    vectors = np.random.default_rng(num_classes).normal(shift, 1, size=(num_classes, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = diagnosis_numbers.negative_share(jnp.asarray(vectors, jnp.float32))
    pairs = num_classes * (num_classes - 1) / 2
    negative = np.triu(vectors @ vectors.T, 1) < -diagnosis_numbers.ROUNDING
    assert float(found) == pytest.approx(negative.sum() / pairs)
    turned = -vectors  # the same cosines, and no entry of many that is not negative
    assert float(diagnosis_numbers.negative_share(jnp.asarray(turned, jnp.float32))) == found


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
