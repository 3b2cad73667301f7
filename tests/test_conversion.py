"""One image at a time: passed through, converted as declared, or refused by name."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.data.conversion import Conversion, read_image

NOISE = np.random.RandomState(0).randint(0, 256, (6, 8, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def converted(image: Image.Image, size: str | None = None, mode: Any = None) -> np.ndarray:
    conversion = Conversion.parse(size, mode)
    with_header = conversion.shape("x", image)
    pixels = read_image("x", encoded(image), lambda opened: conversion.convert("x", opened))
    assert pixels.shape == with_header
    assert pixels.dtype == np.uint8
    return pixels


def test_nothing_declared_changes_nothing() -> None:
    assert (converted(Image.fromarray(NOISE)) == NOISE).all()
    assert (converted(Image.fromarray(NOISE[..., 0])) == NOISE[..., :1]).all()
    assert (converted(Image.fromarray(NOISE), "6x8", "rgb") == NOISE).all()


def test_size_is_scaled_and_cropped_at_the_centre() -> None:
    """Blocks of equal pixels: half the size is one pixel of each block, without its sides."""
    blocks = NOISE[:4, :6]
    image = Image.fromarray(np.kron(blocks, np.ones((16, 16, 1), np.uint8)))  # 64 x 96
    small = converted(image, "32x32")  # a crop of 64 x 64, then half of it
    expected = np.kron(blocks[:, 1:5], np.ones((8, 8, 1)))
    inner = np.zeros((8, 8), bool)
    inner[2:6, 2:6] = True  # away from the blocks' edges, where bicubic weights overlap
    inside = np.tile(inner, (4, 4))
    assert np.abs(small[inside].astype(int) - expected[inside]).max() <= 1


def test_grey_is_the_luminance() -> None:
    grey = converted(Image.fromarray(NOISE), mode="grey")
    expected = NOISE @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - expected).max() <= 1
    rgb = converted(Image.fromarray(NOISE[..., 0]), mode="rgb")
    assert (rgb == NOISE[..., :1]).all()


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1", "CMYK"])
def test_other_modes_are_refused_unless_declared(mode: str) -> None:
    image = Image.fromarray(NOISE).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    content = encoded(image, kind)
    with pytest.raises(ss.InputError) as refused:
        read_image("cat.png", content, lambda opened: Conversion().convert("cat.png", opened))
    assert str(refused.value) == (
        f"cat.png: it must be grey (L) or RGB, got an image of mode {mode}. "
        "Declare what it becomes: `image_mode=rgb` or `image_mode=grey`."
    )
    declared = Conversion(mode="rgb")
    assert read_image("x", content, lambda opened: declared.convert("x", opened)).shape == (6, 8, 3)


def test_transparent_colours_of_a_palette_stay_what_they_are() -> None:
    """Pillow warns of palettes with transparency, and warnings are errors here."""
    image = Image.fromarray(NOISE[..., 0]).convert("P")
    content = encoded(image, transparency=bytes(range(0, 256, 2)))
    assert (NOISE[..., 0] < 128).any()  # some of its colours are transparent
    declared = Conversion(mode="rgb")
    pixels = read_image("x", content, lambda opened: declared.convert("x", opened))
    assert (pixels == NOISE[..., :1]).all()


def test_sixteen_bits_are_refused_also_where_a_mode_is_declared() -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000)
    for conversion in (Conversion(), Conversion(mode="grey")):
        with pytest.raises(ss.InputError, match="it must have 8 bits a channel, got .* I;16"):
            read_image("x", encoded(image), lambda o, c=conversion: c.convert("deep.png", o))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9])  # a PNG is whole before its end
def test_truncated_images_are_named(kind: str, share: float) -> None:
    content = encoded(Image.fromarray(np.tile(NOISE, (9, 9, 1))), kind)
    with pytest.raises(ss.InputError, match="a/b.png: it must be a whole image, got") as refused:
        read_image("a/b.png", content[: int(share * len(content))], np.asarray)
    assert "\n" not in str(refused.value)


def test_what_is_no_image_or_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ss.InputError, match="no image that Pillow knows.. Restore it from"):
        read_image("x.png", b"a text", lambda opened: opened)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # it warns above 40 and refuses above 80
    for size in (NOISE, np.tile(NOISE, (2, 2, 1))):
        with pytest.raises(ss.InputError, match="bomb.png: it must be a whole image, got"):
            read_image("bomb.png", encoded(Image.fromarray(size)), np.asarray)


def test_bombs_are_refused_by_every_thread_and_no_filter_of_warnings_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, bomb = (encoded(Image.fromarray(np.zeros(s, np.uint8))) for s in ((5, 5), (7, 7)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # as a user's program may
    before = list(warnings.filters)

    def refused(i: int) -> bool:
        try:
            read_image("x", bomb if i % 2 else small, np.asarray)
        except ss.InputError as error:
            return "(7 x 7 pixels)" in str(error)
        return False

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(refused, range(1000))) == [False, True] * 500
    assert warnings.filters == before


def test_arrays_are_converted_as_files_are() -> None:
    images = np.stack([NOISE, NOISE[::-1]])
    found = Conversion((3, 4), "grey").convert_array("x", images)
    assert found.shape == (2, 3, 4, 1)
    assert (found[0] == converted(Image.fromarray(NOISE), "3x4", "grey")).all()
    with pytest.raises(ss.InputError, match="must have 1 or 3 channels, got 2"):
        Conversion((3, 4)).convert_array("x", images[..., :2])
    many = np.broadcast_to(images[:1], (100_000, *images.shape[1:]))
    with pytest.raises(ss.InputError, match="x: converted images must fit twice into the memory"):
        Conversion((4096, 4096)).convert_array("x", many)


@pytest.mark.parametrize(("text", "size"), [("32", (32, 32)), ("32x48", (32, 48)), (None, None)])
def test_sizes(text: str | None, size: tuple[int, int] | None) -> None:
    assert Conversion.parse(text, None).size == size


@pytest.mark.parametrize(
    "text", ["", "0", "32x0", "4097", "32x", "x32", "-3", "3.5", "a", "3x3x3", "9" * 5000]
)
def test_refused_sizes(text: str) -> None:
    with pytest.raises(ss.InputError, match=f"one number, from 1 to 4096, got '{text}'. Write 32"):
        Conversion.parse(text, None)
