"""Images of any size and colour mode -> the one that was declared, or a refusal by name."""

import dataclasses
import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from simsmooth_jax.config.data import ImageMode
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine.memory import available_memory

CHANNELS = {"L": 1, "RGB": 3}  # what a network is fed; anything else has to be converted to it
MODES = {"grey": "L", "rgb": "RGB"}
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow cuts these off at 255
MAX_SIDE = 4096
# Pillow knows many more, of which some start other programs; what a name says is not asked.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What every image becomes; a part that is None is left as it is, and must be alike in all."""

    size: tuple[int, int] | None = None  # height, width
    mode: ImageMode | None = None

    @classmethod
    def parse(cls, size: str | None, mode: ImageMode | None) -> "Conversion":
        """Reads `image_size` as `32` or `32x48`."""
        if size is None:
            return cls(None, mode)
        found = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", size)
        sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not all(1 <= side <= MAX_SIDE for side in sides):
            raise InputError(
                "`image_size`",
                f"be HEIGHTxWIDTH or one number, from 1 to {MAX_SIDE}",
                f"{size!r}",
                "Write 32 or 32x48.",
            )
        return cls(sides, mode)

    def convert(self, where: str, image: Image.Image) -> UInt8[np.ndarray, "height width channels"]:
        """The pixels of an open image.

        A declared size is reached by scaling until both sides are covered, then a central crop; a
        declared mode as Pillow does it, where transparency is dropped.
        """
        with refusing_broken(where):
            image = self._in_mode(where, image)
            if self.size is not None:
                height, width = self.size
                image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(image)
        return pixels.reshape(*pixels.shape[:2], CHANNELS[image.mode])

    def convert_array(self, where: str, images: UInt8[np.ndarray, "n h w c"]) -> np.ndarray:
        """The same for pixels that are decoded already."""
        if self == Conversion():
            return images
        if images.shape[-1] not in CHANNELS.values():
            raise InputError(
                f"{where}: images to convert",
                "have 1 or 3 channels",
                images.shape[-1],
                "Leave out `image_size` and `image_mode`.",
            )
        channels = CHANNELS[MODES[self.mode]] if self.mode else images.shape[-1]
        size = len(images) * math.prod(self.size or images.shape[1:3]) * channels
        if 2 * size > available_memory():
            raise InputError(
                f"{where}: converted images",
                f"fit twice into the memory of {available_memory() / 2**30:.1f} GiB",
                f"{size / 2**30:.1f} GiB",
                "Choose a smaller `image_size`.",
            )
        squeezed = images[..., 0] if images.shape[-1] == 1 else images
        return np.stack([self.convert(where, Image.fromarray(image)) for image in squeezed])

    def refuse_features(self, where: str) -> None:
        """Refuses to convert what are no images."""
        for name, value in (("image_size", self.size), ("image_mode", self.mode)):
            if value is not None:
                raise InputError(
                    f"`{name}`",
                    f"be left out with features, as {where} holds",
                    value,
                    "They are taken as they are.",
                )

    def shape(self, where: str, image: Image.Image) -> tuple[int, int, int]:
        """Height, width and channels after the conversion, from the image's header alone."""
        mode = MODES[self.mode] if self.mode else image.mode
        self._refuse_mode(where, image.mode)
        height, width = self.size or image.size[::-1]
        return height, width, CHANNELS[mode]

    def _in_mode(self, where: str, image: Image.Image) -> Image.Image:
        self._refuse_mode(where, image.mode)
        wanted = MODES[self.mode] if self.mode else image.mode
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # Pillow warns of the direct way
        return image if image.mode == wanted else image.convert(wanted)

    def _refuse_mode(self, where: str, mode: str) -> None:
        if mode in DEEP:
            raise InputError(
                f"{where}: it",
                "have 8 bits a channel",
                f"an image of mode {mode}",
                "Scale it to 8 bits before.",
            )
        if self.mode is None and mode not in CHANNELS:
            raise InputError(
                f"{where}: it",
                "be grey (L) or RGB",
                f"an image of mode {mode}",
                "Declare what it becomes: `image_mode=rgb` or `image_mode=grey`.",
            )


def read_image(where: str, content: bytes | IO[bytes], use: Callable[[Image.Image], Any]) -> Any:
    """What `use` makes of an encoded image; one that cannot be decoded is refused by name."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    with refusing_broken(where), file, Image.open(file, formats=FORMATS) as image:
        # Pillow only warns up to twice its limit, and filters of warnings are shared by threads.
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
        return use(image)


@contextmanager
def refusing_broken(where: str) -> Iterator[None]:
    """Every way in which Pillow fails on a file becomes one line that names it."""
    try:
        yield
    except InputError:
        raise
    except BROKEN as error:
        known = not isinstance(error, UnidentifiedImageError)
        reason = first_line(error) if known else "no image that Pillow knows"
        raise InputError(
            f"{where}: it",
            "be a whole image",
            f"one that cannot be decoded ({reason})",
            "Restore it from a copy, or take it out.",
        ) from error
