"""Real images through the command line: Fashion-MNIST's archives, CIFAR-100 as array and folder."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import Forked, simsmooth
from shared_images import cifar100, needs_images, prepared_fashion_mnist, write_folder

pytestmark = [pytest.mark.slow, needs_images]

TINY = ("--model", "mlp", "--width", 16, "--depth", 1)
STEPS = ("--epochs", 3, "--batch-size", 100, "--learning-rate", 0.01, *TINY)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`cifar100.npz` and the folder `cifar100`."""
    directory, arrays = tmp_path_factory.mktemp("cifar"), cifar100()
    np.savez(directory / "cifar100.npz", **arrays)
    write_folder(arrays, directory / "cifar100")
    return directory


@pytest.mark.heavy
def test_fashion_mnist_trains_both_stages(shared_directory: Path, tmp_path: Path) -> None:
    data = ("--data", "fashion_mnist", "--data-dir", prepared_fashion_mnist(shared_directory))
    options = (*TINY, "--epochs", 1, "--batch-size", 500, "--learning-rate", 0.1)
    shown = simsmooth("run", *data, *options, "--out", "run", cwd=tmp_path).stdout
    assert "fashion_mnist: 54,000 training, 6,000 validation, 10,000 test images of 10" in shown
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    for arm in ("onehot", "uniform", "relation"):
        assert report["arms"][arm]["test"]["count"] == 10_000
        assert report["arms"][arm]["test"]["accuracy"] > 0.7
    assert report["class_names"][8] == "Bag"
    nearest = {line.split()[0]: line for line in shown.splitlines() if "(+" in line}
    assert "Ankle boot" in nearest["Sneaker"]
    again = simsmooth("evaluate", "run/second", "--json", cwd=tmp_path)
    assert json.loads(again.stdout) == report["arms"]["relation"]["test"]


@pytest.mark.parametrize(
    "data", ["folder:cifar100", pytest.param("npz:cifar100.npz", marks=pytest.mark.heavy)]
)
def test_cifar100_trains_from_arrays_and_from_files(data: str, cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = simsmooth("run", "--data", data, *STEPS, "--out", out, cwd=cifar).stdout
    assert "cifar100: 900 training, 100 validation, 500 test images of 100 classes" in shown
    with np.load(out / "labels.npz") as file:
        assert file["class_names"].tolist() == cifar100()["class_names"].tolist()
    report = json.loads((out / "report.json").read_text())
    assert report["arms"]["onehot"]["test"]["count"] == 500
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len([row for row in rows if "loss" in row]) == 3 * 3 * 9


@pytest.mark.heavy
def test_streamed_run_is_killed_in_mid_epoch_and_ends_with_the_bits_in_memory(
    cifar: Path, tmp_path: Path
) -> None:
    """Augmented, by a worker process; 9 steps an epoch and a checkpoint every 4."""
    common = ("train", "--data", "folder:cifar100", *STEPS, "--crop", 4, "--flip", "--mixup", 1)
    common += ("--epochs", 4, "--checkpoint-every", 100, "--checkpoint-steps", 4)
    simsmooth(*common, "--input", "memory", "--out", tmp_path / "memory", cwd=cifar)
    streamed = (*common, "--input", "stream", "--workers", 1, "--out", tmp_path / "stream")
    process = Forked(*streamed, cwd=cifar)

    steps = tmp_path / "stream" / "checkpoints"

    def saved() -> set[int]:
        return {int(path.name) for path in steps.iterdir() if path.name.isdigit()}

    while not steps.exists() or not any(step > 8 for step in saved()):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert any(step % 9 for step in saved()), "not in the midst of an epoch"
    simsmooth(*streamed, cwd=cifar)
    for name in ("metrics.jsonl", "report.json"):
        memory, stream = (tmp_path / kind / name for kind in ("memory", "stream"))
        assert memory.read_bytes() == stream.read_bytes()


def test_data_shows_counts_sizes_and_samples(cifar: Path, tmp_path: Path) -> None:
    picture = tmp_path / "samples.png"
    shown = simsmooth("data", "folder:cifar100", "--out", picture, cwd=cifar).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["cifar100:", "32x32", "rgb,", "100", "classes,", "4.39", "MiB", "decoded"]
    train, validation, test = (
        np.array(column, int) for column in zip(*_counts(lines), strict=True)
    )
    assert ((train + validation) == 10).all()
    assert (test == 5).all()
    assert len(test) == 100
    assert ["all", "900", "100", "500"] in lines
    assert max(map(len, shown.splitlines())) <= 100
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000  # colours of real images


def _counts(lines: list[list[str]]) -> list[Any]:
    names = set(cifar100()["class_names"].tolist())
    return [line[1:] for line in lines if line and line[0] in names]
