"""Objectives over several steps against NumPy in float64, and what they refuse."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import count_compilations

import simsmooth_jax as ss
from simsmooth_jax.machine import memory
from simsmooth_jax.method.objectives import Batch, Objective

K, B = 5, 12
RANDOM = np.random.RandomState(0)


def batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits and labels: repeated labels, and none of class 4."""
    return [(3 * RANDOM.randn(B, K).astype("f"), RANDOM.randint(0, 4, B)) for _ in range(count)]


def loss_of(objective: Objective, state: Any, logits: Any, labels: Any, step: int = 0) -> Any:
    batch = Batch(jnp.asarray(labels), jnp.asarray(step))
    return jax.jit(objective.loss)(objective.data, state, logits, batch)


def update(objective: Objective, state: Any, logits: Any, labels: Any, step: int = 0) -> Any:
    batch = Batch(jnp.asarray(labels), jnp.asarray(step))
    return jax.jit(objective.update)(objective.data, state, logits, batch)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    z = logits.astype(np.float64)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def test_a_table_is_an_objective_without_a_state() -> None:
    table = RANDOM.dirichlet(np.ones(K), K).astype("f")
    objective = ss.objectives.label_table(table)
    ((logits, labels),) = batches(1)
    expected = -(table.astype(np.float64)[labels] * log_softmax(logits)).sum(axis=1)
    np.testing.assert_allclose(loss_of(objective, (), logits, labels), expected, rtol=1e-5)
    assert objective.init() == ()
    assert update(objective, (), logits, labels) == ()


def test_max_suppression_is_its_formula_and_not_uniform_smoothing() -> None:
    ((logits, labels),) = batches(1)
    objective = ss.objectives.max_suppression(0.3)
    z = logits.astype(np.float64)
    hard = -log_softmax(logits)[np.arange(B), labels]
    expected = hard + 0.3 * (z.max(axis=1) - z.mean(axis=1))
    np.testing.assert_allclose(loss_of(objective, (), logits, labels), expected, rtol=1e-5)
    # Uniform smoothing is the same with the own class in the place of the largest.
    smoothed = optax.softmax_cross_entropy(logits, np.asarray(ss.uniform_labels(K, 0.3))[labels])
    own_logits = z[np.arange(B), labels]
    np.testing.assert_allclose(smoothed, hard + 0.3 * (own_logits - z.mean(axis=1)), rtol=1e-5)


def test_online_label_smoothing_is_the_mean_of_right_predictions() -> None:
    objective = ss.objectives.online_label_smoothing(K, 0.4, warmup_steps=6)
    state, soft = objective.init(), np.eye(K)
    step = 0
    for period in range(3):
        sums, counts = np.zeros((K, K)), np.zeros(K)
        for logits, labels in batches(4):
            log_p = log_softmax(logits)
            hard = -log_p[np.arange(B), labels]
            expected = 0.6 * hard - 0.4 * (soft[labels] * log_p).sum(axis=1)
            found = loss_of(objective, state, logits, labels, step)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            state = update(objective, state, logits, labels, step)
            for row, label in zip(log_p, labels, strict=True):
                if row.argmax() == label:
                    sums[label] += np.exp(row)
                    counts[label] += 1
            step += 1
        state = jax.jit(objective.refresh)(objective.data, state, {}, step)
        if step >= 6:  # the first refresh is in the warm-up
            soft = np.stack(
                [s / n if n else np.full(K, 1 / K) for s, n in zip(sums, counts, strict=True)]
            )
            assert counts.max() > 1
            assert counts[4] == 0
        np.testing.assert_allclose(state.table, soft, rtol=1e-5, atol=1e-7, err_msg=str(period))
        assert not state.sums.any()
        assert not state.counts.any()


@pytest.mark.parametrize(
    ("rule", "temperature"), [("clip", None), ("shift", None), ("softmax", 0.3)]
)
def test_online_relation_labels_follow_the_head(rule: Any, temperature: float | None) -> None:
    objective = ss.objectives.online_relation_labels(
        K, rule, warmup_steps=2, epsilon=0.7, temperature=temperature
    )
    state = objective.init()
    for step in (1, 2, 3):
        kernel = RANDOM.randn(3, K)
        params = {"other": {"kernel": jnp.ones((2, 3))}, "head": {"kernel": jnp.asarray(kernel)}}
        state = jax.jit(objective.refresh)(objective.data, state, params, step)
        unit = kernel / np.linalg.norm(kernel, axis=0)
        cosines = unit.T @ unit
        mass = {
            "clip": np.maximum(cosines, 0),
            "shift": 1 + cosines,
            "softmax": np.exp(cosines / (temperature or 1)),
        }[rule]
        relation = mass / mass.sum(axis=1, keepdims=True)
        expected = np.eye(K) if step < 2 else 0.3 * np.eye(K) + 0.7 * relation
        np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-6)
        ((logits, labels),) = batches(1)
        found = loss_of(objective, state, logits, labels, step)
        np.testing.assert_allclose(
            found, -(expected[labels] * log_softmax(logits)).sum(axis=1), rtol=1e-5, atol=1e-6
        )
        assert update(objective, state, logits, labels) is not None


