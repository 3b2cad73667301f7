"""The names of a kernel's classes: of a file, else of its checkpoint, else their numbers."""

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simsmooth_jax.errors import InputError

CONFIG = "config.json"


def of_head(metadata: Mapping[str, Any], num_classes: int, file: Path | None) -> tuple[str, ...]:
    """The names in the order of the kernel's columns.

    Args:
      metadata: what the checkpoint notes besides its arrays; `class_names` is used where it has as
        many as the kernel has columns, and warned of where it has not.
      num_classes: K.
      file: a text file with a name on each line, which goes before the checkpoint's.

    Returns:
      K names, all different.

    Raises:
      ValueError: the file is not there, no text in UTF-8, or not of K different names; two of the
        checkpoint's are the same.
    """
    if file is not None:
        return _of_file(file, num_classes)
    names = metadata.get("class_names")
    numbers = tuple(map(str, range(num_classes)))
    if not isinstance(names, list):
        return numbers
    if len(names) != num_classes:
        warnings.warn(
            f"the checkpoint names {len(names)} classes, and the kernel has {num_classes} columns: "
            f"they are called 0 to {num_classes - 1}",
            stacklevel=3,
        )
        return numbers
    names = tuple(map(str, names))
    refuse_twice("`checkpoint`: class_names", names, "Give their names: `class_names=FILE`.")
    return names


def refuse_twice(who: str, names: Sequence[str], then: str) -> None:
    """Refuses two classes of one name, which no table could tell apart."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(who, "differ", f"{twice!r} twice", then)


def beside(file: Path) -> list[str] | None:
    """The names that Hugging Face's config.json in the same directory gives, by their numbers.

    Args:
      file: the file of the weights.

    Returns:
      `id2label` in the order of the classes, or None where there is none, or only placeholders. Of
      two equal names, as ImageNet's two cranes, each gets its number.
    """
    config = file.parent / CONFIG
    try:
        labels = json.loads(config.read_bytes())["id2label"]
        names = [labels.get(str(number)) for number in range(len(labels))]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if None in names:
        warnings.warn(
            f"{config}: the keys of id2label are not 0 to {len(names) - 1}: its names are not used",
            stacklevel=3,
        )
        return None
    if {type(name) for name in names} != {str} or "LABEL_0" in names:
        return None
    times = Counter(names)
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]


def count(file: Path) -> int:
    """How many names a file has."""
    return len(_lines(file))


def _of_file(file: Path, num_classes: int) -> tuple[str, ...]:
    names = _lines(file)
    if len(names) != num_classes:
        raise InputError(
            f"`class_names={file}`: it",
            f"have {num_classes} lines, one for each column of the kernel",
            len(names),
            "Write a class name on each line.",
        )
    for row, name in enumerate(names):
        if not name or name in names[:row]:
            found = f"{name!r} again" if name else "an empty one"
            raise InputError(
                f"`class_names={file}`: every line",
                "be a name of its own",
                f"{found} in line {row + 1}",
                "Name each class differently.",
            )
    return names


def _lines(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        raise InputError(
            "`class_names`", "be an existing text file", file, "Write a class name on each line."
        )
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"`class_names={file}`: it",
            "be text in UTF-8",
            f"byte {error.start} of another kind",
            "Save it as UTF-8.",
        ) from error
    return tuple(line.strip() for line in lines)
