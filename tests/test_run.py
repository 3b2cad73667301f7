"""The main job on real digits, in real processes: what it prints, writes and repeats."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from compilations import count_compilations
from orbax.checkpoint import v1 as ocp
from program import LIMIT, OPTIMIZED, Forked, simsmooth, start

from simsmooth_jax.config.commands import RunConfig
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.program.commands import run_command

# Read here by plain Orbax, which says how it places the arrays.
ORBAX = pytest.mark.filterwarnings("ignore:Sharding info not provided")
pytestmark = [pytest.mark.slow, ORBAX]

ARMS = ("onehot", "uniform", "relation")
LONG = ("--epochs", 9)
SHORT = ("--epochs", 2, "--model", "mlp", "--width", 16, "--depth", 1)
PICTURES = ("curves.png", "reliability.png", "similarity.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    process = start(
        "run", *LONG, "--out", "run", cwd=folder, variables=OPTIMIZED
    )  # as a user starts it
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def run(folder: Path, printed: str) -> Path:
    return folder / "run"


@pytest.fixture(scope="module")
def short(folder: Path) -> Path:
    """The same of two epochs, for what a longer one shows no better."""
    simsmooth("run", *SHORT, "--out", "short", cwd=folder)
    return folder / "short"


@pytest.fixture(scope="module")
def report(run: Path) -> dict[str, Any]:
    return json.loads((run / "report.json").read_text())


def metrics(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_both_models_are_above_95_percent(report: dict[str, Any], printed: str) -> None:
    for arm, title in zip(ARMS, ("first model", "uniform smoothing", "second model"), strict=True):
        test = report["arms"][arm]["test"]
        assert test["accuracy"] > 0.95
        assert test["count"] == 500
        line = next(line for line in printed.splitlines() if title in line)
        assert f"{100 * test['accuracy']:.2f}" in line
        assert f"{test['nll']:.4f}" in line
    assert "too easy to show a benefit" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 100


def test_nearest_classes_are_those_of_the_similarity(run: Path, printed: str) -> None:
    similarity = np.load(run / "similarity.npz")["table"] - 2 * np.eye(10)
    for digit in range(10):
        line = next(line for line in printed.splitlines() if line.strip().startswith(f"{digit}  "))
        assert line.split()[1] == str(similarity[digit].argmax())


def test_everything_promised_is_there(run: Path, report: dict[str, Any]) -> None:
    assert json.loads((run / "config.json").read_text())["relation"]["rule"] == "mean"
    for name in ("first", "uniform", "second"):
        assert ocp.is_orbax_checkpoint(str(run / name / "135"))
    for name in PICTURES:
        assert (run / "pictures" / name).read_bytes().startswith(b"\x89PNG")
    assert set(report["arms"]) == set(ARMS)
    for arm in ARMS:
        for part in ("validation", "test"):
            assert {"accuracy", "nll", "ece", "brier", "aurc"} <= set(report["arms"][arm][part])
    assert report["diagnosis"] is None  # it is about cosines


def test_every_step_has_one_row(run: Path) -> None:
    rows = metrics(run)
    steps = [(row["arm"], row["step"]) for row in rows if "loss" in row]
    assert steps == [(arm, step) for arm in ARMS for step in range(1, 136)]
    validated = [(row["arm"], row["epoch"]) for row in rows if "validation_accuracy" in row]
    assert validated == [(arm, epoch) for arm in ARMS for epoch in range(1, 10)]


def test_labels_are_the_mean_predictions_of_the_first_checkpoint(short: Path) -> None:
    """Softened, of each class's images over the other classes, in NumPy float64."""
    params = ocp.load(str(short / "first" / "30"))["params"]
    data = load_dataset(DataConfig())
    images, labels = data.train.take(np.arange(1000))
    mean, deviation = data.channel_statistics()
    x = ((images / 255 - mean) / deviation).reshape(1000, -1)
    for layer, name in enumerate(("Dense_0", "head")):
        weights = {key: np.asarray(value, float) for key, value in params[name].items()}
        x = (np.maximum(x, 0) if layer else x) @ weights["kernel"] + weights["bias"]
    softened = scipy.special.softmax(x / 6, axis=1)
    rows = np.stack([softened[labels == k].mean(axis=0) for k in range(10)]) * (1 - np.eye(10))
    expected = 0.8 * np.eye(10) + 0.2 * rows / rows.sum(axis=1, keepdims=True)
    with np.load(short / "labels.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["table"], expected, atol=1e-5)


def test_the_patents_form_is_one_option_away(run: Path) -> None:
    """From the raw checkpoint to the table in NumPy float64, by none of our code."""
    simsmooth("labels", "run/first", "--rule", "clip", "--out", "clip.npz", cwd=run.parent)
    kernel = np.asarray(ocp.load(str(run / "first" / "135"))["params"]["head"]["kernel"], float)
    unit = kernel / np.linalg.norm(kernel, axis=0)
    positive = np.maximum(unit.T @ unit, 0)
    with np.load(run.parent / "clip.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["table"], positive / positive.sum(axis=1, keepdims=True), atol=1e-6
        )
        assert "".join(file["class_names"]) == "0123456789"


def test_a_finished_run_shows_its_result_again(run: Path, printed: str) -> None:
    before = (run / "report.json").stat().st_mtime_ns
    again = simsmooth("run", *LONG, "--out", "run", cwd=run.parent)
    assert "was finished before; --overwrite starts anew" in again.stdout
    table = printed[printed.index("nearest classes") : printed.index("Relation labels")]
    assert table in again.stdout
    assert (run / "report.json").stat().st_mtime_ns == before


def test_a_finished_run_with_a_missing_file_makes_it_again(run: Path) -> None:
    report, labels = (run / "report.json").read_bytes(), (run / "labels.npz").read_bytes()
    (run / "labels.npz").unlink()
    (run / "pictures" / "curves.png").unlink()
    assert Forked("run", *LONG, "--out", "run", cwd=run.parent, variables=OPTIMIZED).wait() == 0
    assert (run / "pictures" / "curves.png").exists()
    assert (run / "labels.npz").read_bytes() == labels
    assert (run / "report.json").read_bytes() == report


@pytest.mark.heavy  # as test_resume.py shows as well
def test_the_same_seed_gives_the_same_bits(short: Path) -> None:
    simsmooth("run", *SHORT, "--out", "again", cwd=short.parent)
    for name in ("metrics.jsonl", "report.json", "labels.npz", "similarity.npz", "config.json"):
        assert (short.parent / "again" / name).read_bytes() == (short / name).read_bytes(), name


def test_each_step_can_be_repeated_from_the_one_before(short: Path) -> None:
    simsmooth("labels", short / "first", "--rule", "mean", "--out", "again.npz", cwd=short.parent)
    assert (short.parent / "again.npz").read_bytes() == (short / "labels.npz").read_bytes()
    simsmooth("train", *SHORT, "--labels", "again.npz", "--out", "second", cwd=short.parent)
    repeated = [row for row in metrics(short) if row["arm"] == "relation"]
    assert metrics(short.parent / "second") == repeated
    shown = simsmooth("evaluate", "second", "--json", cwd=short.parent).stdout
    report = json.loads((short / "report.json").read_text())
    assert json.loads(shown) == report["arms"]["relation"]["test"]


def test_literal_is_refused_with_the_diagnosis(run: Path) -> None:
    refused = simsmooth(
        "labels", "run/first", "--rule", "literal", "--out", "l.npz", cwd=run.parent, status=2
    )
    assert refused.stderr.startswith(
        "simsmooth: relation_labels: rule 'literal' must have every cosine"
    )
    assert refused.stderr.count("\n") == 1
    assert "negative cosines" in refused.stdout
    assert "ill-posed: a cosine is negative" in refused.stdout
    assert not (run.parent / "l.npz").exists()


def test_a_run_stops_before_it_trains_on_ill_posed_labels(run: Path) -> None:
    literal = ("--rule", "literal", "--out", "lit")
    refused = simsmooth("run", *SHORT, *literal, cwd=run.parent, status=2)
    assert "rule 'literal' must have every cosine >= 0" in refused.stderr
    assert "ill-posed: a cosine is negative" in refused.stdout
    assert "kept: simsmooth labels lit/first --rule clip --out labels.npz" in refused.stderr
    names = {path.name for path in (run.parent / "lit").iterdir() if path.name[0] != "."}
    assert names == {"config.json", "first", "metrics.jsonl"}


def test_literal_is_exact_on_positive_cosines(tmp_path: Path) -> None:
    kernel = np.abs(np.random.RandomState(0).randn(6, 4)).astype(np.float32)
    ocp.save(str(tmp_path / "mine"), {"params": {"classifier": {"kernel": kernel}}})
    simsmooth(
        *("labels", "mine", "--rule", "literal", "--head", "classifier", "--out", "l.npz"),
        cwd=tmp_path,
    )
    unit = kernel.astype(float) / np.linalg.norm(kernel.astype(float), axis=0)
    similarity = unit.T @ unit
    expected = similarity / similarity.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "l.npz")["table"], expected, rtol=1e-6)


def test_all_arms_of_a_run_share_one_compilation(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(epochs=3)
    training = TrainingConfig(model=ModelConfig("mlp", width=12, depth=1), optimizer=optimizer)
    with count_compilations("_train_step") as steps, count_compilations("_predict") as predictions:
        run_command.run(RunConfig(training=training, out=tmp_path / "run"))
    assert len(steps) == 1
    assert len(predictions) == 1


def test_damaged_checkpoint_is_one_line(run: Path, tmp_path: Path) -> None:
    """Orbax's other reads, which the first failure leaves behind, say nothing."""
    shutil.copytree(next((run / "first").iterdir()), tmp_path / "damaged")
    for path in (tmp_path / "damaged" / "state").rglob("d/*"):
        os.truncate(path, path.stat().st_size // 2)
    for command in ("evaluate", "labels"):
        fresh = command == "evaluate"  # to the end of an interpreter, where they would speak
        errors = simsmooth(command, "damaged", cwd=tmp_path, status=2, fresh=fresh).stderr
        assert "damaged: it must be whole, got a damaged one" in errors
        assert len(errors.splitlines()) == 1, errors
