"""Folders of images that are refused: every wrong file and folder by its name."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pets import load, pairs, refuses, write, write_pets

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.load import load_dataset, open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pets(tmp_path / "pets")


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


def test_paths_that_cannot_be_read_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(folder.with_name("caf\udce9"), "`data` must be a text in UTF-8, got b'folder:")
    message = f"`data=folder:{folder}` must be readable, got Permission denied at {folder}/train."
    scan = os.scandir

    def locked(path: Any) -> Any:  # as root, who runs CI, nothing is locked
        if Path(path) == folder / "train":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    refuses(folder, message)


def test_refused_folders(folder: Path, tmp_path: Path) -> None:
    refuses(tmp_path / "none", "`data=folder:PATH` must be an existing folder, got")
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", "it must hold a folder for each of two classes or more, got 0")
    write(tmp_path / "one" / "cat" / "1.png")
    refuses(tmp_path / "one", "two classes or more, got 1")
    write(folder / "test" / "wolf" / "1.png")
    refuses(folder, "test: it must hold classes of train, got 'wolf', which train has not.")
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
    refuses(tmp_path / "bare", "bare/train: it must hold images (.png .jpg .jpeg .webp), got none.")


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
    refuses(
        folder,
        "cat/x.png: it must be an image file, got a link to "
        f"{folder}/train/none.png, where nothing is. Take it out.",
    )
    odd.unlink()
    os.mkfifo(odd)
    refuses(folder, "cat/x.png: it must be an image file, got no file. Take it out.")


def test_names_that_are_not_utf8_are_refused(folder: Path) -> None:
    (folder / "train" / "caf\udce9").mkdir()
    refuses(folder, "must hold classes with names in UTF-8, got b'caf\\xe9'. Rename it.")


def test_links_are_named_as_what_they_are(folder: Path, tmp_path: Path) -> None:
    """A class behind a broken link would be missed, a linked one counted twice."""
    train, link = folder / "train", folder / "train" / "wolf"
    link.symlink_to(tmp_path / "unmounted")
    message = f"{link}: it must be a folder or a file, got a link to {tmp_path}/unmounted, where no"
    refuses(folder, message)
    link.unlink()
    link.symlink_to("cat")
    refuses(folder, f"{link}: it must hold images of its own, got a link to {train}/cat, whose ima")
    link.unlink()
    (tmp_path / "far" / "wolf").mkdir(parents=True)
    link.symlink_to(tmp_path / "far" / "wolf")
    refuses(folder, f"got {link}, a link to {tmp_path}/far/wolf outside of it. Copy them into it.")
    link.unlink()
    shared = folder / "test" / "cat"
    shared.rename(folder / "test" / ".cat")
    shared.symlink_to(train / "cat")
    refuses(folder, f"{shared}: it must hold images of its own, got a link to {train}/cat, whose i")
    (folder / "test").rename(folder / ".test")
    for target, message in (
        (tmp_path / "gone", f"test: it must be a folder or a file, got a link to {tmp_path}/gone"),
        ("train", f"{folder}/test: it must hold images of its own, got a link to {train}, whose"),
        (tmp_path / "far", f"got {folder}/test, a link to {tmp_path}/far outside of it."),
    ):
        (folder / "test").symlink_to(target)
        refuses(folder, message)
        (folder / "test").unlink()
