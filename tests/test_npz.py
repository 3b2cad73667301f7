"""One archive of arrays: read as it is, or refused before anything is unpickled or allocated."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simsmooth_jax as ss
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.load import load_dataset, open_source

RANDOM = np.random.RandomState(0)
ARRAYS: dict[str, Any] = {
    "train_images": RANDOM.randint(0, 256, (40, 5, 4, 3)).astype(np.uint8),
    "train_labels": np.arange(40) % 3,
    "test_images": RANDOM.randint(0, 256, (9, 5, 4, 3)).astype(np.uint8),
    "test_labels": np.arange(9, dtype=np.uint8) % 3,
}


class Bomb:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return (open, ("exploded", "w"))


def save(path: Path, **changes: Any) -> Path:
    arrays = {name: value for name, value in (ARRAYS | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


def read(path: Path, **options: Any) -> Any:
    return open_source(f"npz:{path}", SourceConfig(**options))


def test_arrays_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    source = read(save(tmp_path / "tiny.npz", extra=np.ones(3)))
    assert (source.name, source.class_names) == ("tiny", ("0", "1", "2"))
    assert list(source.splits) == ["train", "test"]
    for name, split in source.splits.items():
        order = np.random.RandomState(0).permutation(len(split))
        assert (split.images == ARRAYS[f"{name}_images"][order]).all()
        assert (split.labels == ARRAYS[f"{name}_labels"][order]).all()
        assert split.labels.dtype == np.int32


def test_validation_has_three_names(tmp_path: Path) -> None:
    for name in ("val", "valid", "validation"):
        held = {f"{name}_images": ARRAYS["test_images"], f"{name}_labels": ARRAYS["test_labels"]}
        path = save(tmp_path / f"{name}.npz", **held)
        assert len(load_dataset(DataConfig(f"npz:{path}")).validation) == 9
        assert len(load_dataset(DataConfig(f"npz:{path}")).train) == 40  # nothing is cut out of it


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    grey = {f"{part}_images": ARRAYS[f"{part}_images"][..., 0] for part in ("train", "test")}
    source = read(save(tmp_path / "grey.npz", **grey))
    assert source.splits["train"].image_shape == (5, 4, 1)
    assert read(tmp_path / "grey.npz", image_mode="rgb").splits["test"].image_shape == (5, 4, 3)


def test_two_validation_splits_are_refused(tmp_path: Path) -> None:
    held = {
        f"{name}_{kind}": ARRAYS[f"test_{kind}"]
        for name in ("val", "validation")
        for kind in ("images", "labels")
    }
    path = save(tmp_path / "x.npz", **held)
    with pytest.raises(ss.InputError, match="one validation split, got validation and val. Choose"):
        load_dataset(DataConfig(f"npz:{path}"))


def test_joined_splits_of_other_channels_are_refused(tmp_path: Path) -> None:
    held = {"val_images": ARRAYS["test_images"][..., 0], "val_labels": ARRAYS["test_labels"]}
    data = f"npz:{save(tmp_path / 'x.npz', **held)}"
    with pytest.raises(ss.InputError, match=r"got .5, 4, 3. in train and .5, 4, 1. in val. Declar"):
        load_dataset(DataConfig(data, SourceConfig(train_split="train+val")))
    alike = SourceConfig(train_split="train+val", image_mode="rgb")
    dataset = load_dataset(DataConfig(data, alike))
    assert len(dataset.train) + len(dataset.validation) == 49


def test_labels_from_1_are_meant_where_names_or_one_0_say_so(tmp_path: Path) -> None:
    counted = {f"{part}_labels": ARRAYS[f"{part}_labels"] + 1 for part in ("train", "test")}
    names = np.array(["none", "a", "b", "c"])
    path = save(tmp_path / "x.npz", **counted, class_names=names)
    assert read(path).class_names == ("none", "a", "b", "c")
    counted["test_labels"][0] = 0
    assert read(save(tmp_path / "x.npz", **counted)).class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize("as_bytes", [False, True])
def test_class_names_travel(tmp_path: Path, as_bytes: bool) -> None:
    names = ("Äpfel", "cat", "狗")
    stored = np.array([n.encode() for n in names] if as_bytes else names)
    assert read(save(tmp_path / "x.npz", class_names=stored)).class_names == names


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"train_labels": np.arange(40) % 3 * 1.0}, "train_labels must be whole numbers [n], got floa"),
    ({"train_labels": np.arange(40) > 3}, "train_labels must be whole numbers [n], got bool[40]"),
    (
        {"test_labels": np.eye(9, dtype=int)},
        "test_labels must be whole numbers [n], got int64[9, 9",
    ),
    ({"test_labels": np.arange(9) % 3 - 1}, "test_labels must hold labels from 0 to 2, got -1."),
    ({"test_labels": np.arange(9)}, "test_labels must hold labels from 0 to 2, got "),
    ({"test_labels": np.full(9, 2**40)}, "test_labels must be class indices, got 1099511627776."),
    (
        {"class_names": np.array(["a", "b", "c"]), "train_labels": np.arange(40) % 3 + 1},
        "train_labels must hold labels from 0 to 2, got 3. These look as if they counted from 1: ",
    ),
    ({"train_labels": np.arange(39) % 3}, "train must hold one int32 label for each of its images"),
    (
        {"train_images": np.ones((40, 5, 4, 3))},
        "train must hold images uint8 [n, height, width, ch",
    ),
    ({"train_images": np.ones((40, 5), np.uint8)}, "channels], got uint8[40, 5]. Convert them"),
    ({"test_labels": np.array([0, -(2**40), 1])}, "must be class indices, got -1099511627776."),
    (
        {"train_labels": np.array([0] * 39 + [40])},
        "without class_names, train_labels must be less than the number of training images, 40, "
        "got 40. Correct it, or save class_names.",
    ),
    (
        {"test_images": np.ones((0, 5, 4), np.uint8), "test_labels": np.arange(0)},
        "test_images must hold one image of one pixel at least, got [0, 5, 4, 1]. Leave out a spl",
    ),
    ({"train_images": np.ones((40, 0, 4, 3), np.uint8)}, "one pixel at least, got [40, 0, 4, 3]."),
    (
        {"train_labels": np.arange(40) % 3 + 1, "test_labels": np.arange(9) % 2 + 1},
        "without class_names, labels must count from 0, got 1 to 3 and no 0. They look as if they "
        "counted from 1: subtract 1, or save class_names if a class 0 without images is meant.",
    ),
    (
        {"train_images": np.ones((40, 5, 4, 2), np.uint8)},
        "train_images must have 1 channel (grey) or 3 (rgb), got 2 in [40, 5, 4, 2]. The channels",
    ),
    ({"test_images": np.ones((9, 5, 4, 4), np.uint8)}, "or 3 (rgb), got 4 in [9, 5, 4, 4]."),
    ({"train_labels": None}, "train_images must come with train_labels, got none."),
    ({"val_labels": np.arange(3)}, "val_labels must come with val_images, got none. Save both."),
    ({"train_images": None}, "must hold train_images, train_labels, test_images, test_labels and"),
    (
        {"class_names": np.array(["a", "a", "a (1)"])},
        "class_names must differ, got 'a' for several classes, and 'a (1)' as well. Rename one",
    ),
    ({"class_names": np.array(["a", "b\nb", "c"])}, "must be texts of one line, got 'b\\nb'."),
    ({"class_names": np.array(["a", "b", "\ud800"])}, "must be texts of one line, got '\\ud800'."),
    ({"class_names": np.array(["a", "b", ""])}, "must be texts of one line, got ''. Rename it."),
    ({"class_names": np.arange(3)}, "class_names must be texts [K], got int64[3]."),
    (
        {"class_names": np.array([b"a", b"\xff", b"c"])},
        "class_names must be texts in UTF-8, got b'\\xff'",
    ),
    ({"class_names": np.array(["a", "b"])}, "train_labels must hold labels from 0 to 1, got 2."),
    ({"class_names": np.array([Bomb()], object)}, "pickle, which is never loaded"),
    ({"train_images": np.array([Bomb()], object)}, "a pickle, which is never loaded"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_refused_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ss.InputError) as refused:
        read(save(Path("x.npz"), **changes))
    assert message in str(refused.value)
    assert str(refused.value).startswith(("`data=npz:x.npz`", "data x: class_names"))
    assert "\n" not in str(refused.value)
    assert not Path("exploded").exists()


def refuses(path: Path, message: str) -> None:
    with pytest.raises(
        ss.InputError, match=re.escape(f"`data=npz:{path}` must be a whole") + ".*" + message
    ):
        read(path)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_truncated_archives(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "x.npz")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refuses(path, "Save it again with numpy.savez")


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_text("no archive at all")
    refuses(path, "File is not a zip file")
    content = bytearray(save(path).read_bytes())
    content[2000] ^= 255  # in the images
    path.write_bytes(content)
    refuses(path, "Bad CRC-32")
    content = bytearray(save(path).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1  # in the directory: the member is encrypted
    path.write_bytes(content)
    refuses(path, "is encrypted, password required")


def test_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    path, member = save(tmp_path / "x.npz"), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 5, 4, 3)}
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("validation_images.npy", member.getvalue() + b"few bytes")
    refuses(path, "a header claims 60,000,000,000,000 bytes where there are 9")


def test_archive_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.npz")
    monkeypatch.setattr("simsmooth_jax.machine.memory.available_memory", lambda: 1000)
    message = (
        r"must fit twice into the memory of 0.0 GiB, got 0.0 GiB of arrays. Write the images as f"
    )
    with pytest.raises(ss.InputError, match=message):
        read(path)
