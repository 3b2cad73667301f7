"""Tables of rivals and of the control: against what their authors write, and what they refuse."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import scipy.stats

import simsmooth_jax as ss
from simsmooth_jax.machine import memory

pytestmark = pytest.mark.usefixtures("no_rank_promotion")

K = 7
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(5, K)).astype(np.float32)
TABLE = np.asarray(ss.relation_labels_from_kernel(KERNEL, "softmax", temperature=0.5, epsilon=0.6))
POINTS = RNG.normal(size=(K, 3))
DISTANCE = scipy.spatial.distance.cdist(POINTS, POINTS)
OTHERS = ~np.eye(K, dtype=bool)


def others(table: Any) -> np.ndarray:
    """Each row without its own class."""
    return np.asarray(table)[OTHERS].reshape(K, K - 1)


def test_shuffled_rows_keep_their_weights_and_lose_their_neighbours() -> None:
    found = np.asarray(ss.shuffled_labels(TABLE, jax.random.key(0)))
    np.testing.assert_array_equal(np.diag(found), np.diag(TABLE))
    np.testing.assert_array_equal(np.sort(others(found)), np.sort(others(TABLE)))
    entropies = [scipy.stats.entropy(table, axis=1) for table in (found, TABLE)]
    np.testing.assert_allclose(*entropies, rtol=1e-6)
    assert (found != TABLE)[OTHERS].mean() > 0.5
    ranks = [np.argsort(np.argsort(-others(found)[i])) for i in range(K)]
    assert len({tuple(r) for r in ranks}) > 1
    again = ss.shuffled_labels(TABLE, jax.random.key(0))
    np.testing.assert_array_equal(again, found)
    assert (np.asarray(ss.shuffled_labels(TABLE, jax.random.key(1))) != found).any()


def test_every_order_of_the_others_is_as_likely_and_rows_differ() -> None:
    """3! orders of each row's others, 600 keys: a chi-square test of each row, and of two."""
    table = np.array([[7, 0, 1, 2], [0, 7, 1, 2], [0, 1, 7, 2], [0, 1, 2, 7]], np.float32) / 10
    shuffle = jax.vmap(lambda key: ss.shuffled_labels(table, key))
    found = np.asarray(shuffle(jax.random.split(jax.random.key(5), 600)))
    codes = found[:, ~np.eye(4, dtype=bool)].reshape(600, 4, 3) @ np.array([100, 10, 1])
    codes = np.unique(codes.round(3), return_inverse=True)[1].reshape(600, 4)
    assert codes.max() == 5
    for row in range(4):
        assert scipy.stats.chisquare(np.bincount(codes[:, row], minlength=6)).pvalue > 1e-3
    both = np.bincount(6 * codes[:, 0] + codes[:, 1], minlength=36)
    assert scipy.stats.chisquare(both).pvalue > 1e-3


def test_permuted_labels_are_the_table_of_renamed_classes() -> None:
    found = np.asarray(ss.permuted_labels(TABLE, jax.random.key(1)))
    # Own weights differ from class to class, and so tell which class is which.
    order = [int(np.flatnonzero(np.diag(TABLE) == own)[0]) for own in np.diag(found)]
    assert sorted(order) == list(range(K)) != order
    np.testing.assert_array_equal(found, TABLE[np.ix_(order, order)])


def test_compact_tables_are_shuffled_in_full() -> None:
    compact: Any = ss.top_k_labels(KERNEL, 3)
    for shuffle in (ss.shuffled_labels, ss.permuted_labels):
        key = jax.random.PRNGKey(0)  # as older programs have it
        found = np.asarray(shuffle(compact, key))
        np.testing.assert_array_equal(found, shuffle(compact.to_dense(), key))
        assert ((found > 0).sum(axis=1) <= 3).all()


def test_superclasses_share_a_weight_among_their_other_classes() -> None:
    groups = np.array([5, 5, -2, 5, -2, 2**40, 5])  # class 5 is alone
    expected = np.zeros((K, K))
    for own in range(K):
        mates = [k for k in range(K) if k != own and groups[k] == groups[own]]
        mates = mates or [k for k in range(K) if k != own]
        expected[own, mates] = 0.3 / len(mates)
        expected[own, own] = 0.7
    np.testing.assert_allclose(ss.superclass_labels(groups, 0.3), expected, atol=1e-7)
    apart = np.array([0, 2**32, 0, 2**32, 0, 2**32, 2**32])  # equal in their lower 32 bits
    assert np.asarray(ss.superclass_labels(apart, 0.3))[0, 1] == 0
    one = ss.superclass_labels(np.zeros(K, np.uint8), 0.3)  # uniform smoothing over the others
    np.testing.assert_allclose(one, ss.uniform_labels(K, 0.3 * K / (K - 1)), atol=1e-7)
    found = jax.jit(ss.superclass_labels)(jnp.asarray(groups % 7, jnp.int32), 0.3)
    np.testing.assert_allclose(found, ss.superclass_labels(groups % 7, 0.3), atol=1e-7)


