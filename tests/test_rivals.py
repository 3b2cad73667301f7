"""Rivals' objectives against their papers' formulas in float64: losses and gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from compilations import count_compilations

import simsmooth_jax as ss
from simsmooth_jax.method.objectives import Batch, Objective

K, B, N = 5, 12, 20
RNG = np.random.default_rng(0)
LOGITS: Any = (3 * RNG.normal(size=(B, K))).astype(np.float32)
LOGITS[3, 1] = LOGITS[3, 2]  # a tie, for ranks
LOGITS[4, LOGITS[4].argmax()] += 12  # logits further than a margin of 10 apart
LABELS = RNG.integers(0, K - 1, B)  # none of the last class
EXAMPLES = RNG.permutation(N)[:B]
TEACHER = (2 * RNG.normal(size=(N, K))).astype(np.float32)
MATRIX = RNG.normal(size=(K, K)).astype(np.float32)
SEEN = RNG.dirichlet(np.ones(K), N).astype(np.float32)
SEEN[EXAMPLES[0]] = 0  # not yet
HARD = np.eye(K)[LABELS]
STEP = 7  # of epoch 3, in epochs of 2 steps
objectives = ss.objectives
BATCH = Batch(jnp.asarray(LABELS), jnp.asarray(STEP), jnp.asarray(EXAMPLES))


def cross_entropy(target: np.ndarray, z: np.ndarray) -> np.ndarray:
    return -(target * scipy.special.log_softmax(z, axis=1)).sum(axis=1)


def lspp_target(matrix: np.ndarray, strength: float) -> np.ndarray:
    """Row y, class by class: the softmax leaves the own class out."""
    table = np.zeros((K, K))
    for own in range(K):
        others = [k for k in range(K) if k != own]
        table[own, others] = strength * scipy.special.softmax(matrix[own, others].astype(float))
        table[own, own] = 1 - strength
    return table


def lspp_matrix_half(matrix: np.ndarray, z: np.ndarray, strength: float = 0.1) -> np.ndarray:
    p = scipy.special.softmax(z, axis=1)
    return -(p * np.log(lspp_target(matrix, strength)[LABELS])).sum(axis=1) / 2


def lspp_network_half(z: np.ndarray) -> np.ndarray:
    return cross_entropy(lspp_target(MATRIX, 0.1)[LABELS], z) / 2


def distilled(z: np.ndarray) -> np.ndarray:
    teacher = scipy.special.softmax(TEACHER[EXAMPLES].astype(float) / 2, axis=1)
    return cross_entropy(0.7 * HARD + 0.3 * teacher, z)


def progressive(z: np.ndarray) -> np.ndarray:
    weight = 0.8 * (3 + 1) / 10
    last = np.where(SEEN[EXAMPLES].any(axis=1, keepdims=True), SEEN[EXAMPLES].astype(float), HARD)
    return cross_entropy((1 - weight) * HARD + weight * last, z)


def zipf(z: np.ndarray) -> np.ndarray:
    ranks = scipy.stats.rankdata(-LOGITS, method="min", axis=1)  # constants, with the target
    loss = cross_entropy(HARD, z)
    for i, own in enumerate(LABELS):
        others = [k for k in range(K) if k != own]
        r = 1 / ranks[i, others] ** 1.5
        p = scipy.special.softmax(z[i, others])
        loss[i] += 0.2 * scipy.stats.entropy(r, p)  # which normalises r
    return loss


def margin(z: np.ndarray) -> np.ndarray:
    distance = z.max(axis=1, keepdims=True) - z
    return cross_entropy(HARD, z) + 0.3 * np.where(distance > 10, distance - 10, 0).mean(axis=1)


def conditional(z: np.ndarray) -> np.ndarray:
    """Which logit is the largest is a constant, and for the others its size is, too."""
    loss = cross_entropy(HARD, z)
    for i, row in enumerate(LOGITS.astype(float)):
        top = row.argmax()
        far = [max(row[top] - z[i, k] - 2, 0) ** 2 for k in range(K) if k != top]
        loss[i] += 0.3 * (max(z[i, top] - 2, 0) ** 2 + 0.1 * sum(far) / (K - 1))
    return loss


class Case(NamedTuple):
    objective: Objective
    state: Any
    loss: Callable[[np.ndarray], np.ndarray]
    differentiated: Callable[[np.ndarray], np.ndarray]  # the part that has a gradient in z


CASES = {
    "lspp": Case(
        objectives.label_smoothing_plus_plus(K),
        MATRIX,
        lambda z: lspp_network_half(z) + lspp_matrix_half(MATRIX, z),
        lspp_network_half,
    ),
    "distillation": Case(
        objectives.self_distillation(TEACHER, 0.3, temperature=2), (), distilled, distilled
    ),
    "pskd": Case(
        objectives.progressive_self_distillation(N, K, steps_per_epoch=2, epochs=10),
        SEEN,
        progressive,
        progressive,
    ),
    "zipf": Case(objectives.zipf_smoothing(0.2, power=1.5), (), zipf, zipf),
    "mbls": Case(objectives.margin_smoothing(0.3), (), margin, margin),
    "acls": Case(objectives.conditional_smoothing(0.3, margin=2), (), conditional, conditional),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_and_their_gradients_are_the_formulas(name: str) -> None:
    objective, state, loss, differentiated = CASES[name]

    @jax.jit
    def value_and_gradient(logits: jax.Array) -> Any:
        function = lambda z: objective.loss(objective.data, state, z, BATCH)  # noqa: E731
        return function(logits), jax.grad(lambda z: function(z).sum())(logits)

    value, gradient = value_and_gradient(LOGITS)
    z, step = LOGITS.astype(np.float64), 1e-5
    np.testing.assert_allclose(value, loss(z), rtol=1e-5, atol=1e-5)
    shifts = step * np.eye(K)
    differences = [
        (differentiated(z + shift[None]) - differentiated(z - shift[None])) / (2 * step)
        for shift in shifts
    ]
    assert np.abs(differences).max() > 0.1
    np.testing.assert_allclose(gradient, np.stack(differences, axis=1), atol=1e-5)


def test_lspp_begins_as_uniform_smoothing_over_the_others() -> None:
    objective = CASES["lspp"].objective
    found = objective.loss(objective.data, objective.init(), LOGITS, BATCH)
    p = scipy.special.softmax(LOGITS.astype(float), axis=1)
    table = np.asarray(ss.uniform_labels(K, 0.1 * K / (K - 1)), np.float64)
    reverse = -(p * np.log(table[LABELS])).sum(axis=1)
    expected = (cross_entropy(table[LABELS], LOGITS.astype(float)) + reverse) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_acls_by_hand() -> None:
    """The penalty and its gradient at the authors' numbers: size, distances, ties."""
    far, tied, low = [25, 3, 14, 15], [12, 12, 0, 2], [5, -17, -6, -5]  # low is far, 20 less
    objective = objectives.conditional_smoothing()
    batch = Batch(jnp.array([0, 0, 0]), jnp.array(0))

    def penalty(logits: jax.Array) -> jax.Array:
        hard = -jax.nn.log_softmax(logits)[:, 0]
        return objective.loss(objective.data, (), logits, batch) - hard

    logits = jnp.array([far, tied, low], jnp.float32)
    mean = 0.1 / 3  # of three others, at .1
    expected = [15**2 + mean * (12**2 + 1), 2 * 2**2 + mean * 2**2, mean * (12**2 + 1)]
    np.testing.assert_allclose(penalty(logits), 0.1 * np.array(expected), rtol=1e-5)
    slopes = [
        [15, -12 * mean, -1 * mean, 0],
        [2, 2, -2 * mean, 0],
        [0, -12 * mean, -1 * mean, 0],
    ]
    gradient = jax.grad(lambda z: penalty(z).sum())(logits)
    np.testing.assert_allclose(gradient, 0.2 * np.array(slopes), atol=1e-6)


