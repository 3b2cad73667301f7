"""The rule neighbours where it is used: searches, derivatives, online labels; what is refused."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import count_compilations
from test_perplexity import EPSILON, K, oracle, similarities

import simsmooth_jax as ss

pytestmark = pytest.mark.usefixtures("no_rank_promotion")


def labels_of(similarity: Any, perplexity: Any) -> Any:
    return ss.relation_labels(similarity, "neighbours", perplexity=perplexity, epsilon=EPSILON)


def test_a_search_over_perplexities_is_one_program():
    similarity, asked = similarities(4, 11), np.linspace(1.5, 9, 5, dtype=np.float32)
    with count_compilations("_relation_program") as compiled:
        one_by_one = np.stack([labels_of(similarity, p) for p in asked])
    assert len(compiled) == 1  # this shape is of this test alone
    together = jax.jit(jax.vmap(labels_of, in_axes=(None, 0)))(similarity, asked)
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-6)


def test_traced_perplexities_out_of_range_are_the_nearest_there_are():
    found = jax.vmap(labels_of, in_axes=(None, 0))(similarities(5), jnp.array([11.0, 50.0, 0.5]))
    uniform = EPSILON * (1 - np.eye(K)) / (K - 1) + (1 - EPSILON) * np.eye(K)
    np.testing.assert_allclose(found[:2], [uniform] * 2, atol=3e-4)
    np.testing.assert_allclose(np.sort(found[2])[:, -2:], [[0.3, 0.7]] * K, atol=1e-6)


def test_derivatives_are_those_of_the_solution():
    """Against differences of float64 roots, in both modes; and of a derivative again."""
    similarity = similarities(6).astype(np.float64) * 0.9
    direction = np.random.default_rng(0).normal(size=(K, K))
    cotangent = np.random.default_rng(1).normal(size=(K, K))

    def total(s: Any, p: Any) -> Any:
        return (labels_of(s, p) * np.float32(cotangent)).sum()

    def expected(s: Any, p: float) -> float:
        return float((EPSILON * oracle(s, p) * cotangent).sum())

    of_rows, of_number = jax.jit(jax.grad(total, (0, 1)))(np.float32(similarity), jnp.float32(5))
    step = 1e-5
    moved = [expected(similarity + sign * step * direction, 5) for sign in (1, -1)]
    assert np.vdot(of_rows, direction) == pytest.approx((moved[0] - moved[1]) / 2 / step, rel=1e-3)
    sharper, same, softer = (expected(similarity, 5 + change) for change in (-0.01, 0, 0.01))
    assert of_number == pytest.approx((softer - sharper) / 0.02, rel=1e-3)
    twice = jax.jit(jax.grad(jax.grad(total, 1), 1))(np.float32(similarity), jnp.float32(5))
    assert twice == pytest.approx((softer - 2 * same + sharper) / 1e-4, rel=1e-2)
    tangents = (np.float32(direction), jnp.float32(1))
    primals = (np.float32(similarity), jnp.float32(5))
    forward = jax.jit(lambda p, t: jax.jvp(total, p, t))(primals, tangents)[1]
    assert forward == pytest.approx(float(np.vdot(of_rows, direction) + of_number), rel=1e-4)


def test_rows_that_cannot_have_it_have_finite_derivatives():
    even = (0.5 + np.eye(K) / 2).astype(np.float32)
    gradient = jax.grad(lambda s: (labels_of(s, 3.0) ** 2).sum())(even)
    assert np.isfinite(gradient).all()
    assert jax.grad(lambda p: labels_of(even, p)[0, 1])(3.0) == 0


def test_online_labels_have_it_and_keep_the_own_class_on_top():
    kernel = np.random.default_rng(7).normal(size=(6, K)).astype(np.float32)
    params = {"head": {"kernel": jnp.asarray(kernel)}}
    similarity = np.asarray(ss.cosine_similarity(kernel))
    for epsilon, perplexity in ((0.3, 4.0), (0.7, 1.5)):
        objective = ss.objectives.online_relation_labels(
            K, "neighbours", warmup_steps=2, epsilon=epsilon, perplexity=perplexity
        )
        table = objective.refresh(objective.data, objective.init(), params, 1)
        np.testing.assert_array_equal(table, np.eye(K))
        table = jax.jit(objective.refresh)(objective.data, table, params, 2)
        soft = (1 - epsilon) * np.eye(K) + epsilon * oracle(similarity, perplexity)
        on_top = np.diag(soft) >= soft.max(axis=1)
        assert on_top.all() == (epsilon == 0.3)
        np.testing.assert_allclose(table, np.where(on_top[:, None], soft, np.eye(K)), atol=1e-5)


def near(**options: Any) -> Any:
    return ss.relation_labels(similarities(8), **{"rule": "neighbours", "epsilon": 0.3, **options})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: near(),
            "perplexity must be given with rule 'neighbours' and with no other, got perplexity="
            "None with rule 'neighbours'. Set both, as 'neighbours' with 3 for 10 classes or 20 "
            "for 100, or neither.",
        ),
        (lambda: near(rule="clip", perplexity=2), "no other, got perplexity=2 with rule 'clip'."),
        (lambda: near(perplexity=2, temperature=1), "got temperature=1 with rule 'neighbours'."),
        (
            lambda: near(perplexity=11),
            "perplexity must be a number from 1 to below 11 (the other classes in a row), got 11. "
            "Smaller is sharper; try a fifth of them.",
        ),
        (lambda: near(perplexity=0.9), "from 1 to below 11 (the other classes in a row), got 0.9."),
        (lambda: near(perplexity=np.nan), "(the other classes in a row), got nan."),
        (lambda: near(perplexity="a"), "(the other classes in a row), got 'a'."),
        (lambda: near(perplexity=3, top_k=4), "from 1 to below 3 (the other classes in a row)"),
        (
            lambda: near(perplexity=1, top_k=2),
            "perplexity must be over two other classes or more in a row, got 1. Keep more classes.",
        ),
        (
            lambda: near(perplexity=2, epsilon=1),
            "at another in row 0 (class 0). Set a smaller epsilon, as 0.3: a row of this rule has "
            "no own class.",
        ),
        (
            lambda: ss.relation_labels(np.eye(2), "neighbours", perplexity=1),
            "or more in a row, got",
        ),
        (
            lambda: ss.top_k_labels(np.eye(9), 5, "neighbours", perplexity=4),
            "top_k_labels: perplexity must be a number from 1 to below 4 (the other classes in",
        ),
        (
            lambda: ss.diagnose(np.eye(9), perplexity=8),
            "diagnose: perplexity must be a number from",
        ),
        (
            lambda: ss.objectives.online_relation_labels(
                K, "neighbours", perplexity=3, warmup_steps=0
            ),
            "online_relation_labels: epsilon must be below 1 with rule 'neighbours', which leaves "
            "the own class out, got 1. Try 0.1.",
        ),
    ],
)
def test_refuses(call: Any, message: str) -> None:
    with pytest.raises(ss.InputError, match=re.escape(message)) as refused:
        call()
    assert "\n" not in str(refused.value)
