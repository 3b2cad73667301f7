"""An argument that an error names, as the command line has it: `epochs` is shown as --epochs."""

import ast
import contextlib
import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import tyro.conf

from simsmooth_jax.config.commands import Command

SWITCHES = ("True", "False")
NAMED = re.compile(r"`([a-z]\w*)(?:=([^`]*))?`")


def as_options(text: str) -> str:
    """A text of the library in the words of the program.

    `` `epochs` `` becomes `--epochs`, `` `head='fc'` `` becomes `--head fc`, quoted as a shell
    needs it and not as Python, `` `center=False` `` `--no-center`, and `` `checkpoint` `` becomes
    `CHECKPOINT`. What is no option
    stays as it is.
    """
    return NAMED.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name in POSITIONAL:
        return name.upper()
    if name not in NAMES:
        return found[0]
    option = f"--{name.replace('_', '-')}"
    if value in SWITCHES:
        return option if value == "True" else f"--no-{option[2:]}"
    if value and value[0] in "'\"":
        with contextlib.suppress(SyntaxError, ValueError):  # of a text that merely looks so
            value = str(ast.literal_eval(value))
    return option if value is None else f"{option} {shlex.quote(value)}"


def in_order(option: str, choices: Sequence[str]) -> list[str]:
    """The choices of --option in the order that its help has, without the None of no choice."""
    name = option.lstrip("-").replace("-", "_")
    orders = [_choices(field.type) for field in _FIELDS if field.name == name]
    order = next((order for order in orders if {*order} == {*choices} - {"None"}), sorted(choices))
    return [choice for choice in order if choice != "None"]


def _choices(kind: Any) -> list[str]:
    """The texts that a type allows, also as one of several types."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for part in get_args(kind) for choice in _choices(part)]


def fields_of(config: Any) -> Iterator[dataclasses.Field[Any]]:
    """All fields of a command, also those of the parts that it has in common with others."""
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(field.type):
            yield from fields_of(field.type)
        else:
            yield field


_FIELDS = [field for command in get_args(Command) for field in fields_of(get_args(command)[0])]
NAMES = {field.name for field in _FIELDS}
POSITIONAL = {field.name for field in _FIELDS if tyro.conf.Positional in get_args(field.type)}
