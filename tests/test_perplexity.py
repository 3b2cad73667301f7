"""The rule neighbours: the perplexity that was asked for, against SciPy's root in float64."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import given
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

K, EPSILON = 12, 0.3
SEEDS = st.integers(0, 2**32 - 1)


def similarities(seed: int, num_classes: int = K) -> np.ndarray:
    kernel = np.random.default_rng(seed).normal(size=(6, num_classes))
    return cosine_similarity(kernel.T).astype(np.float32)


def perplexities(rows: Any) -> np.ndarray:
    return np.exp(scipy.stats.entropy(np.asarray(rows, np.float64), axis=1))


def row_of(cosines: np.ndarray, perplexity: float) -> np.ndarray:
    """Softmax of float64 cosines, its temperature found by bisection and secants."""
    cosines = np.asarray(cosines, np.float64)

    def softened(log_beta: float) -> np.ndarray:
        return scipy.special.softmax(np.exp(log_beta) * (cosines - cosines.max()))

    def excess(log_beta: float) -> float:
        return float(scipy.stats.entropy(softened(log_beta)) - np.log(perplexity))

    largest = np.log(1e6)
    if excess(largest) > 0:
        return softened(largest)
    root: Any = scipy.optimize.brentq(excess, -20, largest, xtol=1e-12)
    return softened(root)


def oracle(similarity: np.ndarray, perplexity: float, top_k: int | None = None) -> np.ndarray:
    rows = np.zeros(similarity.shape)
    for own, cosines in enumerate(similarity):
        others = np.setdiff1d(np.argsort(-cosines, kind="stable"), own, assume_unique=True)
        others = others[: (top_k or len(cosines)) - 1]
        rows[own, others] = row_of(cosines[others], perplexity)
    return rows


def relation(similarity: Any, perplexity: Any, **options: Any) -> np.ndarray:
    """What is left of labels without the hard ones."""
    rule: Any = {"rule": "neighbours", "perplexity": perplexity, "epsilon": EPSILON}
    labels = np.asarray(ss.relation_labels(similarity, **rule, **options), np.float64)
    np.testing.assert_allclose(np.diag(labels), 1 - EPSILON, rtol=1e-6)
    return np.where(np.eye(len(labels)), 0, labels) / EPSILON


@given(seed=SEEDS, fraction=st.floats(0, 1), top_k=st.sampled_from([None, 7]))
def test_rows_are_those_of_a_root_in_float64(seed, fraction, top_k):
    most = 0.9 * ((top_k or K) - 1)
    perplexity = 2 + fraction * (most - 2)
    found = relation(similarities(seed), perplexity, top_k=top_k)
    np.testing.assert_allclose(perplexities(found), perplexity, rtol=1e-5)
    expected = oracle(similarities(seed), perplexity, top_k)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert ((found > 0).sum(axis=1) <= (top_k or K) - 1).all()


@pytest.mark.parametrize("perplexity", [1.0, 1.01, 10.99, 1 + 1e-6])
def test_perplexities_at_the_ends_of_the_range(perplexity):
    found = relation(similarities(0), perplexity)
    np.testing.assert_allclose(perplexities(found), perplexity, rtol=1e-4)
    assert (found.argmax(axis=1) == (similarities(0) - 2 * np.eye(K)).argmax(axis=1)).all()


@pytest.mark.parametrize("scale", [1e-4, 1e-2])
@pytest.mark.parametrize("offset", [0.0, 0.99])
def test_cosines_that_hardly_differ(scale, offset):
    similarity = (offset + scale * similarities(1)).astype(np.float32)
    expected = oracle(similarity, 4.0)
    reached = np.abs(perplexities(expected) / 4 - 1) < 1e-6
    assert reached.any()
    found = relation(similarity, 4.0)
    np.testing.assert_allclose(perplexities(found)[reached], 4, rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def test_three_classes_and_a_table_in_strips():
    three = similarities(0, 3)
    np.testing.assert_allclose(relation(three, 1.5), oracle(three, 1.5), rtol=1e-5)
    large = similarities(2, 2100)  # two strips, the second overlaps
    found = relation(large, 40.0)
    np.testing.assert_allclose(perplexities(found), 40, rtol=1e-5)
    some = [0, 1, 1050, 2098, 2099]
    expected = [row_of(np.delete(large[i], i), 40.0) for i in some]
    found = [np.delete(found[i], i) for i in some]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_a_row_of_ties_is_uniform_over_them_and_counted():
    """Four groups of three classes that differ in nothing: two others are equal, and the rest."""
    kernel = np.kron(np.random.default_rng(0).normal(size=(6, 4)), np.ones(3)).astype(np.float32)
    similarity = np.round(np.asarray(ss.cosine_similarity(kernel)), 4)
    group = np.kron(np.eye(4), np.ones((3, 3))) - np.eye(K)
    np.testing.assert_allclose(relation(similarity, 1.5), group / 2, atol=1e-7)
    np.testing.assert_allclose(relation(similarity, 2.0), group / 2, atol=1e-4)
    np.testing.assert_allclose(perplexities(relation(similarity, 5.0)), 5, rtol=1e-5)
    for perplexity, count in ((1.5, K), (5.0, 0)):
        diagnosis = ss.diagnose(kernel, perplexity=perplexity)
        assert diagnosis.rules[-1].unreachable_rows == count
        assert diagnosis.rules[-1].row_perplexity == pytest.approx(max(2, perplexity), rel=1e-4)
    assert [rule.unreachable_rows for rule in diagnosis.rules[:-1]] == [0] * 7
    assert "neighbours            0.000        2.00          12   too tied: 12 of 12 rows" in str(
        ss.diagnose(kernel, perplexity=1.5)
    )


def test_equal_similarities_have_uniform_rows_whatever_is_asked():
    even = 0.5 + np.eye(K) / 2
    np.testing.assert_allclose(relation(even, 3.0), (1 - np.eye(K)) / (K - 1), atol=1e-6)
    kernel = np.linalg.cholesky(even).T
    assert ss.diagnose(kernel, perplexity=3.0).rules[-1].unreachable_rows == K


@pytest.mark.parametrize("tied", [0, 500])
def test_many_classes_are_diagnosed_by_the_sampled_rows(tied):
    kernel = np.random.default_rng(0).normal(size=(5, 1101)).astype(np.float32)
    kernel[:, :tied] = kernel[:, :1]
    rule = ss.diagnose(kernel, perplexity=30.0).rules[-1]
    of_sample = np.random.RandomState(0).permutation(1101)[:1024] < tied
    assert rule.unreachable_rows == of_sample.sum()
    expected = np.where(of_sample, tied - 1, 30)
    assert rule.row_perplexity == pytest.approx(expected.mean(), rel=1e-4)
    assert rule.perplexity_error == pytest.approx(
        scipy.stats.sem(expected) * (1 - 1024 / 1101) ** 0.5, rel=1e-3, abs=1e-5
    )
    assert (rule.rows_own_not_on_top, rule.mean_own_mass) == (1101, 0)


def test_top_k_labels_are_the_rows_of_the_truncated_table():
    kernel = np.random.default_rng(3).normal(size=(6, 40)).astype(np.float32)
    options: Any = {"rule": "neighbours", "perplexity": 4.0, "epsilon": EPSILON}
    table = ss.top_k_labels(kernel, 9, **options)
    others = np.asarray(table.weights)[:, 1:] / EPSILON
    np.testing.assert_allclose(perplexities(others), 4, rtol=1e-5)
    expected = ss.relation_labels_from_kernel(kernel, top_k=9, **options)
    found = np.zeros((40, 40))
    np.put_along_axis(found, np.asarray(table.indices), np.asarray(table.weights), 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