def test_rows_that_are_not_finite_are_hard_labels() -> None:
    objective = ss.objectives.online_relation_labels(K, "softmax", warmup_steps=0, temperature=0.2)
    kernel = RANDOM.randn(3, K).astype("f")
    kernel[1, 2] = np.nan
    state = objective.refresh(objective.data, objective.init(), {"head": {"kernel": kernel}}, 1)
    assert (np.asarray(state) == np.eye(K)).all()  # every row has a cosine to class 2
    zeros = {"head": {"kernel": np.zeros((3, K), "f")}}
    clip = ss.objectives.online_relation_labels(K, warmup_steps=0)
    assert (np.asarray(clip.refresh(clip.data, clip.init(), zeros, 1)) == np.eye(K)).all()


def test_strengths_share_one_program() -> None:
    ((logits, labels),) = batches(1)
    batch = Batch(jnp.asarray(labels), jnp.asarray(0))
    kinds = {
        "table": [ss.objectives.label_table(ss.uniform_labels(K, e)) for e in (0.1, 0.2)],
        "maxsup": [ss.objectives.max_suppression(s) for s in (0.1, 0.2)],
        "ols": [
            ss.objectives.online_label_smoothing(K, strength, warmup_steps=steps)
            for strength, steps in ((0, 1), (1, 2))
        ],
        "online": [
            ss.objectives.online_relation_labels(
                K, "softmax", warmup_steps=w, epsilon=e, temperature=t
            )
            for w, e, t in ((1, 0.1, 0.2), (2, 0.2, 0.3))
        ],
    }

    def objective_step(objective: Any, state: Any, loss: Any, update: Any) -> Any:
        return loss(objective, state, logits, batch), update(objective, state, logits, batch)

    step = jax.jit(objective_step, static_argnames=("loss", "update"))
    for name, objectives in kinds.items():
        with count_compilations("objective_step") as compilations:
            found = [step(o.data, o.init(), loss=o.loss, update=o.update)[0] for o in objectives]
        assert len(compilations) == 1, name
        if name in ("table", "maxsup"):
            assert (found[0] != found[1]).all()


def test_states_are_fresh_arrays() -> None:
    for objective in (
        ss.objectives.online_label_smoothing(K),
        ss.objectives.online_relation_labels(K, warmup_steps=1),
    ):
        donate = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
        donate(objective.init())
        jax.block_until_ready(objective.init())


def test_labels_out_of_range_cost_nan_and_are_not_counted() -> None:
    logits = np.eye(2, K, dtype="f")
    labels = np.array([0, K])
    for objective in (ss.objectives.max_suppression(), ss.objectives.online_label_smoothing(K)):
        found = np.asarray(loss_of(objective, objective.init(), logits, labels))
        assert np.isfinite(found).tolist() == [True, False]
    ols = ss.objectives.online_label_smoothing(K)
    assert update(ols, ols.init(), logits, labels).counts.tolist() == [1, 0, 0, 0, 0]


OBJECTIVES = ss.objectives


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: OBJECTIVES.max_suppression(1.5),
            "max_suppression: strength must be in .0, 1., got",
        ),
        (
            lambda: OBJECTIVES.online_label_smoothing(1),
            "num_classes must be an integer >= 2, got 1",
        ),
        (lambda: OBJECTIVES.online_label_smoothing(3, -1), "strength must be in .0, 1., got -1"),
        (
            lambda: OBJECTIVES.online_label_smoothing(3, warmup_steps=-1),
            "warmup_steps must be an integer >= 0, got -1. 0 is no warm-up.",
        ),
        (
            lambda: OBJECTIVES.online_label_smoothing(3, refresh_steps=0),
            "refresh_steps must be an integer >= 1, got 0. Leave it out for the end of each epoch.",
        ),
        (
            lambda: OBJECTIVES.online_relation_labels(3, "literal", warmup_steps=1),  # type: ignore[arg-type]
            "online_relation_labels: rule must be well-posed for every head, got 'literal'.* Use",
        ),
        (
            lambda: OBJECTIVES.online_relation_labels(3, "softmax", warmup_steps=1),
            "temperature must be given with rule 'softmax' and with no other, got temperature=None",
        ),
        (
            lambda: OBJECTIVES.online_relation_labels(3, warmup_steps=1, epsilon=2),
            "online_relation_labels: epsilon must be in .0, 1., got 2",
        ),
    ],
)
def test_refused_arguments(make: Any, message: str) -> None:
    with pytest.raises(ss.InputError, match=message):
        make()


def test_refused_heads() -> None:
    objective = ss.objectives.online_relation_labels(K, warmup_steps=0)
    for params, message in (
        ({"head": {"bias": jnp.ones(K)}}, "head_kernel: params must hold a leaf named 'kernel'"),
        ({"head": {"kernel": jnp.ones((2, K + 1))}}, f"num_classes={K}"),
    ):
        with pytest.raises(ss.InputError, match=message):
            objective.refresh(objective.data, objective.init(), params, 1)


def test_states_that_do_not_fit_are_refused_with_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    message = (
        "2 tables .K, K. must fit into the memory of 1.0 GiB, got 1.5 GiB for K = 14190 classes"
    )
    with pytest.raises(ss.InputError, match=message):
        ss.objectives.online_label_smoothing(14190)
    with pytest.raises(ss.InputError, match="online_relation_labels: a table .K, K. must fit into"):
        ss.objectives.online_relation_labels(17000, warmup_steps=1)
    ss.objectives.online_label_smoothing(11585)  # two tables of 0.4999 GiB
