"""`simsmooth run --tune`: what it tries, chooses, tells, and does again after a stop."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.study import tuning
from simsmooth_jax.study.arms import RELATION, UNIFORM
from simsmooth_jax.training.classifier import Classifier

TINY = ("--epochs", 2, "--model", "mlp", "--width", 16, "--depth", 1)
SHARP = ("--rule", "neighbours", "--perplexity", 1.2)  # at 0.7 another class would be on top
TRIED = [("uniform", e) for e in (0.1, 0.3, 0.5, 0.7)] + [("relation", e) for e in (0.1, 0.3, 0.5)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tuning")
    done = simsmooth("run", *TINY, *SHARP, "--tune", "--out", "run", cwd=folder)
    return SimpleNamespace(path=folder / "run", printed=done.stdout)


def report(path: Path) -> dict[str, Any]:
    return json.loads((path / "report.json").read_text())


@pytest.mark.slow
def test_the_least_nll_on_validation_is_trained_and_told(run: Any) -> None:
    found = report(run.path)
    rows = found["tuning"]
    assert [(row["arm"], row["epsilon"]) for row in rows] == TRIED
    least = {
        arm: min((r["nll"], r["epsilon"]) for r in rows if r["arm"] == arm)[1]
        for arm in ("uniform", "relation")
    }
    assert found["uniform_epsilon"] == least["uniform"]
    labels = load_table(run.path / "labels.npz")
    assert labels.parameters["epsilon"] == least["relation"]
    np.testing.assert_allclose(labels.own_mass(), 1 - least["relation"], atol=1e-6)
    for arm, directory in (("uniform", "uniform"), ("relation", "second")):
        row = next(r for r in rows if (r["arm"], r["epsilon"]) == (arm, least[arm]))
        assert found["arms"][arm]["validation"]["accuracy"] == pytest.approx(row["accuracy"])
        tried = Classifier.restore(run.path / "tuning" / f"{arm}-{least[arm]:g}").params
        chosen = Classifier.restore(run.path / directory).params
        np.testing.assert_array_equal(tried["head"]["kernel"], chosen["head"]["kernel"])
    told = " ".join(run.printed.split())
    assert f"Uniform smoothing: epsilon {least['uniform']:g}. Chosen on validation by NLL" in told
    assert "With 0.7 or more a relation label would have another class on top." in told
    assert "Recommended: uniform smoothing." in told
    page = (run.path / "report.html").read_text()
    assert "of every setting that was tried" in page
    assert "weight decay, 9" not in page


@pytest.mark.slow
def test_nll_is_at_the_temperature_of_the_validation_images(run: Any) -> None:
    """From one of the checkpoints, with SciPy's own search of the temperature."""
    classifier = Classifier.restore(run.path / "tuning" / "uniform-0.3")
    images, labels = classifier.dataset.validation.take(np.arange(297))
    mean, deviation = classifier.image_statistics
    x = ((images / 255 - mean) / deviation).reshape(297, -1)
    for layer, name in enumerate(("Dense_0", "head")):
        weights = {key: np.asarray(value, float) for key, value in classifier.params[name].items()}
        x = (np.maximum(x, 0) if layer else x) @ weights["kernel"] + weights["bias"]

    def nll(log_temperature: float) -> float:
        scores = scipy.special.log_softmax(x / np.exp(log_temperature), axis=1)
        return -scores[np.arange(297), labels].mean()

    expected = scipy.optimize.minimize_scalar(nll, bounds=(-5, 5), method="bounded").fun
    (row,) = (r for r in report(run.path)["tuning"] if (r["arm"], r["epsilon"]) == ("uniform", 0.3))
    assert row["nll"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_cost_is_said_before_anything_is_trained(run: Any) -> None:
    second, third = run.printed.splitlines()[1:3]
    assert second == "tuning: up to 8 trainings more, of 30 steps each; 11 in all"
    assert third == (
        "Warning: 297 validation images choose by luck, as one of them is 0.34 points; take 1,000 "
        "or more, or leave tuning out."
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_end(run: Any, tmp_path: Path) -> None:
    """Without its end, one whole training of the tuning and the last steps of another."""
    path = tmp_path / "run"
    shutil.copytree(run.path, path)
    for lost in ("second", "uniform", "tuning/relation-0.5", "tuning/relation-0.3"):
        shutil.rmtree(path / lost)
    (path / "report.json").unlink()
    done = simsmooth("run", *TINY, *SHARP, "--tune", "--out", "run", cwd=tmp_path)
    assert "tuning: up to 8 trainings" in done.stdout
    assert report(path) == report(run.path)
    for name in ("metrics.jsonl", "labels.npz"):
        assert (path / name).read_bytes() == (run.path / name).read_bytes()
    again = simsmooth("run", *TINY, *SHARP, "--tune", "--out", "run", cwd=tmp_path)
    assert "was finished before" in again.stdout
    other = simsmooth("run", *TINY, *SHARP, "--out", "run", cwd=tmp_path, status=2)
    assert "tune True -> False" in other.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            RunConfig(tune=True, relation=RelationConfig(epsilon=0.3)),
            "`epsilon` must be left out with `tune`, got 0.3. Leave out either.",
        ),
        (
            RunConfig(tune=True, uniform_epsilon=0.15),
            "`uniform_epsilon` must be left out with `tune`, got 0.15. Leave out either.",
        ),
    ],
)
def test_weights_are_not_given_as_well(config: RunConfig, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        tuning.refuse_tuning(config)
    assert str(refused.value) == message
    tuning.refuse_tuning(RunConfig(config.training, config.relation, config.uniform_epsilon))


def test_streamed_images_are_refused() -> None:
    streamed: Any = SimpleNamespace(streamed=True)
    with pytest.raises(ss.InputError) as refused:
        tuning.refuse_streamed(streamed)
    assert str(refused.value) == (
        "`tune` must be given with images in memory, got a streamed set. Compare `epsilon` by "
        "simsmooth train."
    )


def test_many_images_are_no_luck() -> None:
    trainer = SimpleNamespace(total_steps=12_345)
    runner: Any = SimpleNamespace(trainer=trainer, dataset=SimpleNamespace(validation=range(1000)))
    assert tuning.cost(runner) == [
        "tuning: up to 8 trainings more, of 12,345 steps each; 11 in all"
    ]


def test_the_least_nll_of_each_arm() -> None:
    rows = [{"arm": "uniform", "epsilon": 0.1, "nll": 0.5}]
    rows += [{"arm": "uniform", "epsilon": 0.3, "nll": 0.4}]
    rows += [{"arm": "relation", "epsilon": 0.5, "nll": 0.1}]
    assert tuning.best(rows, UNIFORM) == 0.3
    assert tuning.best(rows, RELATION) == 0.5
