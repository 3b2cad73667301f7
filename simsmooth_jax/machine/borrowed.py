"""Parts of other libraries that these do not promise to keep, all in one place.

Each is a function that says what for, and imports at its call. A new version of a library may move
one: `tests/test_borrowed.py` names what breaks without it.
"""

import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def jax_service() -> tuple[Any, int]:
    """What processes tell each other: the client of JAX's service, and which of them this is.

    JAX's public ways are collectives of the devices, which wait for ever for a process that is
    gone. Both are known before there are devices; the client is None in a process alone.
    """
    from jax._src.distributed import global_state  # Orbax uses it as well

    return global_state.client, global_state.process_id


def zip_directory_size(file: IO[bytes]) -> int:
    """Bytes of a zip archive's list of members, 0 of what is none, before Python reads it."""
    found = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    return found[zipfile._ECD_SIZE] if found else 0  # type: ignore[attr-defined]


def prefetched(dataset: Any, ahead: int) -> Any:
    """A dataset of Grain whose next elements a thread makes: batches are placed beside a step."""
    from grain.experimental import ThreadPrefetchIterDataset

    return ThreadPrefetchIterDataset(dataset, prefetch_buffer_size=ahead)


def allow_grain_workers() -> None:
    """Lets Grain start processes in any program: it reads absl's options, which absl must parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def tfds_directory() -> Path:
    """Where TFDS keeps its sets: `$TFDS_DATA_DIR`, or `tensorflow_datasets` at home."""
    from tensorflow_datasets.core import constants

    return Path(constants.DATA_DIR).expanduser()


def tfds_prepared(name: str, directory: Path) -> Any:
    """The builder of a prepared set by its name, from its files alone: no code of it is loaded."""
    from tensorflow_datasets.core import read_only_builder

    return read_only_builder.builder_from_files(name, data_dir=directory)


def tfds_cifar_layout(builder: Any) -> Any:
    """What lies where in the archive of a builder of CIFAR: `url`, `prefix`, files and labels."""
    return builder._cifar_info


def tfds_with_splits(official: Any, splits: Callable[[Any, Any], dict[str, Any]]) -> Any:
    """A builder that writes other records under the official one's name; TFDS lists it nowhere."""
    changed = {"name": official.name, "_split_generators": splits}
    return types.new_class(
        official.__name__,
        (official,),
        {"skip_registration": True},
        lambda namespace: namespace.update(changed),
    )