def test_distance_labels_are_those_of_making_better_mistakes() -> None:
    for beta in (0.5, 4, 30):
        expected = scipy.special.softmax(-beta * DISTANCE / DISTANCE.max(), axis=1)
        np.testing.assert_allclose(ss.distance_labels(DISTANCE, beta), expected, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.2, 0.4])
def test_the_nearest_others_are_those_of_similarity_aware_smoothing(temperature: float) -> None:
    """Softmax over all others, of which the k largest are kept and normalised again."""
    expected = np.zeros((K, K))
    for own in range(K):
        row = np.where(OTHERS[own], DISTANCE[own], np.inf)
        weights = scipy.special.softmax(-row / temperature)
        kept = np.argsort(-weights)[:5]
        expected[own, kept] = 0.1 * weights[kept] / weights[kept].sum()
        expected[own, own] = 0.9
    beta = DISTANCE.max() / temperature
    found = ss.distance_labels(DISTANCE, beta, epsilon=0.1, top_k=6, include_self=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_virtual_teacher_of_tf_kd_is_uniform_smoothing() -> None:
    """Of the authors' settings for 100 classes: two weights a row, so another epsilon, no more."""
    num_classes, own, temperature, alpha = 100, 0.99, 20, 0.95
    teacher = np.full((num_classes, num_classes), (1 - own) / (num_classes - 1))
    np.fill_diagonal(teacher, own)
    softened = scipy.special.softmax(teacher / temperature, axis=1)
    target = (1 - alpha) * np.eye(num_classes) + alpha * softened
    epsilon = num_classes * target[0, 1]
    assert epsilon == pytest.approx(0.9495, abs=1e-4)
    np.testing.assert_allclose(ss.uniform_labels(num_classes, epsilon), target, atol=1e-7)


NAN = np.where(OTHERS, DISTANCE, 0).copy()
NAN[2, 3] = np.nan
KEY = jax.random.key(0)


GROUPS = np.array([0, 0, 1])
REFUSED: dict[str, Any] = {
    "shuffled_labels: key must be one key of jax.random, got 3. Use jax.random.key(0).": (
        lambda: ss.shuffled_labels(TABLE, 3)  # type: ignore[arg-type]
    ),
    "permuted_labels: key must be one key of jax.random, got shape (2,).": (
        lambda: ss.permuted_labels(TABLE, jax.random.split(KEY))
    ),
    "shuffled_labels: every row of table must sum to 1, got ": (
        lambda: ss.shuffled_labels(DISTANCE, KEY)
    ),
    "shuffled_labels: table must have shape [K, K], got (2, 7).": (
        lambda: ss.shuffled_labels(TABLE[:2], KEY)
    ),
    "superclass_labels: superclasses must be integer class indices, got dtype float64. Give the": (
        lambda: ss.superclass_labels(np.array([0.0, 1]), 0.1)
    ),
    "superclass_labels: superclasses must have shape [K] with K >= 2, got (1, 2).": (
        lambda: ss.superclass_labels(np.array([[0, 1]]), 0.1)
    ),
    "superclasses must have shape [K] with K >= 2, got (1,).": (
        lambda: ss.superclass_labels(np.array([0]), 0.1)
    ),
    "superclass_labels: epsilon must be in [0, 1], got 1.5.": (
        lambda: ss.superclass_labels(GROUPS, 1.5)
    ),
    "be largest at its own class, got 0.4 there and 0.6 at another in row 0 (class 0). Use a": (
        lambda: ss.superclass_labels(GROUPS, 0.6)
    ),
    "distance_labels: distance must have shape [K, K], got (2, 7).": (
        lambda: ss.distance_labels(DISTANCE[:2], 1)
    ),
    "distance_labels: beta must be a finite number above 0, got 0. Larger is sharper; try 10.": (
        lambda: ss.distance_labels(DISTANCE, 0)
    ),
    "every distance must be finite and at least 0, got another in row 2 (class 2). A similarity": (
        lambda: ss.distance_labels(NAN, 1)
    ),
    "every distance must be finite and at least 0, got another in row 0": (
        lambda: ss.distance_labels(-DISTANCE, 1)
    ),
    "the distance of a class to itself must be 0, got 1 in row 0 (class 0).": (
        lambda: ss.distance_labels(np.eye(3), 1)
    ),
    "distance_labels: distance must have classes that are apart, got 0 everywhere. Use uniform": (
        lambda: ss.distance_labels(np.zeros((3, 3)), 1)
    ),
    "every label must be largest at its own class, got 0 there": (
        lambda: ss.distance_labels(DISTANCE, 1, include_self=False)
    ),
    "distance_labels: top_k must be an integer from 1 to 7 (the number of classes), got 8.": (
        lambda: ss.distance_labels(DISTANCE, 1, top_k=8)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_arguments(message: str) -> None:
    with pytest.raises(ss.InputError, match=re.escape(message)) as refused:
        REFUSED[message]()
    assert "\n" not in str(refused.value)


def test_tables_that_do_not_fit_are_refused_with_their_size(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2**20)
    message = "superclass_labels: a table [K, K] must fit into the memory of 0.0 GiB"
    with pytest.raises(ss.InputError, match=re.escape(message)):
        ss.superclass_labels(np.zeros(600, int), 0.1)
