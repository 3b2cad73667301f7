"""Artefacts say what they were made from: another one in their place, or other data, is refused."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import simsmooth

from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.load import load_dataset, open_source
from simsmooth_jax.formats.label_files import load_table
from simsmooth_jax.machine import randomness
from simsmooth_jax.training.saved import made_from

pytestmark = pytest.mark.slow

COMMAND = ("run", "--out", "run", "--data", "npz:../x.npz", "--model", "linear")
COMMAND += ("--batch-size", 20, "--epochs", 2, "--checkpoint-every", 1)
NAMES = ("train", "validation", "test")


def arrays() -> dict[str, Any]:
    random = np.random.RandomState(0)
    found = {f"{name}_images": random.randint(0, 255, (60, 4, 4), np.uint8) for name in NAMES}
    return found | {f"{name}_labels": np.arange(60) % 3 for name in NAMES}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose last training is to do, and one of another seed, whole."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    folder.mkdir()
    np.savez(folder.parent / "x.npz", **arrays())
    simsmooth(*COMMAND, cwd=folder)
    simsmooth(*COMMAND[:2], "other", *COMMAND[3:], "--seed", 1, cwd=folder)
    shutil.rmtree(folder / "run" / "second")
    (folder / "run" / "report.json").unlink()
    return folder


@pytest.fixture
def copy(stopped: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Beside the data of all of them, which are whole afterwards."""
    number = sum(1 for _ in stopped.parent.iterdir())
    yield Path(shutil.copytree(stopped, stopped.parent / str(number)))
    np.savez(stopped.parent / "x.npz", **arrays())


def replaced(name: str, source: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        shutil.rmtree(folder / "run" / name)
        shutil.copytree(folder / source, folder / "run" / name)

    return attack


def flipped(folder: Path) -> None:
    found = arrays()
    found["train_images"][7, 2, 2, ...] ^= 1
    np.savez(folder.parent / "x.npz", **found)


ATTACKS: dict[str, Callable[[Path], None]] = {
    "its arm must be uniform, got onehot": replaced("uniform", "run/first"),
    "its seed must be 0, got 1": replaced("first", "other/first"),
    "; `train_sha256` ": flipped,
}


@pytest.mark.parametrize("message", ATTACKS)
def test_what_was_made_from_something_else_is_refused(copy: Path, message: str) -> None:
    ATTACKS[message](copy)
    failed = simsmooth(*COMMAND, cwd=copy, status=2)
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_random_numbers_do_not_depend_on_settings(
    copy: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_THREEFRY_PARTITIONABLE", "0")
    failed = simsmooth(*COMMAND, cwd=copy, status=2, fresh=True)
    assert "threefry_partitionable` True -> False" in failed.stderr
    monkeypatch.delenv("JAX_THREEFRY_PARTITIONABLE")
    monkeypatch.setenv("JAX_DEFAULT_PRNG_IMPL", "rbg")
    simsmooth(*COMMAND, cwd=copy, fresh=True)
    monkeypatch.delenv("JAX_DEFAULT_PRNG_IMPL")
    whole = Path(shutil.copytree(stopped, stopped.parent / "whole"))
    simsmooth(*COMMAND, cwd=whole)
    for name in ("metrics.jsonl", "report.json", "labels.npz"):
        assert (copy / "run" / name).read_bytes() == (whole / "run" / name).read_bytes()


def test_labels_go_on_as_they_were(copy: Path) -> None:
    """Rounding of other devices would make other labels of the same classifier."""
    path = copy / "run" / "labels.npz"
    whole = load_table(path)
    moved = np.asarray(whole.table.table) + np.float32(1e-6) * (np.eye(3, dtype=np.float32) - 1 / 3)
    dataclasses.replace(whole, table=moved).save(path)
    before = path.read_bytes()
    simsmooth(*COMMAND, cwd=copy)
    assert path.read_bytes() == before


def test_the_identity_of_files_sees_names_sizes_and_bytes(tmp_path: Path) -> None:
    for number in range(12):
        for split in NAMES:
            folder = tmp_path / "x" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            image = np.random.RandomState(number).randint(0, 255, (6, 6), np.uint8)
            Image.fromarray(image).save(folder / f"{number}.png")
    data = DataConfig(f"folder:{tmp_path / 'x'}", SourceConfig(), "stream", 0)

    def found() -> dict[str, Any]:
        return made_from.of_data(load_dataset(data))["examples"]

    before = found()
    assert found() == before
    file = tmp_path / "x" / "test" / "a" / "4.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # the size is the same
    file.write_bytes(content)
    changed = found()
    assert {part for part in NAMES if changed[f"{part}_sha256"] != before[f"{part}_sha256"]} == {
        "test"
    }
    file.rename(file.with_name("5.png"))
    assert found()["test_sha256"] != changed["test_sha256"]


def test_joined_splits_have_the_identity_of_all_pieces(tmp_path: Path) -> None:
    source, path = SourceConfig(train_split="train+test[30:]", test_split="test[:30]"), tmp_path
    digests = []
    for change in (0, 1):
        found = arrays()
        found["test_images"][45, 0, 0, ...] += change
        np.savez(path / "x.npz", **found)
        data = DataConfig(f"npz:{path / 'x.npz'}", source)
        digests.append(made_from.of_data(load_dataset(data))["examples"])
    assert digests[0]["train_sha256"] != digests[1]["train_sha256"]
    assert digests[0]["test_sha256"] == digests[1]["test_sha256"]
    assert open_source(data.data, source).splits


def test_evaluation_sees_that_images_are_others(copy: Path) -> None:
    found = arrays()
    found["test_images"][7, 2, 2, ...] ^= 1
    np.savez(copy.parent / "x.npz", **found)
    failed = simsmooth("evaluate", "run/first", cwd=copy, status=2)
    assert "data x: its test examples must be those that" in failed.stderr
    assert "--data npz:" in failed.stderr
    shown = simsmooth("evaluate", "run/first", "--data", "npz:../x.npz", cwd=copy).stdout
    assert "test split, 60 images" in shown


def test_another_version_warns() -> None:
    noted = made_from.versions()
    old = {"versions": noted["versions"] | {"jax": "0.1.2"}}
    expected = noted | {"random": randomness.settings()}
    with pytest.warns(UserWarning, match="was written with jax 0.1.2, now "):
        made_from.refuse_other(Path("run/first/10"), old, expected)
