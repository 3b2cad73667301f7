"""Trainings of a study: one program for all tables, and measured as they should be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compilations import count_compilations
from numpy.testing import assert_allclose, assert_array_equal

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.errors import DivergenceError, InputError
from simsmooth_jax.study.comparison import measures, trials
from simsmooth_jax.study.comparison.entrants import ENTRANT, ENTRANTS
from simsmooth_jax.study.comparison.points import WEIGHT_DECAY, Point, points_of

TABLES = [entrant for entrant in ENTRANTS if entrant.rows is not None]


@pytest.fixture(scope="module")
def all_trials(tmp_path_factory: pytest.TempPathFactory) -> trials.Trials:
    training = TrainingConfig(
        DataConfig(),
        model=ModelConfig("linear"),
        optimizer=OptimizerConfig(epochs=2, batch_size=40, learning_rate=0.3, warmup_epochs=0),
    )
    config = StudyConfig(training, images_per_class=12)
    tree = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    directory = tmp_path_factory.mktemp("study")
    return trials.Trials(config, load_dataset(training.data), tree, directory)


def test_all_tables_weight_decays_and_seeds_run_through_one_program(
    all_trials: trials.Trials,
) -> None:
    first = Point(1e-3, None, None)
    rows: dict[str, dict[str, Any]] = {}
    with count_compilations("_train_step") as compilations:
        for seed, entrant in enumerate((ENTRANT["onehot"], *TABLES)):
            point = points_of(entrant.space(10), 2, WEIGHT_DECAY)[seed % 2]
            rows[entrant.name] = all_trials.tuned(entrant, point, seed % 3, first)
    assert len(compilations) == 1
    accuracies = [row["validation"]["accuracy"] for row in rows.values()]
    assert min(accuracies) > 0.2  # of a chance of 0.1
    assert not any(row["diverged"] for row in rows.values())


def test_weight_decay_is_that_of_the_point(all_trials: trials.Trials) -> None:
    found = [
        all_trials.tuned(ENTRANT["onehot"], Point(decay, None, None), 0, None)["validation"]
        for decay in (0.0, 0.0, 5.0)
    ]
    assert found[0] == found[1]
    assert abs(found[2]["nll"] - found[0]["nll"]) > 0.01


def test_longer_doubles_the_steps(
    all_trials: trials.Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def counted(*arguments: Any) -> Any:
        state = trained(*arguments)
        steps.append(int(state.step))
        return state

    trained = trials.train
    monkeypatch.setattr(trials, "train", counted)
    for name in ("onehot", "onehot-longer"):
        all_trials.tuned(ENTRANT[name], Point(1e-3, None, None), 0, None)
    assert steps == [2 * 3, 4 * 3]  # epochs of 120 images, 40 at a time


def test_a_diverged_training_counts_as_guesses(tmp_path: Path, all_trials: trials.Trials) -> None:
    optimizer = OptimizerConfig(epochs=1, batch_size=40, learning_rate=1e30, warmup_epochs=0)
    training = TrainingConfig(model=ModelConfig("linear"), optimizer=optimizer)
    config = StudyConfig(training, images_per_class=12)
    wild = trials.Trials(config, all_trials.dataset, None, tmp_path)
    row = wild.tested(ENTRANT["uniform"], Point(1e-3, 0.5, None), 0, None)
    assert row["diverged"]
    assert_allclose(row["validation"]["nll"], np.log(10), rtol=1e-6)
    share = (all_trials.dataset.test.all_labels() == 0).mean()
    assert row["test"]["accuracy"] == share
    with pytest.raises(DivergenceError, match="first model of seed 0 must stay finite, got nan. L"):
        wild.first_model(0, Point(1e-3, None, None))


def test_first_models_are_read_where_they_act_and_kept(all_trials: trials.Trials) -> None:
    """Class means of logits are the kernel's, of the mean features, but for the same bias."""
    point = Point(2e-3, None, None)
    found = all_trials.first_model(4, point)
    means = np.stack([found.logits[found.labels == label].mean(axis=0) for label in range(10)])
    bias = means - found.features.T @ found.kernel
    assert_allclose(bias, np.broadcast_to(bias[0], (10, 10)), atol=1e-4)
    assert np.abs(means - means[0]).max() > 0.1
    assert_array_equal(found.labels, all_trials.draws.train(4).labels)
    all_trials.first_model.cache_clear()
    with count_compilations("_train_step") as compilations:
        again = all_trials.first_model(4, point)
    assert compilations == []
    for one, other in zip(found, again, strict=True):
        assert_array_equal(one, other)


