"""relation_labels and the baselines' tables: values, invariants, edges, refusals."""

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg
import scipy.special
from hypothesis import given
from sklearn.metrics.pairwise import cosine_similarity

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

K = 5
SEEDS = st.integers(0, 2**32 - 1)
WELL_POSED = [("clip", None), ("shift", None), ("softmax", 0.1)]


def similarities(seed: int, positive: bool = False) -> np.ndarray:
    kernel = np.random.default_rng(seed).normal(size=(6, K))
    return cosine_similarity((np.abs(kernel) if positive else kernel).T).astype(np.float32)


def oracle(
    similarity: np.ndarray,
    rule: str,
    epsilon: float = 1.0,
    temperature: float | None = None,
    top_k: int | None = None,
    include_self: bool = True,
) -> np.ndarray:
    """method.md in words, class by class in float64: rule, then top-k, then epsilon."""
    labels = np.zeros_like(similarity, np.float64)
    for own, cosines in enumerate(similarity.astype(np.float64)):
        classes = [k for k in range(len(cosines)) if include_self or k != own]
        row = {
            "literal": lambda s: s / s.sum(),
            "clip": lambda s: s.clip(0) / s.clip(0).sum(),
            "shift": lambda s: (1 + s) / (1 + s).sum(),
            "softmax": lambda s: scipy.special.softmax(s / temperature),
        }[rule](cosines[classes])
        relation = dict(zip(classes, row, strict=True))
        if top_k is not None:
            others = sorted(set(classes) - {own}, key=lambda k: (-relation[k], k))
            kept = [own, *others[: top_k - 1]]
            total = sum(relation.get(k, 0) for k in kept)
            relation = {k: relation.get(k, 0) / total for k in kept}
        for k, mass in relation.items():
            labels[own, k] = epsilon * mass
        labels[own, own] += 1 - epsilon
    return labels


