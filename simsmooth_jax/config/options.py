"""What a user chooses, one field an option: its range and example stand where its default does.

    epochs: int = option(30, least=1, most=10**6)
    '''Passes over the training images.'''

The type says what kind of value it takes, the text under it is its help in the program; `check`
refuses every other value.
"""

import dataclasses
import math
import types
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from simsmooth_jax.errors import InputError

T = TypeVar("T")
ABSENT: Any = object()


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of an option besides its type, its default and its help.

    Args:
      example: a value that works, for whoever gave one that does not.
      least: the smallest number that it takes.
      above: the number that it must be greater than.
      most: the largest number that it takes.
      below: the number that it must be less than.
      then: what to do next, in place of "Try EXAMPLE."
      resume: a stopped run may go on with another value.
      before: for an option that came later, what runs had before: they go on as that. A run's
        config.json leaves it out, so that directories from before are found again.
    """

    example: Any
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf
    then: str = ""
    resume: bool = False
    before: Any = ABSENT

    def holds(self, value: Any) -> bool:
        """Whether a number is finite and in the range."""
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and -math.inf < value < math.inf

    def range(self, whole: bool) -> str:
        """The range in words, as "from 1 to 10"."""
        if -math.inf < self.least and self.most < math.inf:
            return f"from {self.least} to {self.most}"
        lower = {"at least": self.least, "above": self.above}
        upper = {"at most": self.most, "below": self.below}
        bounds = {words: at for words, at in (lower | upper).items() if abs(at) < math.inf}
        text = " and ".join(f"{words} {at}" for words, at in bounds.items())
        if whole or bounds.keys() & upper.keys():
            return text
        return f"finite and {text}" if "at least" in bounds else f"a finite number {text}".rstrip()


def option(default: T, **known: Any) -> T:
    """A field of a frozen dataclass, with all that an `Option` knows; the example is the default.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Sailing:
      ...     speed: float = option(5.0, above=0, most=40, example=6)
      >>> check(Sailing(speed=99.0))
      Traceback (most recent call last):
      ...
      simsmooth_jax.errors.InputError: `speed` must be above 0 and at most 40, got 99.0. Try 6.
    """
    everything: dict[str, Any] = {"example": default, **known}
    return dataclasses.field(default=default, metadata={"option": Option(**everything)})


def of(field: dataclasses.Field[Any]) -> Option:
    """What is known of a field."""
    return field.metadata.get("option", Option(field.default))


def check(config: Any) -> None:
    """Refuses the first value that its option does not take, in a configuration and its parts.

    Args:
      config: a dataclass of options and of other such dataclasses.

    Raises:
      InputError: it names the field in backquotes.
    """
    kinds = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, kind, known = getattr(config, field.name), kinds[field.name], of(field)
        then = known.then or f"Try {known.example}."
        if not _is(value, kind):
            raise InputError(f"`{field.name}`", f"be {_in_words(kind)}", repr(value), then)
        if dataclasses.is_dataclass(value):
            check(value)
        elif isinstance(value, Real) and not known.holds(value):
            must = f"be {known.range(whole=float not in (kind, *get_args(kind)))}"
            raise InputError(f"`{field.name}`", must, value, then)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as it stands at a field; True is no number."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(item, parts[0]) for item in value)
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)


def _in_words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(part) for part in parts)
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin is tuple:
        return f"a tuple, each {_in_words(parts[0])}"
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
    words |= {Path: "a path", type(None): "None"}
    return words.get(kind) or f"a {kind.__name__}"