def test_a_damaged_first_model_and_that_of_another_seed_are_refused(
    all_trials: trials.Trials,
) -> None:
    point = Point(2e-3, None, None)
    for seed in (4, 5):
        all_trials.first_model(seed, point)
    whole = all_trials.model_path(4, point).read_bytes()
    for seed, content in ((5, whole), (4, whole[:-1])):
        path = all_trials.model_path(seed, point)
        path.write_bytes(content)
        all_trials.first_model.cache_clear()
        with pytest.raises(InputError, match=f"{path.name}: it must be a first model, got .*made"):
            all_trials.first_model(seed, point)
        path.unlink()


@pytest.mark.slow
def test_all_arms_train(all_trials: trials.Trials) -> None:
    for entrant in ENTRANTS:
        if entrant.rows is None:
            (point,) = points_of(entrant.space(10), 1, WEIGHT_DECAY)
            row = all_trials.tuned(entrant, point, 0, Point(1e-3, None, None))
            assert not row["diverged"], entrant.name
            assert row["validation"]["accuracy"] > 0.2, entrant.name


def test_figures_are_those_of_the_logits() -> None:
    """Softmax, argmax and logarithms in NumPy float64; the least risk by enumeration."""
    random = np.random.RandomState(0)
    labels = random.randint(0, 6, 200)
    logits = (3 * random.randn(200, 6) + 2 * np.eye(6)[labels]).astype("f")
    tree = np.array([0, 0, 0, 1, 1, 2])
    validation = measures.of_validation(logits, labels)

    def probabilities(temperature: float) -> np.ndarray:
        power = np.exp(logits.astype(np.float64) / temperature)
        return power / power.sum(axis=1, keepdims=True)

    def nll(temperature: float) -> float:
        return float(-np.log(probabilities(temperature)[np.arange(200), labels]).mean())

    best = validation["temperature"]
    assert nll(best) <= min(nll(best * 1.01), nll(best / 1.01))
    assert_allclose(validation["nll"], nll(best), rtol=1e-5)
    assert validation["accuracy"] == (logits.argmax(axis=1) == labels).sum() / 200
    distance = np.where(tree[:, None] == tree, 1, 2) * (1 - np.eye(6))
    for least_risk in (False, True):
        found = measures.of_test(logits, labels, 2.0, tree, least_risk)
        risk = probabilities(2.0) @ distance
        answer = risk.argmin(axis=1) if least_risk else logits.argmax(axis=1)
        assert found["accuracy"] == (answer == labels).sum() / 200
        far = distance[answer, labels]
        assert_allclose(found["distance"], far.mean(), rtol=1e-6)
        assert_allclose(found["distance_of_mistakes"], far[far > 0].mean(), rtol=1e-6)
        assert_allclose(found["superclass_accuracy"], (tree[answer] == tree[labels]).mean())
        assert_allclose(found["nll"], nll(1.0), rtol=1e-5)
        assert_allclose(found["nll_at_temperature"], nll(2.0), rtol=1e-5)
        if least_risk:  # whose answer is not the class that these are of
            of_likeliest = {"ece", "bins", "ece_at_temperature", "bins_at_temperature", "risk"}
            assert not found.keys() & {*of_likeliest, "brier", "aurc"}
            continue
        wrong = (logits.argmax(axis=1) != labels)[np.argsort(-probabilities(2.0).max(axis=1))]
        assert_allclose(found["risk"][4], wrong[:50].mean(), atol=1e-5)
        assert_allclose(found["risk"][-1], wrong.mean(), atol=1e-5)
        assert sum(found["bins"]["count"]) == 200
        assert sum(found["bins"]["correct_sum"]) == 200 - wrong.sum()
    assert (probabilities(2.0) @ distance).argmin(axis=1).tolist() != logits.argmax(axis=1).tolist()
