"""Whether a set fits on the devices, and reading it there once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import Progress

from simsmooth_jax.config import InputMode
from simsmooth_jax.data.dataset import Examples, Split
from simsmooth_jax.distributed import is_writer
from simsmooth_jax.errors import InputError
from simsmooth_jax.memory import available_memory

SHARE = 0.25  # of the memory that images may take; the rest is the training's
_CHUNK = 256  # images that a thread reads at a time


def choose_input(mode: InputMode, name: str, parts: dict[str, Examples]) -> bool:
    """Whether the images are streamed; `auto` holds what takes a quarter of the memory or less."""
    size = sum(len(part) * int(np.prod(part.image_shape)) for part in parts.values())
    memory = available_memory()
    if mode == "memory" and size > memory:
        raise InputError(
            f"--input memory must fit into the memory of {memory / 2**30:.1f} GiB, got "
            f"{size / 2**30:.1f} GiB of images in {name}. Use --input stream."
        )
    return mode == "stream" or (mode == "auto" and size > SHARE * memory)


def read_into_memory(parts: dict[str, Examples]) -> dict[str, Split]:
    """Reads every image of every part once, with a progress bar where that takes time."""
    read: dict[str, Split] = {}
    console = Console(stderr=True)
    hidden = not console.is_terminal or not is_writer()  # elsewhere it would leave an empty line
    with (
        Progress(console=console, transient=True, disable=hidden) as bar,
        ThreadPoolExecutor() as threads,
    ):
        for name, part in parts.items():
            if isinstance(part, Split):
                read[name] = part
                continue
            images = np.empty((len(part), *part.image_shape), np.uint8)
            labels = np.empty(len(part), np.int32)
            chunks = np.split(np.arange(len(part)), range(_CHUNK, len(part), _CHUNK))
            task = bar.add_task(f"reading {name}", total=len(part))
            for chunk, (some, their) in zip(chunks, threads.map(part.take, chunks), strict=True):
                images[chunk], labels[chunk] = some, their
                bar.update(task, advance=len(chunk))
            read[name] = Split(images, labels)
    return read
