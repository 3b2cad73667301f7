"""Folders of images: every pixel as Pillow reads it, in a fixed order, with its class."""

import os
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pets import CLASSES, load, pairs, refuses, write, write_pets
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.training import TrainingConfig
from simsmooth_jax.data.load import load_dataset, open_source
from simsmooth_jax.data.sources.folder import FileExamples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pets(tmp_path / "pets")


def by_hand(folder: Path) -> list[tuple[bytes, int]]:
    """Pixels and class of every file, read by walking the tree."""
    return sorted(
        (np.asarray(Image.open(path)).tobytes(), CLASSES.index(path.parent.name))
        for path in folder.rglob("*.*")
    )


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_every_image_is_read_with_the_class_of_its_folder(folder: Path, mode: Any) -> None:
    dataset = load_dataset(DataConfig(f"folder:{folder}", input=mode))
    assert (dataset.name, dataset.class_names) == ("pets", CLASSES)
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [54, 6, 9]
    assert pairs(dataset.train, dataset.validation) == by_hand(folder / "train")
    assert pairs(dataset.test) == by_hand(folder / "test")
    assert dataset.streamed is (mode == "stream")


def test_flat_folder_needs_declared_splits(folder: Path) -> None:
    flat = folder / "train"
    message = "data train: it must have a test split, got train. Declare what is which: `train_sp"
    with pytest.raises(ss.InputError, match=re.escape(message)):
        load(flat)
    dataset = load(flat, train_split="train[:80%]", test_split="train[80%:]")
    assert pairs(dataset.train, dataset.validation, dataset.test) == by_hand(flat)
    assert set(dataset.test.all_labels()) == {0, 1, 2}  # a slice has every class


def test_folder_is_named_wherever_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, where in ((folder, "."), (folder / "train", ".."), (folder.parent, "pets/")):
        monkeypatch.chdir(place)
        assert open_source(f"folder:{where}", SourceConfig()).name == "pets"
        assert DataConfig(f"folder:{where}").short_name == "pets"


def test_examples_are_small_and_travel_to_other_processes(folder: Path) -> None:
    train = open_source(f"folder:{folder}", SourceConfig()).splits["train"]
    copied = pickle.loads(pickle.dumps(train))
    chosen = copied.select(np.array([5, 3, 8]))
    assert pairs(chosen) == pairs(train.select(np.array([8, 5, 3])))
    assert (chosen.all_labels() == chosen.take(np.arange(3))[1]).all()
    assert len(pickle.dumps(train)) < 5000


def test_hidden_and_other_files_are_passed_by(folder: Path) -> None:
    for name in (".DS_Store", "train/cat/.hidden.png", "train/cat/notes.txt", "train/README.md"):
        (folder / name).write_text("no image")
    (folder / ".cache").mkdir()
    assert len(load(folder).train) == 54


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_folder_has_three_names(folder: Path, name: str) -> None:
    write(folder / name / "cat" / "1.png")
    write(folder / name / "狗" / "1.png")
    dataset = load(folder)
    assert [len(part) for part in (dataset.train, dataset.validation)] == [60, 2]
    other = "validation" if name == "val" else "val"
    write(folder / other / "cat" / "1.png")
    refuses(folder, "data pets: it must have one validation split, got ")
    assert len(load(folder, validation_split=name).validation) == 2


def test_class_may_be_called_train(tmp_path: Path) -> None:
    """As one of CIFAR-100's is; a folder that holds no folders is no split among other folders."""
    for k, name in enumerate(("apple", "train", "wolf")):
        for i in range(10):
            write(tmp_path / "flat" / name / f"{i}.png", 10 * k + i)
            write(tmp_path / "split" / "train" / name / f"{i}.png", 10 * k + i)
    sources = [
        open_source(f"folder:{tmp_path / name}", SourceConfig()) for name in ("flat", "split")
    ]
    for source in sources:
        assert source.class_names == ("apple", "train", "wolf")
        assert len(source.splits["train"]) == 30
    assert pairs(sources[0].splits["train"]) == pairs(sources[1].splits["train"])
    for name in ("train", "test"):
        write(tmp_path / "unsorted" / name / "1.png")  # two splits without classes
    refuses(tmp_path / "unsorted", "train/1.png: an image must lie in the folder of its class")


def test_names_of_other_file_systems_are_the_same_classes(folder: Path) -> None:
    """One system stores Ä as one letter, another as A with dots."""
    test, train = folder / "test", folder / "train"
    (test / "Äpfel").rename(test / unicodedata.normalize("NFD", "Äpfel"))
    assert len(list((test / unicodedata.normalize("NFD", "Äpfel")).iterdir())) == 3
    dataset = load(folder)
    assert dataset.class_names == CLASSES
    assert sorted(dataset.test.all_labels()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    write(train / unicodedata.normalize("NFD", "Äpfel") / "1.png")
    refuses(
        folder, "train: it must hold each class once, got two folders whose names look the same"
    )


def test_class_without_images_is_warned_of_by_name(folder: Path) -> None:
    for split in ("train", "test"):
        for file in (folder / split / "cat").iterdir():
            file.unlink()
    with pytest.warns(UserWarning, match="data pets: .* has no image of cat") as warned:
        dataset = load(folder)
    assert dataset.class_names == CLASSES
    assert len(warned) == 2


def test_folder_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load(Path("~") / folder.name).train) == 54
    values = TrainingConfig(DataConfig(f"folder:~/{folder.name}")).to_json()
    assert values["data"]["data"] == f"folder:{folder}"


def test_order_of_the_files_is_fixed(folder: Path) -> None:
    """Which files a slice means must not change from one version to the next."""
    names = open_source(f"folder:{folder}", SourceConfig()).splits["train"]
    assert isinstance(names, FileExamples)
    listed = sorted(file.relative_to(folder) for file in folder.glob("train/*/*.*"))
    order = np.random.RandomState(0).permutation(60)
    assert len(listed) == 60
    assert sorted(map(os.fsdecode, names.names)) == sorted(map(str, listed))
    assert (names.labels == np.repeat(np.arange(3), 20)[order]).all()


def test_links_inside_of_the_folder_are_followed(folder: Path) -> None:
    (folder / "train" / "cat" / "notes.txt").symlink_to(folder.parent / "none.txt")  # never read
    (folder / "train" / "cat" / "again.png").symlink_to(folder / "train" / "cat" / "0.png")
    assert len(load(folder).train) + len(load(folder).validation) == 61
