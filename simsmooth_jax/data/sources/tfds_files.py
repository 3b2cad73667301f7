"""The files of a prepared set of TFDS, looked at before TFDS opens any of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simsmooth_jax.errors import InputError, excerpt
from simsmooth_jax.machine.files.reading import parsed_json, read_input, refuse_odd

READ_WHOLE = (".json", ".txt")  # of the others records are read
CLASS = ("pythonClassName", "python_class_name", "type")  # the last one in sets of older versions
OWN = "tensorflow_datasets."


def refuse_hostile(directory: Path) -> None:
    """Refuses what would be waited for, what has no end, and code that a set names.

    TFDS imports whatever module a set says that its features are of.

    Args:
      directory: of a set, with all its configurations and versions.

    Raises:
      InputError: a file is no regular one or too large, or its JSON is none; or a feature is of
        another module than TFDS's own.
    """
    for path in sorted(directory.rglob("*")):
        if path.is_dir():
            continue
        who = f"{path}: it"
        refuse_odd(who, path, path.stat().st_mode)
        if path.suffix in READ_WHOLE:
            content = read_input(who, path)
            if path.suffix == ".json":
                for name in _classes(parsed_json(who, content)):
                    if not name.startswith(OWN):
                        raise InputError(
                            who,
                            "name features of TFDS alone, whose code is imported",
                            f"{excerpt(name)!r}",
                            "Prepare the set with features of TFDS.",
                        )


def _classes(value: Any) -> Iterator[str]:
    """The names of classes anywhere in a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from _classes(item)
    if isinstance(value, dict):
        for key, item in value.items():
            if key in CLASS and isinstance(item, str) and "." in item:
                yield item
            yield from _classes(item)