# With the options of the next test, every rule with and without top-k and the own class.
OPTIONS: list[dict[str, Any]] = [
    {"rule": "literal"},
    {"rule": "literal", "top_k": 1},
    {"rule": "literal", "include_self": False},
    {"rule": "clip", "top_k": 3, "include_self": False},
    {"rule": "shift", "include_self": False},
    {"rule": "softmax", "temperature": 0.05, "top_k": 4, "include_self": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@given(seed=SEEDS, epsilon=st.floats(0, 0.5))
def test_agrees_with_the_formula_in_float64(options, seed, epsilon):
    # Positive cosines keep every rule legal, epsilon up to 1/2 the own class on top.
    similarity = similarities(seed, positive=True)
    labels = ss.relation_labels(similarity, **options, epsilon=epsilon)
    expected = oracle(similarity, **options, epsilon=epsilon)
    np.testing.assert_allclose(labels, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("rule", "temperature"), WELL_POSED)
@pytest.mark.parametrize("top_k", [None, 3])
@given(seed=SEEDS, epsilon=st.floats(0, 1))
def test_rows_lie_on_the_simplex_with_the_own_class_on_top(rule, temperature, top_k, seed, epsilon):
    options = {"epsilon": epsilon, "temperature": temperature, "top_k": top_k}
    labels = np.asarray(ss.relation_labels(similarities(seed), rule, **options))
    assert labels.dtype == np.float32
    assert labels.min() >= 0
    np.testing.assert_allclose(labels.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.diag(labels), labels.max(axis=1))
    assert top_k is None or ((labels > 0).sum(axis=1) <= top_k).all()
    expected = oracle(similarities(seed), rule, **options)
    np.testing.assert_allclose(labels, expected, rtol=0, atol=2e-6)


def test_literal_is_s_over_d_to_the_bit_and_equal_to_clip_where_no_cosine_is_negative():
    similarity = np.array([[1, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 1]], np.float32)
    exact = similarity / np.array([[1.75], [2], [1.75]], np.float32)  # sums without rounding
    np.testing.assert_array_equal(ss.relation_labels(similarity, "literal"), exact)
    for seed in range(20):
        similarity = similarities(seed, positive=True)
        literal = ss.relation_labels(similarity, "literal")
        np.testing.assert_array_equal(literal, ss.relation_labels(similarity, "clip"))


@pytest.mark.parametrize("num_classes", [10, 100, 1000])
def test_collapsed_kernel_has_sound_labels_under_every_rule_but_literal(
    num_classes, simplex_kernel
):
    kernel = simplex_kernel(num_classes)
    for rule, temperature in WELL_POSED:
        options = {"rule": rule, "temperature": temperature}
        labels = np.asarray(ss.relation_labels_from_kernel(kernel, **options))
        assert labels.min() >= 0
        np.testing.assert_allclose(labels.sum(axis=1, dtype=np.float64), 1, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(np.diag(labels), labels.max(axis=1))
        assert np.diag(labels).min() > 1.5 / num_classes
    message = (
        r"'literal' must have every cosine >= 0, got -0\.\d+ in row 0 \(class 0\). Use rule 'clip'"
    )
    with pytest.raises(ValueError, match=message):
        ss.relation_labels_from_kernel(kernel, "literal")
    if num_classes == 10:
        with pytest.raises(ValueError, match=message):
            ss.relation_labels(cosine_similarity(kernel.T), "literal")


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "clip", "top_k": 3},
        {"rule": "softmax", "temperature": 0.2, "epsilon": 0.3, "include_self": False},
    ],
    ids=str,
)
def test_from_kernel_is_the_composition(options):
    kernel = np.abs(np.random.default_rng(3).normal(size=(6, K))).astype(np.float32)
    labels = ss.relation_labels_from_kernel(kernel, **options, center=True)
    composed = ss.relation_labels(ss.cosine_similarity(kernel, center=True), **options)
    np.testing.assert_allclose(labels, composed, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rule", "temperature"), WELL_POSED)
def test_duplicate_classes_have_equal_rows(rule, temperature):
    kernel = np.random.default_rng(0).normal(size=(6, K)).astype(np.float32)
    kernel[:, 4] = 3 * kernel[:, 1]
    labels = ss.relation_labels(ss.cosine_similarity(kernel), rule, temperature=temperature)
    np.testing.assert_allclose(labels[4], labels[1], rtol=0, atol=1e-6)
    assert np.abs(labels[4] - labels[0]).max() > 0.1


@pytest.mark.parametrize("rule", ["literal", "clip"])
@pytest.mark.parametrize(
    "kernel", [np.diag([1, -2, 1e-9, 4, 1e9]), scipy.linalg.hadamard(8)[:, :K]]
)
def test_orthogonal_columns_give_one_hot_labels(rule, kernel):
    # Float32 rounds some cosines of the second kernel to a little below 0.
    labels = np.asarray(ss.relation_labels(ss.cosine_similarity(kernel), rule))
    np.testing.assert_allclose(labels, np.eye(K), rtol=0, atol=1e-6)
    assert labels.min() >= 0


def test_top_k_keeps_the_own_class_and_the_lower_of_equal_ones():
    labels = ss.relation_labels((1 + np.eye(K)) / 2, "clip", top_k=3)
    kept = [[2, 1, 1, 0, 0], [1, 2, 1, 0, 0], [1, 1, 2, 0, 0], [1, 1, 0, 2, 0], [1, 1, 0, 0, 2]]
    np.testing.assert_allclose(labels, np.array(kept) / 4, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("num_classes", "epsilon"), [(10, 0), (10, 0.1), (10, 1), (2, 1 / 3)])
def test_uniform_labels_are_those_of_optax(num_classes, epsilon):
    expected = (1 - epsilon) * np.eye(num_classes) + epsilon / num_classes
    labels = ss.uniform_labels(num_classes, epsilon)
    assert labels.dtype == jnp.float32
    assert not labels.weak_type  # a weak type would compile the training step twice
    np.testing.assert_allclose(labels, expected, rtol=0, atol=1e-7)
    smoothed = optax.smooth_labels(jnp.eye(num_classes), epsilon)
    np.testing.assert_allclose(labels, smoothed, rtol=0, atol=1e-7)


def test_onehot_labels_are_the_identity():
    labels = ss.onehot_labels(7)
    assert labels.dtype == jnp.float32
    assert not labels.weak_type
    np.testing.assert_array_equal(labels, np.eye(7))


def test_labels_are_float32_in_64_bit_mode():
    with jax.enable_x64(True):
        half = np.float64(0.5)
        labels = ss.relation_labels(np.eye(K), "softmax", epsilon=half, temperature=half)
        assert labels.dtype == ss.uniform_labels(K, half).dtype == jnp.float32
