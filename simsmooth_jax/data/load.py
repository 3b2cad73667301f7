"""Images from where they are: one file for each kind of source, found here by its name."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from simsmooth_jax.config.data import DataConfig, InputMode, SourceConfig
from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.dataset import Dataset, Examples, Source, Split, known_labels
from simsmooth_jax.data.splits import cut_splits
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.bars import transient_bar
from simsmooth_jax.machine.memory import available_memory
from simsmooth_jax.machine.terminal import warn


def load_dataset(config: DataConfig) -> Dataset:
    """The images of a configuration in three parts, in memory or ready to be streamed."""
    source = open_source(config.data, config.source)
    parts = cut_splits(source, config.resolved_source)
    streamed = choose_input(config.input, source.name, parts)
    if not streamed:
        parts |= read_into_memory(parts)
    _warn_of_missing_classes(source, parts)
    return Dataset(source.name, source.class_names, **parts, note=source.note, streamed=streamed)


def _warn_of_missing_classes(source: Source, parts: dict[str, Examples]) -> None:
    """Names the classes without an image, in the parts whose labels are in memory."""
    for part in ("train", "test"):
        labels = known_labels(parts[part])
        missing = [] if labels is None else sorted(set(range(len(source.class_names))) - {*labels})
        if missing:
            names = ", ".join(source.class_names[k] for k in missing[:5])
            more = f" and {len(missing) - 5} other classes" if len(missing) > 5 else ""
            message = f"data {source.name}: {part} has no image of {names}{more}"
            warn(message, stacklevel=3)


def open_source(data: str, config: SourceConfig) -> Source:
    """The source that `data` names; of a large one, nothing but its list is read."""
    try:
        data.encode()
        return _open(data, config)
    except UnicodeEncodeError as error:
        raise InputError(
            "`data`", "be a text in UTF-8", f"{os.fsencode(data)!r}", "Rename the path."
        ) from error
    except OSError as error:
        path = error.filename or config.data_dir
        raise InputError(
            f"`data={data}`",
            "be readable",
            f"{error.strerror or error} at {path}",
            "Check the path, and who may read it (or write to `data_dir`).",
        ) from error


def _open(data: str, config: SourceConfig) -> Source:
    kind, _, where = data.partition(":")
    data_dir = config.data_dir and Path(os.path.expanduser(config.data_dir))
    conversion = Conversion.parse(config.image_size, config.image_mode)
    # Each is imported late: they bring Pillow, TFDS or scikit-learn.
    if data == "digits":
        from simsmooth_jax.data.sources.digits import load_digits

        return load_digits(conversion)
    if data in ("fashion_mnist", "cifar10", "cifar100"):
        from simsmooth_jax.data.sources.official import open_official

        return open_official(data, data_dir, conversion)
    if kind == "tfds" and where:
        from simsmooth_jax.data.sources.tfds_sets import open_tfds

        return open_tfds(where, data_dir, conversion)
    if kind == "folder" and where:
        from simsmooth_jax.data.sources.folder import open_folder

        return open_folder(Path(os.path.expanduser(where)), conversion)
    if kind == "npz" and where:
        from simsmooth_jax.data.sources.npz import open_npz

        return open_npz(Path(os.path.expanduser(where)), conversion)
    raise InputError(
        "`data`",
        (
            "be digits, fashion_mnist, cifar10, cifar100, tfds:NAME[/CONFIG][:VERSION], "
            "folder:PATH or npz:PATH"
        ),
        f"{data!r}",
        "See: simsmooth data --help",
    )


SHARE = 0.25  # of the memory that images may take; the rest is the training's
_CHUNK = 256  # images that a thread reads at a time


def choose_input(mode: InputMode, name: str, parts: dict[str, Examples]) -> bool:
    """Whether the images are streamed; `auto` holds what takes a quarter of the memory or less."""
    size = sum(
        len(part) * math.prod(part.image_shape) * part.dtype.itemsize for part in parts.values()
    )
    memory = available_memory()
    if mode == "memory" and size > memory:
        raise InputError(
            "`input=memory`",
            f"fit into the memory of {memory / 2**30:.1f} GiB",
            f"{size / 2**30:.1f} GiB of images in {name}",
            "Use `input=stream`.",
        )
    return mode == "stream" or (mode == "auto" and size > SHARE * memory)


def read_into_memory(parts: dict[str, Examples]) -> dict[str, Split]:
    """Reads every image of every part once, with a progress bar where that takes time."""
    read: dict[str, Split] = {}
    with transient_bar() as bar, ThreadPoolExecutor() as threads:
        for name, part in parts.items():
            if isinstance(part, Split):
                read[name] = part
                continue
            images = np.empty((len(part), *part.image_shape), part.dtype)
            labels = np.empty(len(part), np.int32)
            chunks = np.split(np.arange(len(part)), range(_CHUNK, len(part), _CHUNK))
            task = bar.add_task(f"reading {name}", total=len(part))
            for chunk, (some, their) in zip(chunks, threads.map(part.take, chunks), strict=True):
                images[chunk], labels[chunk] = some, their
                bar.update(task, advance=len(chunk))
            read[name] = Split(images, labels)
    return read
