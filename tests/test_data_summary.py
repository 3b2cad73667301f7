"""What `simsmooth data` prints of images of one kind and of many, and where it draws samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config.commands import DataCommandConfig
from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.data.load import load_dataset
from simsmooth_jax.program.commands.data_command import show_data

Show = Callable[..., list[str]]


def write(path: Path, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), 99).save(path)


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 images of each of two classes to train on, 3 to test on; one stands beside the folder."""
    for part, count in (("train", 20), ("test", 3)):
        for i in range(count):
            write(tmp_path / "pets" / part / "cat" / f"{i:02d}.png")
            write(tmp_path / "pets" / part / "dog" / f"{i:02d}.png")
    monkeypatch.chdir(tmp_path)
    return Path("pets")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """The lines of a summary."""

    def run(name: str, out: Path | None = None, **options: Any) -> list[str]:
        show_data(DataCommandConfig(name, SourceConfig(**options), out))
        return capsys.readouterr().out.splitlines()

    return run


def test_images_of_one_kind(pets: Path, show: Show) -> None:
    lines = show("folder:pets")
    assert lines[0] == "pets: 8x6 rgb, 2 classes, 6.47 KiB decoded"
    assert lines[-1] == "samples: pets-samples.png"
    assert not any(line.startswith("sizes") for line in lines)


def test_images_of_many_kinds_are_counted(pets: Path, show: Show) -> None:
    write(pets / "train" / "dog" / "07.png", (9, 9))
    write(pets / "train" / "cat" / "19.png", (8, 6), "L")
    write(pets / "test" / "cat" / "01.png", (8, 6), "L")
    lines = show("folder:pets")
    assert lines[:3] == [
        "pets: images of 3 sizes or modes, 2 classes",
        "sizes  8x6 rgb 43, 8x6 grey 2, 9x9 rgb 1",
        "Warning: pets/test/cat/01.png is 8x6 grey. Declare what all images become, as "
        "--image-size 8x6 --image-mode rgb.",
    ]
    assert lines[-1] == (
        "samples: pets-samples.png, as --image-size 8x6 --image-mode rgb makes them"
    )
    assert Path("pets-samples.png").exists()


def test_what_is_declared_is_no_difference(pets: Path, show: Show) -> None:
    write(pets / "train" / "dog" / "07.png", (9, 9), "L")
    by_mode = show("folder:pets", image_size="4")
    assert by_mode[1] == "sizes  4x4 rgb 45, 4x4 grey 1"
    assert by_mode[2].endswith("07.png is 4x4 grey. Declare what all images become, as "
                               "--image-mode rgb.")  # fmt: skip
    by_size = show("folder:pets", image_mode="grey")
    assert by_size[1] == "sizes  8x6 grey 45, 9x9 grey 1"
    assert by_size[2].endswith("become, as --image-size 8x6.")
    assert show("folder:pets", image_size="4", image_mode="grey")[0].startswith("pets: 4x4 grey, 2")


def test_photos_of_all_sizes_are_summed_up(pets: Path, show: Show) -> None:
    for i in range(20):
        write(pets / "train" / "dog" / f"{i:02d}.png", (300 + i, 400))
    for i in range(9):
        write(pets / "train" / "cat" / f"{i:02d}.png", (300, 500))
    lines = show("folder:pets")
    assert lines[0] == "pets: images of 22 sizes or modes, 2 classes"
    assert lines[1] == (
        "sizes  8x6 rgb 17, 300x500 rgb 9, 300x400 rgb 1, 301x400 rgb 1, 302x400 rgb 1, "
        "17 others 17"
    )
    for path in [*pets.glob("train/cat/*"), *pets.glob("test/*/*")]:
        write(path, (300, 200))
    assert show("folder:pets")[2].endswith("as --image-size 224x200.")


def test_parts_of_other_kinds_are_warned_of(pets: Path, show: Show) -> None:
    arrays: dict[str, Any] = {"train_labels": np.arange(20) % 2, "test_labels": np.arange(2)}
    arrays |= {"train_images": np.ones((20, 8, 6), np.uint8)}
    np.savez("alike.npz", **arrays, test_images=np.ones((2, 8, 6), np.uint8))
    np.savez("other.npz", **arrays, test_images=np.ones((2, 9, 6, 3), np.uint8))
    warning = "Warning: test is 9x6 rgb. Declare one: --image-size, --image-mode."
    assert show("npz:other.npz")[:2] == ["other: 8x6 grey, 2 classes, 1.25 KiB decoded", warning]
    for lines in (
        show("npz:alike.npz"),
        show("npz:other.npz", image_size="8x6", image_mode="grey"),
    ):
        assert lines[0].split(": ")[1] == "8x6 grey, 2 classes, 1.03 KiB decoded"
        assert not any("--image-size" in line for line in lines)