KINDS: dict[str, list[Objective]] = {
    "lspp": [
        objectives.label_smoothing_plus_plus(K, s, learning_rate=r)
        for s, r in ((0.1, 1), (0.2, 0.5))
    ],
    "distillation": [
        objectives.self_distillation(TEACHER, s, temperature=t) for s, t in ((0, 1), (1, 2.5))
    ],
    "pskd": [
        objectives.progressive_self_distillation(N, K, s, steps_per_epoch=n, epochs=e)
        for s, n, e in ((0.5, 2, 9), (1, 3, 8))
    ],
    "zipf": [objectives.zipf_smoothing(s, power=p) for s, p in ((0.1, 1), (1, 2.5))],
    "mbls": [objectives.margin_smoothing(s, margin=m) for s, m in ((0.1, 1), (1, 2.5))],
    "acls": [objectives.conditional_smoothing(s, margin=m) for s, m in ((0.1, 1), (1, 2.5))],
}


@pytest.mark.parametrize("name", KINDS)
def test_strengths_share_one_program(name: str) -> None:
    def rival_step(data: Any, state: Any, loss: Any, update: Any) -> Any:
        return loss(data, state, LOGITS, BATCH), update(data, state, LOGITS, BATCH)

    step = jax.jit(rival_step, static_argnames=("loss", "update"))
    with count_compilations("rival_step") as compilations:
        found = [step(o.data, CASES[name].state, o.loss, o.update)[0] for o in KINDS[name]]
    assert len(compilations) == 1
    assert np.abs(found[0] - found[1]).max() > 0.01
