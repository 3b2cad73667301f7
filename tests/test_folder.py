"""Folders of images: every pixel as Pillow reads it, and every wrong file by its name."""

import os
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config import DataConfig, SourceConfig, TrainingConfig
from simsmooth_jax.data import Dataset, load_dataset, open_source
from simsmooth_jax.data.folder import FileExamples

CLASSES = ("cat", "Äpfel", "狗")  # in the order of their code points


def write(path: Path, seed: int = 0, size: tuple[int, int] = (5, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 images of each class to train on, 3 to test on, of all three kinds."""
    for k, name in enumerate(CLASSES):
        for i in range(23):
            part, suffix = ("train", "test")[i >= 20], ("png", "JPG", "webp")[i % 3]
            write(tmp_path / "pets" / part / name / f"{i}.{suffix}", 100 * k + i)
    return tmp_path / "pets"


def load(path: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(f"folder:{path}", SourceConfig(**options)))


def by_hand(folder: Path) -> list[tuple[bytes, int]]:
    """Pixels and class of every file, read by walking the tree."""
    return sorted(
        (np.asarray(Image.open(path)).tobytes(), CLASSES.index(path.parent.name))
        for path in folder.rglob("*.*")
    )


def pairs(*parts: Any) -> list[tuple[bytes, int]]:
    read = [part.take(np.arange(len(part))) for part in parts]
    return sorted(
        (image.tobytes(), int(label))
        for images, labels in read
        for image, label in zip(images, labels, strict=True)
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
    message = "data train: it must have a test split, got train. Declare what is which: --train-sp"
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


def test_images_that_would_be_left_out_are_refused(folder: Path) -> None:
    inner = folder / "train" / "cat" / "more"
    write(inner / "1.png")
    refuses(folder, f"{inner}: a class must hold .png .jpg .jpeg .webp files and no folders, got a")
    inner.rename(folder / "train" / "cat" / ".more")
    for name in ("1.BMP", "2.heic"):
        write(inner.with_name("1.BMP"))
        inner.with_name("1.BMP").rename(inner.with_name(name))
        refuses(
            folder, f"train/cat/{name}: a class must hold .png .jpg .jpeg .webp files and no fo"
        )
        inner.with_name(name).unlink()


def test_images_outside_of_the_classes_are_refused(folder: Path) -> None:
    for place in (folder / "train", folder / "test"):
        write(place / "B.BMP")
        write(place / "C.png")
        refuses(
            folder,
            f"{place}/B.BMP: an image must lie in the folder of its class, got it in {place} "
            f"itself. Move it into {place}/CLASS, or elsewhere.",
        )
        refuses(place, f"{place}/B.BMP: an image must lie in the folder of its class, got it in")
        for name in ("B.BMP", "C.png"):
            (place / name).unlink()
    write(folder / "train" / ".hidden.png")
    for name in ("labels.csv", "README.txt", "paper.pdf", "train/labels.csv", "train/paper.pdf"):
        (folder / name).write_text("no image")
    write(folder / "figure.png")  # beside splits, where no image could be meant
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


def test_other_folders_beside_splits_are_refused(folder: Path) -> None:
    for name in ("dev", "Val", "unlabelled"):
        write(folder / name / "cat" / "1.png")
        refuses(
            folder,
            f"must hold no other folder beside train, test, got {name}. Rename it to train, val or "
            "test (in lower case), or move it.",
        )
        (folder / name).rename(folder / f".{name}")
    assert len(load(folder).train) == 54


def test_splits_in_upper_case_are_named(folder: Path) -> None:
    for name in ("train", "test"):
        (folder / name).rename(folder / name.title())
    refuses(
        folder,
        "Test/cat: a class must hold .png .jpg .jpeg .webp files and no folders, got a folder. If "
        "Test is a split, rename that to train, val or test (in lower case); else move it.",
    )


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
    refuses(folder, "train must hold each class once, got two folders whose names look the same")


def test_class_without_images_is_warned_of_by_name(folder: Path) -> None:
    for split in ("train", "test"):
        for file in (folder / split / "cat").iterdir():
            file.unlink()
    with pytest.warns(UserWarning, match="data pets: .* has no image of cat") as warned:
        dataset = load(folder)
    assert dataset.class_names == CLASSES
    assert len(warned) == 2


@pytest.mark.parametrize("content", [b"", b"text", None])
@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_corrupt_file_is_named(folder: Path, content: bytes | None, mode: Any) -> None:
    path = folder / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:90] if content is None else content)

    def read_all() -> None:
        dataset = load_dataset(DataConfig(f"folder:{folder}", input=mode))
        pairs(dataset.train, dataset.validation)

    with pytest.raises(ss.InputError, match="train/cat/0.png: it must be a whole image, got") as no:
        read_all()
    assert "\n" not in str(no.value)


def test_other_sizes_and_modes_are_refused_by_name_or_converted(folder: Path) -> None:
    odd = folder / "test" / "cat" / "20.webp"
    for size, mode in (((7, 9), "RGB"), ((5, 4), "L")):
        odd.unlink()
        odd = odd.with_suffix(".png")
        write(odd, 1, size, mode)
        shape = f"({size[0]}, {size[1]}, {3 if mode == 'RGB' else 1})"
        message = "20.png: it must have the height, width and channels (5, 4, 3) of the first "
        message += f"image, {folder}/train/cat/0.png, got"
        with pytest.raises(ss.InputError, match=f"{re.escape(message)}.*{re.escape(shape)}"):
            load(folder)
    dataset = load(folder, image_size="6x6", image_mode="grey")
    assert dataset.image_shape == (6, 6, 1)
    write(odd, 1, (5, 4), "RGBA")
    with pytest.raises(ss.InputError, match="20.png: it must be grey .L. or RGB, got .* RGBA"):
        load(folder)
    assert load(folder, image_mode="rgb").image_shape == (5, 4, 3)


def test_file_that_vanishes_is_named(folder: Path) -> None:
    train = open_source(f"folder:{folder}", SourceConfig()).splits["train"]
    (folder / "train" / "cat" / "3.png").unlink()
    with pytest.raises(
        ss.InputError, match="cat/3.png: it must be a file that can be read, got No"
    ):
        pairs(train)


def refuses(path: Path, message: str) -> None:
    with pytest.raises(ss.InputError) as refused:
        load(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


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


def test_paths_that_cannot_be_read_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(folder.with_name("caf\udce9"), "--data must be a text in UTF-8, got b'folder:")
    message = f"--data folder:{folder} must be readable, got Permission denied at {folder}/train."
    scan = os.scandir

    def locked(path: Any) -> Any:  # as root, who runs CI, nothing is locked
        if Path(path) == folder / "train":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    refuses(folder, message)


def test_refused_folders(folder: Path, tmp_path: Path) -> None:
    refuses(tmp_path / "none", "--data folder:PATH must be an existing folder, got")
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", "must hold a folder for each of two classes or more, got 0")
    write(tmp_path / "one" / "cat" / "1.png")
    refuses(tmp_path / "one", "two classes or more, got 1")
    write(folder / "test" / "wolf" / "1.png")
    refuses(folder, "test must hold classes of train, got 'wolf', which train has not.")
    (folder / "train").rename(folder / "training")
    refuses(
        folder,
        "must hold no other folder beside test, got training. Rename it to train, val or test (in "
        "lower case), or move it.",
    )
    (folder / "training").rename(folder / ".training")
    refuses(folder, "data pets: it must have a train split, got test. Declare what is which:")
    write(folder / "val" / "cat" / "1.png")
    refuses(folder, "must hold a folder train beside val, test, got none. Name the one to train on")
    for name in ("a", "b"):
        (tmp_path / "bare" / "train" / name).mkdir(parents=True)
    refuses(tmp_path / "bare", "bare/train must hold images (.png .jpg .jpeg .webp), got none.")


@pytest.mark.parametrize("target", ["folder", "file"])
def test_links_that_leave_the_folder_are_refused(folder: Path, tmp_path: Path, target: str) -> None:
    write(tmp_path / "secret" / "1.png")
    if target == "folder":
        (folder / "train" / "dog").symlink_to(tmp_path / "secret")
    else:
        (folder / "train" / "cat" / "x.png").symlink_to(tmp_path / "secret" / "1.png")
    refuses(folder, "must hold its images itself, got")


def test_what_is_no_file_is_refused(folder: Path) -> None:
    odd = folder / "train" / "cat" / "x.png"
    odd.symlink_to(folder / "train" / "none.png")
    refuses(folder, "cat/x.png: it must be an image file, got a link to nothing. Take it out.")
    odd.unlink()
    os.mkfifo(odd)
    refuses(folder, "cat/x.png: it must be an image file, got no file. Take it out.")


def test_links_inside_of_the_folder_are_followed(folder: Path) -> None:
    (folder / "train" / "cat" / "notes.txt").symlink_to(folder.parent / "none.txt")  # never read
    (folder / "train" / "cat" / "again.png").symlink_to(folder / "train" / "cat" / "0.png")
    assert len(load(folder).train) + len(load(folder).validation) == 61


def test_names_that_are_not_utf8_are_refused(folder: Path) -> None:
    (folder / "train" / "caf\udce9").mkdir()
    refuses(folder, "must hold classes with names in UTF-8, got b'caf\\xe9'. Rename it.")
