"""The commands where a table `[K, K]` would be large: files, labels and trainings in top-k form."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from program import simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.commands import LabelsConfig, RunConfig, TrainConfig
from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.formats.label_files import TableFile, load_table, table_sha256
from simsmooth_jax.formats.matching import labels_for
from simsmooth_jax.machine import memory
from simsmooth_jax.program.commands import run_command, train_command
from simsmooth_jax.program.commands.labels_command import make_label_file
from simsmooth_jax.study import arms
from simsmooth_jax.training import step_memory

NAMES = ("cat", "dög", "鳥")
INDICES = np.array([[0, 1], [1, 0], [2, 1]], np.int32)
WEIGHTS = np.array([[0.8, 0.2], [0.9, 0.1], [1, 0]], np.float32)
K = 200


def top_k_file(indices: Any = INDICES, weights: Any = WEIGHTS) -> TableFile:
    table = ss.TopKLabels(np.asarray(indices), np.asarray(weights))
    return TableFile(table, NAMES, "clip", {"top_k": 2}, "kernel", "ab")


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_top_k_labels_are_readable_by_other_programs(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{suffix}"
    top_k_file().save(path)
    if suffix == "npz":
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("indices", "weights")}
            assert "table" not in file
    else:
        found = safetensors.numpy.load_file(path)
        assert found.keys() == {"indices", "weights"}
    assert (found["indices"].dtype, found["weights"].dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(found["indices"], INDICES)
    np.testing.assert_array_equal(found["weights"], WEIGHTS)
    loaded = labels_for(path, NAMES)
    assert isinstance(loaded.table, ss.TopKLabels)
    assert loaded.own_mass() == pytest.approx(0.9)
    assert table_sha256(loaded.table) == table_sha256(top_k_file().table)
    assert table_sha256(loaded.table) != table_sha256(top_k_file(INDICES[::-1]).table)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": INDICES + 1}, "different classes from 0 to 2, got [3, 2] in row 2"),
        ({"indices": INDICES - 1}, "different classes from 0 to 2, got [-1, 0] in row 0"),
        ({"indices": INDICES * 0}, "different classes from 0 to 2, got [0, 0] in row 0"),
        ({"indices": INDICES * 1.0}, "integers and floats of one shape [K, k], got float64[3, 2]"),
        ({"indices": INDICES[:, :1]}, "of one shape [K, k], got int32[3, 1] and [3, 2]"),
        (
            {"indices": INDICES[:2], "weights": WEIGHTS[:2]},
            "a row for each of the 3 classes of the data, got 2",
        ),
        ({"weights": 2 * WEIGHTS}, "must be a distribution, got sum 2 and least entry 0.4 in row"),
        ({"weights": WEIGHTS * np.nan}, "got sum nan and least entry nan in row 0"),
        ({"weights": WEIGHTS[:, ::-1]}, "got 0.2 there and 0.8 at class 1 'dög' in row 0 'cat'"),
        (
            {"indices": np.where(INDICES == 2, 0, INDICES)},
            "largest at its own class, got 0 there and 1 at class 0 'cat' in row 2 '鳥'",
        ),
    ],
)
def test_top_k_labels_that_are_not_trained_on(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    for suffix in ("npz", "safetensors"):
        path = tmp_path / f"labels.{suffix}"
        save(path, **{"indices": INDICES, "weights": WEIGHTS} | changes)
        with pytest.raises(ss.InputError, match=re.escape(message)) as refused:
            labels_for(path, NAMES)
        assert "\n" not in str(refused.value)


def save(path: Path, **arrays: np.ndarray) -> None:
    """As `TableFile.save`, in any dtype."""
    top_k_file().save(path)
    if path.suffix == ".npz":
        with np.load(path) as file:
            texts = {name: array for name, array in file.items() if name != "content_sha256"}
        np.savez(path, **{**texts, **arrays})  # type: ignore[arg-type]
        return
    with safetensors.safe_open(path, "np") as file:
        texts = file.metadata()
    del texts["content_sha256"]
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(contiguous, path, texts)


def test_baselines_of_many_classes_are_the_dense_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = arms.onehot_table(7), arms.uniform_table(7, 0.3)
    monkeypatch.setattr(arms, "MANY_CLASSES", 5)
    compact: Any = arms.onehot_table(7), arms.uniform_table(7, 0.3)
    assert isinstance(compact[0], ss.TopKLabels)
    assert isinstance(compact[1], ss.FactoredLabels)
    logits = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    labels = np.arange(9) % 7
    for found, expected in zip(compact, dense, strict=True):
        losses: Any = [
            ss.softmax_cross_entropy_with_label_table(logits, labels, table)
            for table in (found, expected)
        ]
        np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.slow
def test_the_method_with_many_classes_builds_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """K images of as many classes: one-hot training, top-k labels, training on them."""
    monkeypatch.setattr(arms, "MANY_CLASSES", K)
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * K**2 - 1)  # a table is refused
    monkeypatch.setattr(step_memory, "device_memory", lambda: 2**30)
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 256, (K, 2, 2)).astype(np.uint8), np.arange(K)
    arrays: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez("many.npz", **arrays)
    optimizer = OptimizerConfig(epochs=1, batch_size=64)
    model = ModelConfig("mlp", width=4, depth=1)
    training = TrainingConfig(DataConfig("npz:many.npz", input="memory"), 0, model, optimizer)
    for arm in ("onehot", "uniform"):
        train_command.train(TrainConfig(arm, training, out=Path(arm)))
    make_label_file(LabelsConfig(Path("onehot"), relation=RelationConfig(top_k=8)))
    train_command.train(TrainConfig("labels.npz", training, out=Path("second")))
    shown = capsys.readouterr().out
    assert f"kernel             4 features x {K} classes" in shown
    assert f"the 20 most related of {K} classes" in shown
    table: Any = load_table(Path("labels.npz")).table
    assert isinstance(table, ss.TopKLabels)
    kernel = np.asarray(ss.restore_head_kernel(Path("onehot")), np.float64)
    unit = kernel / np.linalg.norm(kernel, axis=0)
    for row in (0, 50, K - 1):
        cosines = unit[:, row] @ unit
        cosines[row] = np.inf
        kept = np.sort(cosines)[::-1][1:8]
        weights = np.array([1, *kept]) / (1 + kept.sum())
        assert table.indices[row, 0] == row
        np.testing.assert_allclose(table.weights[row], weights, rtol=1e-4)


@pytest.mark.slow
def test_without_top_k_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    num_classes = 1 + int((memory.available_memory() / 4) ** 0.5)
    np.save(tmp_path / "head.npy", np.ones((1, num_classes), np.float32))
    refused = simsmooth(
        "labels", "head.npy", "--num-classes", num_classes, cwd=tmp_path, status=2
    ).stderr
    (line,) = refused.splitlines()
    assert line.startswith("simsmooth: relation labels: a table [K, K] must fit into the memory of")
    assert "Keep the most related classes: --top-k 32, which takes" in line
    assert os.listdir(tmp_path) == ["head.npy"]


def test_a_run_of_too_many_classes_is_refused_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 399)  # bytes; 10 classes take 400
    monkeypatch.setattr(step_memory, "device_memory", lambda: 2**30)
    message = "for K = 10 classes. It keeps the whole similarity. These do without it: simsmooth"
    with pytest.raises(ss.InputError, match=re.escape(message)):
        run_command.run(RunConfig(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
