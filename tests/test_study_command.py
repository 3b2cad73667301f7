"""`simsmooth study` on digits: what it writes, shows, goes on with, and refuses."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.program.commands import study_command

pytestmark = pytest.mark.slow

ARMS = ("onehot", "uniform", "neighbours-shuffled")
OPTIMIZER = OptimizerConfig(epochs=2, batch_size=40, learning_rate=0.3, warmup_epochs=0)
TRAINING = TrainingConfig(model=ModelConfig("linear"), optimizer=OPTIMIZER)
SMALL: dict[str, Any] = {"images_per_class": 12, "points": 3, "tuning_seeds": 2, "arms": ARMS}
SMALL |= {"seeds": 3, "training": TRAINING, "label_noise": 0.2}
Row = dict[str, Any]


def study(out: Path, **changes: Any) -> None:
    options: dict[str, Any] = SMALL | {"out": out} | changes
    study_command.study(StudyConfig(**options))


def rows_of(out: Path) -> list[Row]:
    return [json.loads(line) for line in (out / "rows-1-of-1.jsonl").read_text().splitlines()]


def chosen(rows: list[Row], arm: str, select: str) -> int:
    """The point of the greatest accuracy and, of those, the least NLL; or of the least NLL."""
    scores = []
    for point in range(3):
        tried = [
            r["validation"]
            for r in rows
            if (r["phase"], r["arm"], r["point"]) == ("tune", arm, point)
        ]
        assert len(tried) == 2
        accuracy, nll = (np.mean([one[key] for one in tried]) for key in ("accuracy", "nll"))
        scores.append((nll,) if select == "nll" else (-round(accuracy, 9), nll))
    return min(range(3), key=lambda point: scores[point])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "out"
    study(path)
    return path


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def show(out: Path, columns: int = 100, **changes: Any) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        study(out, **changes)
        return capsys.readouterr().out

    return show


def test_every_training_has_one_row_and_test_is_touched_once(out: Path) -> None:
    rows = rows_of(out)
    places = Counter((row["phase"], row["arm"], row["point"], row["seed"]) for row in rows)
    assert set(places.values()) == {1}
    tuned = {place for place in places if place[0] == "tune"}
    assert tuned == {("tune", a, p, s) for a in ARMS for p in range(3) for s in (10_000, 10_001)}
    tests = {(arm, seed) for phase, arm, _, seed in places if phase == "test"}
    assert tests == {(arm, seed) for arm in ARMS for seed in range(3)}
    assert len(rows) == len(tuned) + len(tests)
    assert all(("test" in row) == (row["phase"] == "test") for row in rows)
    assert [row["phase"] for row in rows] == sorted((r["phase"] for r in rows), reverse=True)


def test_each_arm_is_tested_at_what_validation_has_chosen(out: Path) -> None:
    rows = rows_of(out)
    for arm in ARMS:
        best = chosen(rows, arm, "accuracy")
        tests = [row for row in rows if (row["phase"], row["arm"]) == ("test", arm)]
        assert {row["point"] for row in tests} == {best}
        tried = [
            row for row in rows if (row["phase"], row["arm"], row["point"]) == ("tune", arm, best)
        ]
        assert all(row["given"] == tried[0]["given"] for row in tests)


def test_the_page_has_the_limit_of_a_table_beside_its_strength(out: Path) -> None:
    tests = [row for row in rows_of(out) if row["phase"] == "test"]
    page = (out / "report.html").read_text().replace("\u00a0", " ")
    used, limits = (
        [row[key] for row in tests if row["arm"] == "neighbours-shuffled"]
        for key in ("strength", "limit")
    )
    assert np.mean(limits) < 0.9
    assert f"ε {np.mean(used):.2f} of at most {np.mean(limits):.2f}, τ" in page
    assert page.count("of at most") == 1  # uniform smoothing has none


def test_means_and_differences_are_those_of_the_rows(out: Path) -> None:
    found = json.loads((out / "study.json").read_text())
    tests = [row for row in rows_of(out) if row["phase"] == "test"]
    values = {
        arm: np.array([100 * r["test"]["accuracy"] for r in tests if r["arm"] == arm])
        for arm in ARMS
    }
    for arm in found["arms"]:
        np.testing.assert_allclose(arm["values"]["accuracy"], values[arm["name"]], atol=1e-6)
        np.testing.assert_allclose(arm["means"]["accuracy"], values[arm["name"]].mean())
        nlls = [r["test"]["nll"] for r in tests if r["arm"] == arm["name"]]
        np.testing.assert_allclose(arm["means"]["nll"], np.mean(nlls))
    pairs = [(one["arm"], one["than"]) for one in found["contrasts"]]
    assert pairs == [("uniform", "onehot"), ("neighbours-shuffled", "uniform")]
    for one in found["contrasts"]:
        difference = (values[one["arm"]] - values[one["than"]]).mean()
        np.testing.assert_allclose(one["mean"], difference, atol=1e-8)
        assert one["p_holm"] >= one["p"]
    assert len(found["exploratory"]) == 2 * len(found["arms"][0]["means"])
    assert len(found["sentences"]) == 2


@pytest.mark.parametrize("columns", [80, 100])
def test_what_is_shown_fits(out: Path, shown: Any, columns: int) -> None:
    """A finished study shows its result again and trains nothing."""
    before = (out / "rows-1-of-1.jsonl").read_bytes()
    text = shown(out, columns)
    assert (out / "rows-1-of-1.jsonl").read_bytes() == before
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(len(line) for line in lines[5:] if str(out) not in line) <= columns
    found = json.loads((out / "study.json").read_text())
    for arm in found["arms"]:
        settings, results = (line for line in lines if line.startswith(f"  {arm['name']} "))
        assert arm["setting"] in settings
        assert results.split()[1] == f"{arm['means']['accuracy']:.2f}"
        assert (arm["against"] or "") in results
    assert " ".join(found["sentences"]) in " ".join(text.split())
    assert lines[1] == "arms: 3; points of each, at most: 3; tuning seeds: 2; seeds: 3"
    assert lines[2] == (
        "20% of the training labels are wrong (symmetric); validation and test are clean"
    )
    assert lines[3] == "contrasts: uniform:onehot neighbours-shuffled:uniform"
    assert lines[4].startswith("Warning: ")
    assert "Warning: with so few seeds no contrast can be told: p is 0.5 or more." in text
    assert "Take 7 seeds or more." in text
    assert "3 seeds are too few to tell it from" in " ".join(text.split())


def test_a_p_is_never_more_than_1(out: Path, tmp_path: Path, shown: Any) -> None:
    """Two contrasts and two seeds, whose p is 1 at least: in the terminal and on the page."""
    text = shown(shutil.copytree(out, tmp_path / "two"), seeds=2)
    page = (tmp_path / "two" / "report.html").read_text()
    for where in (text, page):
        assert "can be told: p is always 1. " in where


def test_more_seeds_and_arms_go_on_in_the_same_directory(out: Path, shown: Any) -> None:
    before = rows_of(out)
    text = shown(out, seeds=7, arms=("onehot", "uniform"))
    assert "Warning" not in text  # one contrast, seven seeds
    more = rows_of(out)
    assert more[: len(before)] == before
    added = {(row["phase"], row["arm"], row["seed"]) for row in more[len(before) :]}
    assert added == {("test", arm, seed) for arm in ("onehot", "uniform") for seed in range(3, 7)}
    text = shown(out, arms=(*ARMS, "maxsup"))
    assert "contrasts: uniform:onehot neighbours-shuffled:uniform maxsup:uniform\n" in text
    added = Counter((row["phase"], row["arm"]) for row in rows_of(out)[len(more) :])
    assert added == {("tune", "maxsup"): 6, ("test", "maxsup"): 3}
    assert "max suppression (MaxSup)" in text


def test_another_selection_chooses_from_the_same_trainings(out: Path, shown: Any) -> None:
    before = rows_of(out)
    text = shown(out, select="nll")
    assert "chosen on validation by nll" in text
    rows = rows_of(out)
    assert {row["phase"] for row in rows[len(before) :]} <= {"test"}
    for arm in ARMS:
        best = chosen(rows, arm, "nll")
        tested = {(r["point"], r["seed"]) for r in rows if (r["phase"], r["arm"]) == ("test", arm)}
        assert {(best, seed) for seed in range(3)} <= tested


def test_arms_of_a_hierarchy_and_of_another_arms_training(tmp_path: Path, shown: Any) -> None:
    np.save(tmp_path / "tree.npy", np.arange(10) // 2)
    arms = ("onehot", "superclass", "onehot-least-risk")
    changes = {"arms": arms, "superclasses": tmp_path / "tree.npy", "noise": "superclass"}
    named = ("onehot-least-risk:onehot",)
    text = shown(tmp_path / "out", points=1, tuning_seeds=1, contrasts=named, **changes)
    assert "(superclass); validation" in text
    assert "against onehot" in text
    before = text.splitlines()[3:5]  # anything is trained
    assert before == [
        f"contrasts: {named[0]}",
        "exploratory, without adjusted p: superclass:onehot",
    ]
    rows = rows_of(tmp_path / "out")
    assert {row["arm"] for row in rows if row["phase"] == "tune"} == {"onehot", "superclass"}
    tests = {(r["arm"], r["seed"]): r["test"] for r in rows if r["phase"] == "test"}
    for seed in range(3):
        plain, careful = tests["onehot", seed], tests["onehot-least-risk", seed]
        assert plain["nll"] == careful["nll"]  # one training, another decision
        assert careful["distance"] <= plain["distance"] + 0.1
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    compared = [(one["arm"], one["than"]) for one in found["contrasts"]]
    assert compared == [("onehot-least-risk", "onehot")]
    least = found["arms"][-1]["means"]
    assert {"nll", "nll_at_temperature", "distance", "distance_of_mistakes"} <= least.keys()
    assert not least.keys() & {"ece", "ece_at_temperature", "brier", "aurc"}
    table = (tmp_path / "out" / "tables" / "results.csv").read_text()
    cells = list(csv.DictReader(table.splitlines()))
    assert [bool(cell["ECE %"]) for cell in cells] == [True, True, False]
    mistakes = [arm["means"]["distance_of_mistakes"] for arm in found["arms"]]
    assert [cell["distance of mistakes"] for cell in cells] == [f"{far:.3f}" for far in mistakes]
    for name in ("reliability", "risk-coverage"):
        assert "least risk" not in (tmp_path / "out" / "tables" / f"{name}.csv").read_text()


def test_a_lost_first_model_is_made_again(out: Path, tmp_path: Path) -> None:
    study(copy := Path(shutil.copytree(out, tmp_path / "copy")))  # with these arms
    files = [next(copy.glob("first-models/0-*.npz")), copy / "report.html"]
    before = [file.read_bytes() for file in files]
    files[0].unlink()
    study(copy)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning_seeds": 3}, "`tuning_seeds` 2 -> 3"),
        ({"label_noise": 0.3}, "`label_noise` 0.2 -> 0.3"),
        ({"margin": 1.0}, "`margin` 0.3 -> 1.0"),
        ({"contrasts": ("uniform:onehot",)}, "`contrasts` [] -> ['uniform:onehot']"),
    ],
)
def test_other_options_are_refused(out: Path, changes: Row, message: str) -> None:
    before = (out / "rows-1-of-1.jsonl").read_bytes()
    with pytest.raises(InputError) as error:
        study(out, **changes)
    assert str(error.value) == (
        f"--out {out} must hold no run of another configuration, got {message}. Choose another "
        "--out; --overwrite would delete the run that config.json there tells of."
    )
    assert (out / "rows-1-of-1.jsonl").read_bytes() == before
