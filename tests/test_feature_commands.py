"""Every command on an archive of features, in real processes."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from feature_archives import ARRAYS, save
from program import Forked, simsmooth

pytestmark = pytest.mark.slow

OPTIONS = ("--data", "npz:ants.npz", "--model", "mlp", "--width", 8, "--depth", 1)
OPTIONS += ("--batch-size", 18, "--epochs", 20, "--learning-rate", 0.1)
OWN = """
from flax import linen as nn


class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, features, train):
        x = nn.BatchNorm(use_running_average=not train)(features)
        return nn.Dense(self.num_classes, name="head")(x)


def net(num_classes):
    return Net(num_classes)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `ants.npz`, and a finished run in `run`."""
    folder = tmp_path_factory.mktemp("features")
    save(folder / "ants.npz")
    (folder / "mymodels.py").write_text(OWN)
    shown = simsmooth("run", *OPTIONS, "--out", "run", cwd=folder).stdout
    assert "ants: 54 training, 6 validation, 18 test feature vectors of 3 classes" in shown
    assert "test split, 18 feature vectors" in shown
    return folder


def test_a_run_learns_three_classes(folder: Path) -> None:
    report = json.loads((folder / "run" / "report.json").read_text())
    assert [arm["test"]["accuracy"] for arm in report["arms"].values()] == [1, 1, 1]
    assert report["class_names"] == ARRAYS["class_names"].tolist()
    again = simsmooth("evaluate", "run/second", "--json", cwd=folder).stdout
    assert json.loads(again) == report["arms"]["relation"]["test"]


@pytest.mark.parametrize("source", ["kernel", "features", "predictions"])
def test_labels_of_its_first_classifier(source: str, folder: Path) -> None:
    out = f"{source}.npz"
    simsmooth("labels", "run/first", "--similarity", source, "--out", out, cwd=folder)
    with np.load(folder / out) as file:
        table = file["table"]
        assert file["class_names"].tolist() == ARRAYS["class_names"].tolist()
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-6)
    assert (table.argmax(axis=1) == [0, 1, 2]).all()


@pytest.mark.parametrize("labels", ["online", "ols", "maxsup", "run/labels.npz"])
def test_training_on_all_labels(labels: str, folder: Path) -> None:
    out = f"on-{Path(labels).stem}"
    simsmooth("train", "--labels", labels, *OPTIONS, "--out", out, cwd=folder)
    (arm,) = json.loads((folder / out / "report.json").read_text())["arms"].values()
    assert arm["test"]["accuracy"] == 1


def test_a_model_of_the_user(folder: Path) -> None:
    own = ("--model", "mymodels:net")
    simsmooth("train", *OPTIONS[:2], *own, *OPTIONS[-6:], "--out", "own", cwd=folder)
    shown = simsmooth("evaluate", "own", *own, "--json", cwd=folder).stdout
    assert json.loads(shown)["accuracy"] == 1


def test_inspect_and_the_data_of_another_network(folder: Path) -> None:
    assert "params/Dense_0/kernel" in simsmooth("inspect", "run/first", cwd=folder).stdout
    other = {f"{part}_features": ARRAYS[f"{part}_features"][:, :4] for part in ("train", "test")}
    save(folder / "other.npz", **other)
    refused = simsmooth("evaluate", "run/first", "--data", "npz:other.npz", cwd=folder, status=2)
    assert (
        "--data must hold features [5], as the checkpoint has learned from, got (4,) in"
        in refused.stderr
    )
    images = {f"{part}_images": np.zeros((len(ARRAYS[f"{part}_labels"]), 4, 4), np.uint8)
              for part in ("train", "test")}  # fmt: skip
    save(folder / "images.npz", train_features=None, test_features=None, **images)
    refused = simsmooth("evaluate", "run/first", "--data", "npz:images.npz", cwd=folder, status=2)
    assert "learned from, got (4, 4, 1) in images. Take them from the network" in refused.stderr


def test_no_model_is_chosen_for_features(folder: Path) -> None:
    options = (*OPTIONS[:2], *OPTIONS[-6:], "--out", "none")
    refused = simsmooth("run", *options, cwd=folder, status=2)
    assert refused.stderr.strip().endswith(
        "--model must be mlp, linear or MODULE:FUNCTION with features [5], got cnn. They have no "
        "pixels: give --model mlp."
    )
    assert not (folder / "none").exists()


def test_a_killed_run_ends_with_the_same_bits(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "ants.npz")
    process = Forked("run", *OPTIONS, "--checkpoint-every", 1, "--out", "run", cwd=tmp_path)
    while not (tmp_path / "run" / "first" / "6").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "report.json").exists()
    simsmooth("run", *OPTIONS, "--checkpoint-every", 1, "--out", "run", cwd=tmp_path)
    for name in ("metrics.jsonl", "report.json", "labels.npz"):
        found, expected = (path / "run" / name for path in (tmp_path, folder))
        assert found.read_bytes() == expected.read_bytes()
