"""Images from where they are: one file for each kind of source, found here by its name."""

import os
import warnings
from pathlib import Path

from simsmooth_jax.config import DataConfig, SourceConfig
from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.dataset import Dataset, Examples, Source, Split
from simsmooth_jax.data.memory import choose_input, read_into_memory
from simsmooth_jax.data.splits import cut_splits
from simsmooth_jax.errors import InputError

__all__ = ["Dataset", "Examples", "Source", "Split", "load_dataset", "open_source"]


def load_dataset(config: DataConfig) -> Dataset:
    """The images of a configuration in three parts, in memory or ready to be streamed."""
    source = open_source(config.data, config.source)
    parts = cut_splits(source, config.source)
    streamed = choose_input(config.input, source.name, parts)
    if not streamed:
        parts |= read_into_memory(parts)
    _warn_of_missing_classes(source, parts)
    return Dataset(source.name, source.class_names, **parts, note=source.note, streamed=streamed)


def _warn_of_missing_classes(source: Source, parts: dict[str, Examples]) -> None:
    """Names the classes without an image, in the parts whose labels are in memory."""
    for part in ("train", "test"):
        labels = getattr(parts[part], "labels", None)
        missing = [] if labels is None else sorted(set(range(len(source.class_names))) - {*labels})
        if missing:
            names = ", ".join(source.class_names[k] for k in missing[:5])
            more = f" and {len(missing) - 5} other classes" if len(missing) > 5 else ""
            message = f"data {source.name}: {part} has no image of {names}{more}"
            warnings.warn(message, stacklevel=3)


def open_source(data: str, config: SourceConfig) -> Source:
    """The source that `--data` names; of a large one, nothing but its list is read."""
    try:
        data.encode()
        return _open(data, config)
    except UnicodeEncodeError as error:
        raise InputError(
            f"--data must be a text in UTF-8, got {os.fsencode(data)!r}. Rename the path."
        ) from error
    except OSError as error:
        path = error.filename or config.data_dir
        raise InputError(
            f"--data {data} must be readable, got {error.strerror or error} at {path}. Check the "
            "path, and who may read it (or write to --data-dir)."
        ) from error


def _open(data: str, config: SourceConfig) -> Source:
    kind, _, where = data.partition(":")
    data_dir = config.data_dir and config.data_dir.expanduser()
    conversion = Conversion.parse(config.image_size, config.image_mode)
    # Each is imported late: they bring Pillow, TFDS or scikit-learn.
    if data == "digits":
        from simsmooth_jax.data.digits import load_digits

        return load_digits(conversion)
    if data in ("fashion_mnist", "cifar10", "cifar100"):
        from simsmooth_jax.data.official import open_official

        return open_official(data, data_dir, conversion)
    if kind == "tfds" and where:
        from simsmooth_jax.data.tfds_sets import open_tfds

        return open_tfds(where, data_dir, conversion)
    if kind == "folder" and where:
        from simsmooth_jax.data.folder import open_folder

        return open_folder(Path(where).expanduser(), conversion)
    if kind == "npz" and where:
        from simsmooth_jax.data.npz import open_npz

        return open_npz(Path(where).expanduser(), conversion)
    raise InputError(
        "--data must be digits, fashion_mnist, cifar10, cifar100, tfds:NAME[/CONFIG][:VERSION], "
        f"folder:PATH or npz:PATH, got {data!r}. See: simsmooth data --help"
    )
