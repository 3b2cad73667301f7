"""Tables without K x K: top-k and factored labels, and dense ones that are made in blocks."""

import re

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import simsmooth_jax as ss
from simsmooth_jax.machine import memory
from simsmooth_jax.method.arrays.strips import group_size, largest

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

LARGE = 2100  # several blocks of the product and two strips of the table, the last ones overlap


def kernel_of(num_features: int, num_classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_features, num_classes)).astype(np.float32)


def cosines(kernel: np.ndarray) -> np.ndarray:
    columns = kernel.astype(np.float64)
    columns /= np.linalg.norm(columns, axis=0)
    return columns.T @ columns


def relation(similarity: np.ndarray, rule: str, temperature: float | None = None) -> np.ndarray:
    """The rules again, in float64."""
    mass = {
        "clip": lambda: np.maximum(similarity, 0),
        "literal": lambda: similarity,
        "shift": lambda: 1 + similarity,
        "softmax": lambda: np.exp((similarity - 1) / (temperature or 1)),
    }[rule]()
    return mass / mass.sum(axis=1, keepdims=True)


def top(rows: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row, the own class first of all, normalised again."""
    order = np.argsort(-(rows + 2 * np.eye(len(rows))), axis=1, kind="stable")[:, :k]
    kept = np.zeros_like(rows)
    np.put_along_axis(kept, order, np.take_along_axis(rows, order, 1), 1)
    return kept / kept.sum(axis=1, keepdims=True)


def dense(table: ss.TopKLabels) -> np.ndarray:
    rows = np.zeros((len(table.indices), len(table.indices)))
    np.add.at(rows, (np.arange(len(rows))[:, None], table.indices), np.asarray(table.weights))
    return rows


@pytest.mark.parametrize(("rule", "temperature"), [("clip", None), ("softmax", 0.3)])
def test_a_large_dense_table_agrees_with_float64(rule, temperature):
    kernel = kernel_of(16, LARGE)
    table = ss.relation_labels_from_kernel(kernel, rule, temperature=temperature, epsilon=0.5)
    expected = 0.5 * np.eye(LARGE) + 0.5 * relation(cosines(kernel), rule, temperature)
    np.testing.assert_allclose(table, expected, rtol=1e-4, atol=1e-7)


def test_a_large_similarity_is_exactly_symmetric_with_a_diagonal_of_1():
    kernel = kernel_of(5, 1100)
    similarity = np.asarray(ss.cosine_similarity(kernel))
    assert (similarity == similarity.T).all()
    assert (np.diagonal(similarity) == 1).all()
    np.testing.assert_allclose(similarity, cosines(kernel), rtol=0, atol=1e-6)


def test_a_flaw_in_the_last_strip_is_named():
    similarity = np.eye(LARGE, dtype=np.float32)
    similarity[LARGE - 1, 7] = similarity[LARGE - 3, 5] = -0.5
    with pytest.raises(ss.InputError, match=f"got -0.5 in row {LARGE - 3} "):
        ss.relation_labels(similarity, "literal")


@given(
    sizes=st.sampled_from([(1, 2, 2), (4, 9, 9), (7, 40, 6)]),  # each compiles its own programs
    seed=st.integers(0, 999),
    rule=st.sampled_from(["clip", "shift", "softmax"]),
    epsilon=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_top_k_labels_agree_with_float64(sizes, seed, rule, epsilon):
    num_features, num_classes, k = sizes
    kernel = kernel_of(num_features, num_classes, seed)
    temperature = 0.5 if rule == "softmax" else None
    table = ss.top_k_labels(kernel, k, rule, epsilon=epsilon, temperature=temperature)
    assert table.indices.shape == table.weights.shape == (num_classes, k)
    assert (table.indices[:, 0] == np.arange(num_classes)).all()
    rows = relation(cosines(kernel), rule, temperature)
    expected = (1 - epsilon) * np.eye(num_classes) + epsilon * top(rows, k)
    found = dense(table)
    if num_features > 1:  # in one dimension all are equal or opposite: many sets are the largest
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"include_self": False}, {"center": True}], ids=str)
def test_top_k_labels_are_the_dense_ones(options):
    kernel = kernel_of(6, LARGE, seed=1)
    options |= {"rule": "softmax", "temperature": 0.4, "epsilon": 0.3}
    expected = ss.relation_labels_from_kernel(kernel, top_k=9, **options)
    found = dense(ss.top_k_labels(kernel, 9, **options))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(
    sizes=st.sampled_from([(1, 1), (9, 9), (40, 1), (67, 12), (399, 5)]),
    seed=st.integers(0, 999),
    levels=st.sampled_from([3, 10**6]),
)
def test_largest_is_top_k_also_where_values_are_equal(sizes, seed, levels):
    num_columns, k = sizes
    values = np.random.default_rng(seed).integers(0, levels, (3, num_columns)).astype(np.float32)
    fill = ((0, 0), (0, -num_columns % group_size(num_columns, k)))
    padded = jnp.pad(values, fill, constant_values=levels)  # above all values
    found, expected = largest(padded, k, num_columns), jax.lax.top_k(values, k)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_strip_is_never_as_large_as_a_table(equations):
    kernel = jnp.ones((2, 40_000))
    sizes = [
        np.prod(variable.aval.shape)
        for function in (
            lambda w: ss.top_k_labels(w, 4),
            lambda w: ss.factored_labels(w, "literal"),
        )
        for equation in equations(function, kernel)
        for variable in equation.outvars
    ]
    assert 10**6 < max(sizes) < 40_000**2 / 50


SOME = kernel_of(7, 33)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ss.top_k_labels(SOME, 34),
            "top_k_labels: k must be an integer from 1 to 33 (the number of classes), got 34. "
            "Try 32.",
        ),
        (
            lambda: ss.top_k_labels(SOME, 3, "literal"),
            "top_k_labels: rule 'literal' must have every cosine >= 0, got -",
        ),
        (
            lambda: ss.factored_labels(SOME, "literal"),
            "factored_labels: rule 'literal' must have every cosine >= 0, got -",
        ),
        (
            lambda: ss.factored_labels(SOME, "clip"),  # pyright: ignore[reportArgumentType]
            "factored_labels: rule must be 'literal' or 'shift', got 'clip'. The others do not "
            "factor: use top_k_labels.",
        ),
        (
            lambda: ss.factored_labels(0 * SOME),
            "every class vector must have a length above 0, got zeros in kernel[:, 0]",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ss.InputError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    "call",
    [
        ss.cosine_similarity,
        ss.relation_labels_from_kernel,
        lambda kernel: ss.onehot_labels(kernel.shape[1]),
        lambda kernel: ss.uniform_labels(kernel.shape[1], 0.1),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_it_is_allocated(call):
    gib = memory.available_memory() / 2**30
    message = (
        f"a table [K, K] must fit into the memory of {gib:.1f} GiB, got 3725.3 GiB for K = 1000000 "
        "classes. Use top_k_labels(kernel, 32), which takes 0.24 GiB, or "
        "factored_labels(kernel)."
    )
    with pytest.raises(ss.InputError, match=re.escape(message)):
        call(np.ones((1, 10**6), np.float32))
