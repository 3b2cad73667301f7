"""Options in JSON: in a checkpoint, and in the configuration that a stopped run must keep."""

import dataclasses
import difflib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from simsmooth_jax.config.options import ABSENT, Option, check, of
from simsmooth_jax.errors import InputError

T = TypeVar("T")


def to_json(config: Any) -> dict[str, Any]:
    """Nested dictionaries of what JSON can hold, with every option."""
    return _written(config, lambda known, value: True)


def from_json(cls: type[T], values: Any) -> T:
    """The inverse of `to_json`; options that are not there are as before they existed.

    Raises:
      InputError: a name is not known, or a value not allowed.
    """
    config = _read(cls(), values, "")
    check(config)
    return config


def identity(config: Any) -> dict[str, Any]:
    """What must not change between the parts of a stopped run, as `to_json` writes it."""
    return _written(config, lambda known, value: not known.resume and value != known.before)


def identity_before(cls: type) -> dict[str, Any]:
    """The identity of a run from before all of its options existed, with all of them."""
    return _written(_read(cls(), {}, ""), lambda known, value: not known.resume)


def _written(config: Any, kept: Callable[[Option, Any], bool]) -> dict[str, Any]:
    """The options that are kept; a part that keeps none is left out."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if kept(of(field), value):
            whole = dataclasses.is_dataclass(value)
            values[field.name] = _written(value, kept) if whole else _plain(value)
    return {name: value for name, value in values.items() if value != {}}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _read(config: T, values: Any, where: str) -> T:
    """A configuration with other values, by the names of its fields; `where` is before a name."""
    if not isinstance(values, dict):
        name = where.rstrip(".") or type(config).__name__
        raise InputError(f"`{name}`", "be an object of options", repr(values), "Write it anew.")
    kinds = get_type_hints(type(config))
    for name, value in values.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            then = f"Did you mean {where}{near[0]}?" if near else f"There are {', '.join(kinds)}."
            raise InputError(f"`{where}{name}`", "be an option that is known", repr(value), then)
    read = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        name, before = field.name, of(field).before
        value = getattr(config, name) if before is ABSENT else before
        if dataclasses.is_dataclass(value):
            read[name] = _read(value, values.get(name, {}), f"{where}{name}.")
        elif name in values:
            read[name] = _of_plain(values[name], kinds[name])
        else:
            read[name] = value
    return type(config)(**read)


def _of_plain(value: Any, kind: Any) -> Any:
    """A value as its field has it, where JSON has no such type."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next((part for part in get_args(kind) if _of_plain(value, part) != value), kind)
    if isinstance(value, list) and get_origin(kind) is tuple:
        return tuple(_of_plain(item, get_args(kind)[0]) for item in value)
    return Path(value) if isinstance(value, str) and kind is Path else value
