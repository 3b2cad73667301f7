"""The names of a kernel's classes: of a file, else of its checkpoint, else their numbers."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simsmooth_jax.errors import InputError, excerpt
from simsmooth_jax.machine.files.reading import found_at, parsed_json, read_input
from simsmooth_jax.machine.terminal import warn

CONFIG = "config.json"
MOST_LETTERS = 500  # of a class's name


def of_head(metadata: Mapping[str, Any], num_classes: int, file: Path | None) -> tuple[str, ...]:
    """The names in the order of the kernel's columns.

    Args:
      metadata: what the checkpoint notes besides its arrays; `class_names` is used where it has as
        many as the kernel has columns, and warned of where it has not.
      num_classes: K.
      file: a text file with a name on each line, which goes before the checkpoint's.

    Returns:
      K names, all different: two classes of one name are told apart by their numbers.

    Raises:
      ValueError: the file is not there, no text in UTF-8, or not of K names.
    """
    if file is not None:
        return _of_file(file, num_classes)
    names = metadata.get("class_names")
    numbers = tuple(map(str, range(num_classes)))
    if not isinstance(names, list):
        return numbers
    if {type(name) for name in names} - {str}:
        warn("the class names of the checkpoint are no texts, and not used", stacklevel=3)
        return numbers
    if len(names) != num_classes:
        warn(
            f"the checkpoint names {len(names)} classes, and the kernel has {num_classes} columns: "
            f"they are called 0 to {num_classes - 1}",
            stacklevel=3,
        )
        return numbers
    return told_apart("`checkpoint`: class_names", names)


def told_apart(who: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names, with its number behind each that several classes have, as ImageNet's two cranes.

    `crane` of classes 134 and 517 becomes `crane (134)` and `crane (517)`, with a warning.

    Raises:
      ValueError: such a name is another class's already, or a name is longer than any is.
    """
    if long := next((name for name in names if len(name) > MOST_LETTERS), None):
        got = f"{len(long):,}: {excerpt(long)!r}"
        raise InputError(who, f"have at most {MOST_LETTERS} letters each", got, "Shorten it.")
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if not twice:
        return tuple(names)
    found = tuple(f"{name} ({k})" if counts[name] > 1 else name for k, name in enumerate(names))
    again = next((name for name, count in Counter(found).items() if count > 1), None)
    if again is not None:
        got = f"{names[found.index(again)]!r} for several classes, and {again!r} as well"
        raise InputError(who, "differ", got, "Rename one of them.")
    more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
    shown = ", ".join(repr(name) for k, name in enumerate(found) if names[k] == twice[0])
    text = f"{who}: {twice[0]!r}{more} is the name of several classes, now {shown}"
    warn(text, stacklevel=3)
    return found


def order_of(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where each wanted name stands among names that are the same in another order.

    Raises:
      ValueError: a name is told apart by its number in both orders: nothing says which is which.
    """
    if both := sorted(_numbered(names) & _numbered(wanted)):
        raise InputError(
            "names in another order",
            "be each class's own",
            f"{both[0]!r}, which is its number in both orders behind the name of several classes",
            "Rename such classes, or permute the table's rows and columns yourself.",
        )
    places = {name: k for k, name in enumerate(names)}
    return [places[name] for name in wanted]


def numbered(number: int, names: Sequence[str]) -> str:
    """A class as messages show it, `3 'cat'`, or its number alone where that is its name."""
    known = number < len(names) and names[number] != str(number)
    return f"{number} {names[number]!r}" if known else str(number)


@contextlib.contextmanager
def called_by_name(names: Sequence[str], places: Sequence[int] | Any = ()) -> Iterator[None]:
    """Lets errors of functions that know numbers alone say which class: `class 3 'cat'`.

    `places` are the numbers of the classes that such a function counts through, where it does not
    count through all.
    """

    def renumbered(found: re.Match[str]) -> str:
        number = int(found[2])
        number = int(places[number]) if number < len(places) else number
        known = found[1] in ("class ", "row ") and not found[3]
        return f"{found[1]}{numbered(number, names) if known else number}{found[3]}"

    def said(text: str) -> str:
        return re.sub(r"(\bclass |\brow |\bcolumn |\[:, )(\d+)\b((?: \(class)?)", renumbered, text)

    try:
        yield
    except InputError as error:
        got, then = said(error.got), said(error.then)
        raise InputError(error.who, error.must, got, then) from error


def _numbered(names: Sequence[str]) -> set[str]:
    """The names that `told_apart` may have made: several of one name, each with its own number."""
    base = {k: name.removesuffix(f" ({k})") for k, name in enumerate(names)}
    counts = Counter(base[k] for k, name in enumerate(names) if base[k] != name)
    return {name for k, name in enumerate(names) if base[k] != name and counts[base[k]] > 1}


def beside(file: Path) -> list[str] | None:
    """The names that Hugging Face's config.json in the same directory gives, by their numbers.

    Args:
      file: the file of the weights.

    Returns:
      `id2label` in the order of the classes, or None where there is none, or only placeholders.
    """
    config = file.parent / CONFIG
    try:
        content = read_input(f"{config}: it", config)
    except FileNotFoundError:
        return None
    try:  # whatever else it may be about
        labels = parsed_json(f"{config}: it", content)["id2label"]
        names = [labels.get(str(number)) for number in range(len(labels))]
    except (InputError, LookupError, TypeError, AttributeError):
        return None
    if None in names:
        warn(
            f"{config}: the keys of id2label are not 0 to {len(names) - 1}: its names are not used",
            stacklevel=3,
        )
        return None
    if {type(name) for name in names} != {str} or "LABEL_0" in names:
        return None
    return names


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
    if "" in names:
        raise InputError(
            f"`class_names={file}`: every line",
            "be a name",
            f"an empty one in line {names.index('') + 1}",
            "Name each class.",
        )
    return told_apart(f"`class_names={file}`", names)


def _lines(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        raise InputError(
            "`class_names`",
            "be an existing text file",
            found_at(file),
            "Write a class name on each line.",
        )
    try:
        content = read_input(f"`class_names={file}`: it", file)
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"`class_names={file}`: it",
            "be text in UTF-8",
            f"byte {error.start} of another kind",
            "Save it as UTF-8.",
        ) from error
    return tuple(line.strip() for line in lines)
