"""Mean features and mean predictions of the classes, against NumPy in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine

import simsmooth_jax as ss
from simsmooth_jax.method.relations.class_vectors import class_sums

N, D, K = 200, 6, 5
RANDOM = np.random.RandomState(0)
FEATURES = RANDOM.randn(N, D).astype(np.float32)
LABELS = RANDOM.permutation(np.arange(N) % K).astype(np.int32)
PROBABILITIES = RANDOM.dirichlet(np.ones(K), N).astype(np.float32)


def means_by_hand(rows: np.ndarray) -> np.ndarray:
    columns = [rows[label == LABELS].astype(np.float64).mean(axis=0) for label in range(K)]
    return np.stack(columns, axis=1)


def test_means_are_those_of_numpy() -> None:
    found = ss.class_means(FEATURES, LABELS, K)
    assert (found.shape, found.dtype) == ((D, K), jnp.float32)
    np.testing.assert_allclose(found, means_by_hand(FEATURES), atol=1e-6)
    predictions = ss.mean_predictions(PROBABILITIES, LABELS)
    np.testing.assert_allclose(predictions, means_by_hand(PROBABILITIES), atol=1e-6)
    np.testing.assert_allclose(predictions.sum(axis=0), 1, atol=1e-6)


def test_they_go_into_the_similarity_like_a_kernel() -> None:
    similarity = ss.cosine_similarity(ss.class_means(FEATURES, LABELS, K))
    np.testing.assert_allclose(similarity, sklearn_cosine(means_by_hand(FEATURES).T), atol=1e-5)
    table = ss.relation_labels_from_kernel(ss.mean_predictions(PROBABILITIES, LABELS))
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_predictions_of_16_bits_are_distributions(dtype: Any) -> None:
    rows = jnp.asarray(PROBABILITIES, dtype)
    sums = np.asarray(rows, np.float64).sum(axis=1)
    assert np.abs(sums - 1).max() > (1e-3 if dtype == jnp.bfloat16 else 1e-4)
    found = ss.mean_predictions(rows, LABELS)
    np.testing.assert_allclose(found, means_by_hand(np.asarray(rows)), atol=1e-6)
    table = ss.relation_labels_from_kernel(found)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)


def test_accurate_over_many_examples() -> None:
    """A large common part, and a class with 100,000 examples of its own."""
    count = 200_000
    rows = (1000 + RANDOM.rand(count, 2)).astype(np.float32)
    labels = np.arange(count) % 2
    expected = np.stack([rows[labels == k].astype(np.float64).mean(axis=0) for k in (0, 1)], axis=1)
    np.testing.assert_allclose(ss.class_means(rows, labels, 2), expected, rtol=1e-5)


def test_sums_of_batches_make_the_means() -> None:
    sums, counts = np.zeros((D, K)), np.zeros(K)
    for start in range(0, N, 32):
        labels = np.full(32, -1, np.int32)  # padding
        rows = np.full((32, D), 1e9, np.float32)
        size = min(32, N - start)
        rows[:size], labels[:size] = FEATURES[start : start + 32], LABELS[start : start + 32]
        more, number = class_sums(jnp.asarray(rows), jnp.asarray(labels), K)
        sums, counts = sums + np.asarray(more), counts + np.asarray(number)
    assert counts.sum() == N
    np.testing.assert_allclose(sums / counts, means_by_hand(FEATURES), atol=1e-5)


def test_inside_of_transformations() -> None:
    jitted = jax.jit(ss.class_means, static_argnums=2)(FEATURES, LABELS, K)
    np.testing.assert_allclose(jitted, means_by_hand(FEATURES), atol=1e-6)
    several = jax.vmap(lambda rows: ss.class_means(rows, jnp.asarray(LABELS), K))(
        jnp.stack([FEATURES, 2 * FEATURES])
    )
    np.testing.assert_allclose(several[1], 2 * means_by_hand(FEATURES), atol=1e-5)


means: Any = ss.class_means
predictions: Any = ss.mean_predictions


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: means([[1.0], []], LABELS, K),
            "class_means: features must be an array, got list (",
        ),
        (
            lambda: means(FEATURES[0], LABELS, K),
            "features must be real numbers [n, D], got float32[",
        ),
        (
            lambda: means(FEATURES > 0, LABELS, K),
            "features must hold real numbers, got dtype bool.",
        ),
        (
            lambda: means(FEATURES, LABELS[:9], K),
            "indices of shape (200,), got int32[9]. Give one f",
        ),
        (
            lambda: means(FEATURES, LABELS * 1.0, K),
            "labels must be integer class indices, got dtype float",
        ),
        (
            lambda: means(FEATURES, LABELS, 1),
            "class_means: num_classes must be an integer >= 2, go",
        ),
        (
            lambda: means(FEATURES * np.nan, LABELS, K),
            "must be finite, got NaN or infinity in row 0.",
        ),
        (lambda: means(FEATURES, LABELS, 4), "labels must be from 0 to 3, got another in row "),
        (lambda: means(FEATURES, LABELS - 1, K), "labels must be from 0 to 4, got another in row "),
        (
            lambda: means(FEATURES, LABELS, 6),
            "every class must have an example, got none of class 5.",
        ),
        (
            lambda: predictions(FEATURES, LABELS),
            "must be a distribution, got another in row 0. Take",
        ),
        (
            lambda: predictions(PROBABILITIES * 2, LABELS),
            "mean_predictions: every row of probabilit",
        ),
        (
            lambda: predictions(PROBABILITIES[0], LABELS),
            "probabilities must have shape [n, K], got",
        ),
        (lambda: predictions(np.ones((3, 1)), LABELS), "K >= 2 classes, got (3, 1)."),
    ],
)
def test_refuses(call: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011, the text is looked at below
        call()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