def test_names_are_shown_as_they_are_written(pets: Path, show: Show) -> None:
    (pets / "train" / "cat").rename(pets / "train" / "[red]:smile:")
    (pets / "test" / "cat").rename(pets / "test" / "[red]:smile:")
    assert any(line.split()[:1] == ["[red]:smile:"] for line in show("folder:pets"))
    names = np.array(["[", "[/b]", "$\\foo$"])
    images, labels = np.ones((30, 4, 4), np.uint8), np.arange(30) % 3
    arrays: dict[str, Any] = {"train_images": images, "train_labels": labels}
    arrays |= {"test_images": images, "test_labels": labels, "class_names": names}
    np.savez("odd.npz", **arrays)
    shown = [line.split()[0] for line in show("npz:odd.npz") if line.strip()]
    assert {*names} <= {*shown}


def test_files_that_cannot_be_read_are_named_before_a_training(pets: Path, show: Show) -> None:
    path = pets / "train" / "dog" / "05.png"
    path.write_text("no image")
    with pytest.raises(ss.InputError, match="dog/05.png: it must be a whole image, got one that"):
        show("folder:pets")
    Image.fromarray(np.ones((8, 6), np.uint16)).save(path)
    with pytest.raises(ss.InputError, match="dog/05.png: it must have 8 bits a channel, got"):
        show("folder:pets")
    assert not Path("pets-samples.png").exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("options", [{}, {"image_size": "4", "image_mode": "rgb"}])
def test_truncated_file_is_found_as_by_a_training(
    pets: Path, show: Show, suffix: str, options: dict[str, str]
) -> None:
    """Its header is whole, and it is no sample of the picture."""
    path = pets / "train" / "dog" / f"99.{suffix}"
    noise = np.random.RandomState(0).randint(0, 256, (8, 6, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: -len(content) // 10])
    with pytest.raises(ss.InputError) as found:
        show("folder:pets", **options)
    with pytest.raises(ss.InputError) as refused:
        load_dataset(DataConfig("folder:pets", SourceConfig(**options)))  # type: ignore[arg-type]
    assert str(found.value) == str(refused.value)
    assert "train/dog/99." in str(found.value)
    assert not Path("pets-samples.png").exists()


def test_default_picture_is_replaced_and_another_is_new(pets: Path, show: Show) -> None:
    for _ in range(2):
        show("folder:pets")
        assert Path("pets-samples.png").read_bytes().startswith(b"\x89PNG")
    Path("pets-samples.png").write_bytes(b"\x89PNG of somebody else")
    with pytest.raises(ss.InputError, match="`out` must be a new file, got pets-samples.png"):
        show("folder:pets")
    assert Path("pets-samples.png").read_bytes() == b"\x89PNG of somebody else"
    with pytest.raises(ss.InputError, match="`out` must be a new file, got pets-samples.png"):
        show("folder:pets", Path("pets-samples.png"))
    Path("mine.png").write_text("mine")
    Path("pets-samples.png").unlink()
    Path("pets-samples.png").symlink_to("mine.png")
    with pytest.raises(ss.InputError, match="`out` must be a new file, got pets-samples.png"):
        show("folder:pets")
    assert Path("mine.png").read_text() == "mine"


def test_data_is_refused_before_the_default_picture(pets: Path, show: Show) -> None:
    Path("none-samples.png").mkdir()
    with pytest.raises(ss.InputError, match="folder:PATH` must be an existing folder, got none"):
        show("folder:none")


@pytest.mark.parametrize("inside", [".", "train/cat"])
def test_no_picture_is_drawn_among_the_images(
    pets: Path, show: Show, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    place = pets.resolve()
    message = f"--out must lie outside of the folder of images, got .* Try --out {place.parent}/"
    with pytest.raises(ss.InputError, match=message):
        show("folder:pets", pets / inside / "x.png")
    monkeypatch.chdir(place / inside)
    with pytest.raises(ss.InputError, match=message):
        show(f"folder:{place}")
    assert show(f"folder:{place}", place.parent / "x.png")[-1].endswith("x.png")
