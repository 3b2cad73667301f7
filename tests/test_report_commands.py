"""report.html of real runs and studies: written at the end, again by the same command, the same."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from program import simsmooth

pytestmark = pytest.mark.slow

RUN = ("run", "--epochs", 1, "--model", "linear", "--out", "run")
STUDY = ("study", "--epochs", 1, "--model", "linear", "--points", 2, "--tuning-seeds", 1)
STUDY += ("--seeds", 3, "--images-per-class", 8, "--arms", "onehot", "uniform", "neighbours")
STUDY += ("--superclasses", "tree.npy", "--confusions", "people.npy", "--out", "study")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run and a study were carried out."""
    path = tmp_path_factory.mktemp("reports")
    np.save(path / "tree.npy", np.arange(10) // 2)
    np.save(path / "people.npy", 90 * np.eye(10, dtype=np.int64) + 1)
    for command in (RUN, STUDY):
        printed = simsmooth(*command, cwd=path).stdout
        assert f"{command[-1]}/report.html\n" in printed
    return path


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_figures_of_a_study_are_those_of_its_json(folder: Path) -> None:
    found = json.loads((folder / "study" / "study.json").read_text())
    tables = folder / "study" / "tables"
    _, *results = rows(tables / "results.csv")
    assert [row[1] for row in results] == [f"{a['means']['accuracy']:.2f}" for a in found["arms"]]
    assert [row[-1] for row in results] == [arm["setting"] for arm in found["arms"]]
    _, *differences = rows(tables / "differences.csv")
    for row, one in zip(differences, found["contrasts"], strict=False):
        assert row[1:4] == [f"{one[key]:+.2f}" for key in ("mean", "low", "high")]
    text = (folder / "study" / "report.html").read_text()
    for section in ("differences", "strengths", "reliability", "risk-coverage", "relations"):
        assert f'<section id="{section}">' in text
        assert section == "relations" or (tables / f"{section}.csv").exists()
    assert text.count('<b class="open">too few seeds</b>') == 2
    for word in ("Stability:", "Superclasses:", "People:"):
        assert word in text


def test_nearest_of_a_study_are_those_of_its_first_models(folder: Path) -> None:
    """Of the kernels themselves, in NumPy float64."""
    cosines = []
    for seed in range(3):
        (file,) = (folder / "study" / "first-models").glob(f"{seed}-*.npz")
        kernel = np.load(file)["kernel"].astype(np.float64)
        unit = kernel / np.linalg.norm(kernel, axis=0)
        cosines.append(unit.T @ unit)
    mean = np.mean(cosines, axis=0) - 9 * np.eye(10)
    for name, first, cosine, *_ in rows(folder / "study" / "tables" / "nearest.csv")[1:]:
        assert mean[int(name), int(first)] == pytest.approx(mean[int(name)].max(), abs=1e-6)
        assert float(cosine) == pytest.approx(mean[int(name)].max(), abs=1e-3)


def test_a_run_has_three_arms_before_and_after_temperature_and_no_forest_plot(folder: Path) -> None:
    text = (folder / "run" / "report.html").read_text()
    report = json.loads((folder / "run" / "report.json").read_text())
    _, *results = rows(folder / "run" / "tables" / "results.csv")
    for row, (name, parts) in zip(results, report["arms"].items(), strict=True):
        softened = report["at_temperature"][name]
        assert row[1:4] == [
            f"{100 * parts['test']['accuracy']:.2f}",
            f"{parts['test']['nll']:.4f}",
            f"{softened['nll_at_temperature']:.4f}",
        ]
        assert 0.05 < softened["temperature"] < 20
        assert softened["risk"][-1] == pytest.approx(1 - parts["test"]["accuracy"], abs=1e-5)
    assert 'id="differences"' not in text
    assert "there is no forest plot" in text
    assert '<section id="risk-coverage">' in text


@pytest.mark.parametrize("command", [RUN, STUDY], ids=["run", "study"])
def test_an_older_one_gets_it_by_the_same_command(
    folder: Path, command: tuple[object, ...]
) -> None:
    directory = folder / str(command[-1])
    path = directory / "report.html"
    before = path.read_bytes()
    path.unlink()
    tables = {file.name: file.read_bytes() for file in (directory / "tables").iterdir()}
    for file in (directory / "tables").iterdir():
        file.unlink()
    (directory / "tables").rmdir()
    simsmooth(*command, cwd=folder)
    assert path.read_bytes() == before
    assert {file.name: file.read_bytes() for file in (directory / "tables").iterdir()} == tables


def test_a_run_shows_the_superclasses_of_its_own_data(tmp_path: Path) -> None:
    """The share of nearest classes in the same superclass, from its similarity in NumPy."""
    random, tree = np.random.default_rng(0), np.array([0, 1, 0, 1, 0, 1])
    labels = np.tile(np.arange(6), 40)
    centres = 4 * np.eye(8)[tree] + random.normal(size=(6, 8))
    features = (centres[labels] + random.normal(size=(240, 8))).astype("f")
    parts = {"train": slice(160), "val": slice(160, 200), "test": slice(200, 240)}
    arrays = {f"{part}_features": features[at] for part, at in parts.items()}
    arrays |= {f"{part}_labels": labels[at] for part, at in parts.items()}
    words = []
    for name, held in (("with", tree), ("unfit", tree[1:])):
        np.savez(tmp_path / f"{name}.npz", **(arrays | {"fine_to_coarse": held}))  # type: ignore[arg-type]
        simsmooth("run", "--data", f"npz:{name}.npz", *RUN[1:5], "--out", name, cwd=tmp_path)
        words.append((tmp_path / name / "report.html").read_text())
    similarity = np.load(tmp_path / "with" / "similarity.npz")["table"] - 9 * np.eye(6)
    share = np.mean(tree[similarity.argmax(axis=1)] == tree)
    assert f"lies in the same superclass for {share:.0%} of the" in words[0]
    assert "Superclasses:" not in words[1]


def test_a_report_from_before_temperatures_makes_a_page(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    for sums in (tmp_path / "run").rglob("SHA256SUMS"):  # which they did not have
        sums.unlink()
    path = tmp_path / "run" / "report.json"
    report = json.loads(path.read_text())
    del report["at_temperature"]
    path.write_text(json.dumps(report))
    simsmooth(*RUN, cwd=tmp_path)
    assert "temperatures are not in this report" in (tmp_path / "run/report.html").read_text()
