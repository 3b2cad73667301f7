"""The arms of a study: rows that are what their names say, against NumPy in float64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from pages import DOCS

import simsmooth_jax as ss
from simsmooth_jax.errors import InputError
from simsmooth_jax.study.arms import Plan
from simsmooth_jax.study.comparison.entrants import ENTRANT, ENTRANTS, Entrant, chosen
from simsmooth_jax.study.comparison.first_models import FirstModel
from simsmooth_jax.study.comparison.points import WEIGHT_DECAY, Point, points_of
from simsmooth_jax.study.comparison.relation_rows import Seen

K, D, N = 6, 4, 60
RANDOM = np.random.RandomState(3)
KERNEL = RANDOM.randn(D, K) + 0.3
FEATURES = RANDOM.randn(D, K) + 2
LOGITS = 2 * RANDOM.randn(N, K)
LABELS = np.arange(N) % K
TREE = np.array([0, 0, 0, 1, 1, 2])
MODEL = FirstModel(KERNEL.astype("f"), FEATURES.astype("f"), LOGITS.astype("f"), LABELS)
SEEN = Seen(Plan(K, N, 10, 4, 0.0), 7, TREE, MODEL)
OWN = np.eye(K)
TABLES = [entrant for entrant in ENTRANTS if entrant.rows is not None]


def cosines(vectors: np.ndarray, centred: bool = False) -> np.ndarray:
    vectors = vectors - vectors.mean(axis=1, keepdims=True) if centred else vectors
    unit = vectors / np.linalg.norm(vectors, axis=0)
    return unit.T @ unit


def normalised(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(axis=1, keepdims=True)


def means(temperature: float) -> np.ndarray:
    """The mean softened prediction for each class, a row each."""
    softened = scipy.special.softmax(LOGITS / temperature, axis=1)
    return np.stack([softened[label == LABELS].mean(axis=0) for label in range(K)])


def of_perplexity(similarity: np.ndarray, perplexity: float) -> np.ndarray:
    """Softmax over the others at the inverse temperature that bisection finds for each row."""
    rows = np.zeros((K, K))
    for i in range(K):
        others = np.delete(similarity[i], i)

        def gap(beta: float, others: np.ndarray = others) -> float:
            row = scipy.special.softmax(beta * others)
            return scipy.special.entr(row).sum() - np.log(perplexity)

        beta = scipy.optimize.brentq(gap, 1e-6, 1e4)
        rows[i, np.arange(K) != i] = scipy.special.softmax(beta * others)  # type: ignore[operator]
    return rows


def of_centroids(temperature: float) -> np.ndarray:
    distance = np.linalg.norm(FEATURES[:, :, None] - FEATURES[:, None], axis=0)
    distance /= distance.mean()
    rows = np.zeros((K, K))
    for i in range(K):
        nearest = np.argsort(distance[i])[1:6]
        rows[i, nearest] = scipy.special.softmax(-distance[i, nearest] / temperature)
    return rows


DISTANCE = np.where(TREE[:, None] == TREE, 1, 2) * (1 - OWN)
MATES = (TREE[:, None] == TREE) * (1 - OWN)
MATES[5] = 1 - OWN[5]  # alone in its superclass
BY_HAND: dict[str, Callable[[float], np.ndarray]] = {
    "uniform": lambda _: np.full((K, K), 1 / K),
    "patent": lambda _: normalised(np.maximum(cosines(KERNEL), 0)),
    "clip": lambda _: normalised(np.maximum(cosines(KERNEL), 0)),
    "shift": lambda _: normalised(1 + cosines(KERNEL)),
    "softmax": lambda t: scipy.special.softmax(cosines(KERNEL) / t, axis=1),
    "neighbours": lambda p: of_perplexity(cosines(KERNEL), p),
    "neighbours-centred": lambda p: of_perplexity(cosines(KERNEL, True), p),
    "features-neighbours": lambda p: of_perplexity(cosines(FEATURES, True), p),
    "predictions-neighbours": lambda p: of_perplexity(cosines(means(1).T), p),
    "predictions": lambda t: normalised(means(t) * (1 - OWN)),
    "predictions-whole": means,
    "ssa-ls": of_centroids,
    "superclass": lambda _: normalised(MATES),
    "hierarchy": lambda b: scipy.special.softmax(-b * DISTANCE / 2, axis=1),
}
CONTROLS = {
    "neighbours-shuffled": "neighbours",
    "neighbours-permuted": "neighbours",
    "predictions-shuffled": "predictions",
}


def rows_of(name: str, sharpness: float | None, seen: Seen = SEEN) -> np.ndarray:
    make: Any = ENTRANT[name].rows
    return np.asarray(make(seen, sharpness), np.float64)


def test_every_table_has_an_oracle() -> None:
    assert {entrant.name for entrant in TABLES} == BY_HAND.keys() | CONTROLS.keys()


@pytest.mark.parametrize("name", BY_HAND)
def test_rows_are_what_the_name_says(name: str) -> None:
    for point in points_of(ENTRANT[name].space(K), 3, WEIGHT_DECAY):
        expected = BY_HAND[name](point.sharpness or 0.0)
        assert_allclose(expected.sum(axis=1), 1)
        assert_allclose(rows_of(name, point.sharpness), expected, atol=2e-5)


@pytest.mark.parametrize(("name", "of"), CONTROLS.items())
def test_controls_have_the_weights_on_wrong_classes(name: str, of: str) -> None:
    found, original = rows_of(name, 2.5), rows_of(of, 2.5)
    other_seed = rows_of(name, 2.5, SEEN._replace(seed=8))
    assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert_array_equal(np.diag(found), 0)
    if "shuffled" in name:
        assert_array_equal(np.sort(found, axis=1), np.sort(original, axis=1))
    else:
        assert_array_equal(np.sort(found, axis=None), np.sort(original, axis=None))
    assert np.abs(found - original).max() > 0.01
    assert np.abs(found - other_seed).max() > 0.01


@pytest.mark.parametrize("entrant", TABLES, ids=lambda entrant: entrant.name)
def test_tables_are_mixed_as_far_as_the_own_class_stays_on_top(entrant: Entrant) -> None:
    for strength in (0.0, 0.3, 0.9, 1.0):
        (point,) = points_of(entrant.space(K), 1, WEIGHT_DECAY)
        objective, found, limit = entrant.made(SEEN, point._replace(strength=strength))
        assert not objective.unmixed
        assert not entrant.unmixed
        assert found is not None
        assert limit is not None
        table = np.asarray(objective.data.to_dense(), np.float64)
        rows = rows_of(entrant.name, point.sharpness)
        assert found == min(strength, limit)
        assert_allclose(table, (1 - found) * OWN + found * rows, atol=1e-6)
        assert_allclose(table.sum(axis=1), 1, atol=1e-5)
        others = (table - 9 * OWN).max(axis=1)
        assert (np.diag(table) >= others - 1e-6).all()
        beyond = (1 - limit - 0.01) * OWN + (limit + 0.01) * rows
        is_lost = (np.diag(beyond) < (beyond - 9 * OWN).max(axis=1)).any()
        assert is_lost or limit == 1


PUBLIC: dict[str, Callable[[float], Any]] = {
    "onehot": lambda _: ss.objectives.label_table(ss.onehot_labels(K)),
    "ols": lambda s: ss.objectives.online_label_smoothing(K, s),
    "online": lambda s: ss.objectives.online_relation_labels(K, epsilon=s, warmup_steps=10),
    "maxsup": ss.objectives.max_suppression,
    "lspp": lambda s: ss.objectives.label_smoothing_plus_plus(K, s),
    "zipf": ss.objectives.zipf_smoothing,
    "mbls": ss.objectives.margin_smoothing,
    "acls": ss.objectives.conditional_smoothing,
    "pskd": lambda s: ss.objectives.progressive_self_distillation(
        N, K, s, steps_per_epoch=10, epochs=4
    ),
    "self-distillation": lambda s: ss.objectives.self_distillation(
        LOGITS.astype("f"), s, temperature=2.5
    ),
}


@pytest.mark.parametrize("entrant", [e for e in ENTRANTS if e.rows is None], ids=lambda e: e.name)
def test_other_objectives_are_the_public_ones_of_that_strength(entrant: Entrant) -> None:
    objective, strength, limit = entrant.made(SEEN, Point(1e-3, 0.37, 2.5))
    make = PUBLIC[entrant.tuned_as or entrant.name.removesuffix("-longer")]
    expected = make(0.37)
    assert (strength, limit) == (0.37, None)
    assert entrant.unmixed == objective.unmixed == expected.unmixed
    batch = ss.objectives.Batch(jnp.array([0, 3]), jnp.array(30), jnp.array([5, 9]))
    losses = [
        np.asarray(one.loss(one.data, one.init(), jnp.float32(LOGITS[:2]), batch))
        for one in (objective, expected)
    ]
    assert_array_equal(losses[0], (2 if entrant.name == "lspp" else 1) * losses[1])
    numbers = [jax.tree.leaves(one.data) for one in (objective, expected, make(0.36))]
    jax.tree.map(assert_array_equal, *numbers[:2])
    pairs = zip(*numbers[1:], strict=True)
    assert "onehot" in entrant.name or not all(np.array_equal(a, b) for a, b in pairs)


def test_label_smoothing_plus_plus_has_the_rate_of_the_others() -> None:
    """From C = 0 on its gradient is that of uniform labels over the others, in NumPy float64."""
    strength, labels = 0.37, np.array([0, 3])
    objective, other = (
        ENTRANT["lspp"].made(SEEN, Point(decay, strength, None)).objective for decay in (1e-3, 2e-3)
    )
    assert objective.loss is other.loss  # so that all points share a compiled step
    batch = ss.objectives.Batch(jnp.asarray(labels), jnp.array(30), jnp.array([5, 9]))

    def total(logits: jax.Array) -> jax.Array:
        return objective.loss(objective.data, objective.init(), logits, batch).sum()

    labelled = (1 - strength) * OWN + strength * (1 - OWN) / (K - 1)
    expected = scipy.special.softmax(LOGITS[:2], axis=1) - labelled[labels]
    assert_allclose(jax.grad(total)(jnp.float32(LOGITS[:2])), expected, atol=1e-6)


def test_arms_are_chosen_in_their_order_and_refused_by_name() -> None:
    found = chosen(("clip", "uniform", "onehot"), has_superclasses=False)
    assert [entrant.name for entrant in found] == ["onehot", "uniform", "clip"]
    listed = ", ".join(ENTRANT)
    for names, text in (
        (("onehot", "clap"), f"`arms` must be of {listed}, got 'clap'. See: docs/study.md"),
        (
            ("onehot", "superclass"),
            "`arms` with superclass must be given with superclasses, got none. Add "
            "`superclasses=FILE`.",
        ),
        (
            ("clip", "uniform"),
            "`arms` must be onehot and others, each once, got clip uniform. As in: onehot uniform "
            "neighbours predictions.",
        ),
    ):
        with pytest.raises(InputError) as error:
            chosen(names, has_superclasses=False)
        assert str(error.value) == text


def test_the_page_has_every_arm_and_what_it_needs() -> None:
    table = (DOCS / "study.md").read_text().split("| `--arms` |")[1].split("\n\n")[0]
    listed = {}
    for row in table.splitlines()[2:]:
        names, _, needs, strength, sharpness = (cell.strip() for cell in row.strip("|").split("|"))
        for name in names.split(", "):
            listed[name.strip("`")] = needs, bool(strength), bool(sharpness)
    needed = {(): "", ("first",): "first", ("superclasses",): "tree"}
    spaces = {entrant.name: entrant.space(10) for entrant in ENTRANTS}
    assert listed == {
        entrant.name: (
            needed[entrant.needs],
            isinstance(spaces[entrant.name].strength, tuple),
            isinstance(spaces[entrant.name].sharpness, tuple),
        )
        for entrant in ENTRANTS
    }
