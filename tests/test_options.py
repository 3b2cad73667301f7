"""Options: every range refuses what is outside of it, and JSON gives back what was written."""

import dataclasses
import json
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simsmooth_jax as ss
from simsmooth_jax.config import options, stored
from simsmooth_jax.config.commands import Command, RunConfig, TrainConfig
from simsmooth_jax.config.options import option
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, SavingConfig, TrainingConfig

COMMANDS = [get_args(command)[0] for command in get_args(Command)]


def parts_of(cls: Any) -> Iterator[Any]:
    """A dataclass and all that stand in it."""
    yield cls
    for kind in get_type_hints(cls).values():
        if dataclasses.is_dataclass(kind):
            yield from parts_of(kind)


def kinds_of(cls: Any, name: str) -> tuple[Any, ...]:
    """The types that a field takes."""
    kind = get_type_hints(cls)[name]
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


CLASSES = sorted({part for cls in COMMANDS for part in parts_of(cls)}, key=lambda cls: cls.__name__)
NUMBERS = [
    pytest.param(cls, field.name, options.of(field), id=f"{cls.__name__}.{field.name}")
    for cls in CLASSES
    for field in dataclasses.fields(cls)
    if {int, float} & {*kinds_of(cls, field.name)}
]


def one(cls: Any, **values: Any) -> Any:
    """A configuration; where a checkpoint must be named, one is."""
    needed = {
        f.name: Path("here") for f in dataclasses.fields(cls) if f.default is f.default_factory
    }
    return cls(**needed | values)


def refused(cls: Any, name: str, value: Any) -> str:
    with pytest.raises(ss.InputError) as caught:
        options.check(one(cls, **{name: value}))
    text = str(caught.value)
    assert text.startswith(f"`{name}` must be ")
    assert f", got {value}. " in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize(("cls", "name", "known"), NUMBERS)
def test_values_just_outside_are_refused_and_the_example_is_not(
    cls: Any, name: str, known: options.Option
) -> None:
    whole = int in kinds_of(cls, name)
    options.check(one(cls))
    options.check(one(cls, **{name: known.example}))
    assert known.example is not None
    lowest, highest = max(known.least, known.above), min(known.most, known.below)
    assert lowest > -math.inf, "every number of a user has a smallest value"
    for bound, inside, outwards in ((lowest, "least", -1), (highest, "most", 1)):
        if math.isinf(bound):
            continue
        beyond = bound + outwards if whole else math.nextafter(bound, outwards * math.inf)
        assert f"{bound}" in refused(cls, name, beyond)
        if abs(getattr(known, inside)) < math.inf:
            options.check(one(cls, **{name: bound if whole else float(bound)}))
        else:
            refused(cls, name, float(bound))
    if not whole:
        for value in (math.nan, math.inf, -math.inf):
            refused(cls, name, value)
        options.check(one(cls, **{name: np.float32(known.example)}))


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (OptimizerConfig, {"epochs": 0}, "`epochs` must be from 1 to 1000000, got 0. Try 30."),
        (OptimizerConfig, {"epochs": True}, "`epochs` must be a whole number, got True. Try 30."),
        (OptimizerConfig, {"epochs": 3.0}, "`epochs` must be a whole number, got 3.0. Try 30."),
        (OptimizerConfig, {"momentum": False}, "`momentum` must be a number, got False. Try 0.9."),
        (OptimizerConfig, {"momentum": "0.9"}, "`momentum` must be a number, got '0.9'. Try 0.9."),
        (ModelConfig, {"dtype": "half"}, "be one of float32, bfloat16, got 'half'. Try float32."),
        (ModelConfig, {"model": 18}, "`model` must be a text, got 18. Try cnn."),
        (ModelConfig, {"init": "a"}, "`init` must be a path or None, got 'a'."),
        (ModelConfig, {"width": 1.5}, "`width` must be a whole number or None, got 1.5. Leave it"),
        (SavingConfig, {"profile": "x"}, "`profile` must be a path or None, got 'x'."),
        (TrainingConfig, {"model": "cnn"}, "`model` must be a ModelConfig, got 'cnn'."),
        (RunConfig, {"overwrite": 1}, "`overwrite` must be True or False, got 1."),
        (RunConfig, {"training": TrainingConfig(seed=-1)}, "`seed` must be from 0 to 2147483647,"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(
    cls: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ss.InputError) as caught:
        options.check(cls(**values))
    assert message in str(caught.value)


def test_ranges_in_words() -> None:
    def words(whole: bool = False, **bounds: Any) -> str:
        return options.Option(1, **bounds).range(whole)

    assert words(least=0, most=1) == "from 0 to 1"
    assert words(least=0, below=1) == "at least 0 and below 1"
    assert words(above=0, most=1) == "above 0 and at most 1"
    assert words(above=0) == "a finite number above 0"
    assert words(least=0) == "finite and at least 0"
    assert words(least=2, whole=True) == "at least 2"
    assert words() == "a finite number"


def values_of(cls: Any) -> st.SearchStrategy[Any]:
    """Configurations with any values that their options take."""
    names = {field.name: field_values(cls, field) for field in dataclasses.fields(cls)}
    return st.builds(cls, **names)


def field_values(cls: Any, field: Any) -> st.SearchStrategy[Any]:
    known = options.of(field)
    return st.one_of([kind_values(kind, known) for kind in kinds_of(cls, field.name)])


def kind_values(kind: Any, known: options.Option) -> st.SearchStrategy[Any]:
    if dataclasses.is_dataclass(kind):
        return values_of(kind)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    lowest, highest = max(known.least, known.above), min(known.most, known.below)
    bounds = [None if math.isinf(bound) else bound for bound in (lowest, highest)]
    numbers = st.floats(*bounds, allow_nan=False, allow_infinity=False)
    return {
        int: st.integers(*bounds),  # type: ignore[arg-type]
        float: numbers.filter(known.holds),
        bool: st.booleans(),
        str: st.text(),
        Path: st.text("ab/.", min_size=1).map(Path),
        type(None): st.none(),
    }[kind]


@pytest.mark.parametrize("cls", [RunConfig, TrainConfig, TrainingConfig])
@given(data=st.data())
def test_json_gives_back_what_was_written(cls: Any, data: st.DataObject) -> None:
    config = data.draw(values_of(cls))
    options.check(config)
    text = json.dumps(stored.to_json(config), allow_nan=False)
    assert stored.from_json(cls, json.loads(text)) == config


@dataclasses.dataclass(frozen=True)
class Ship:
    """A configuration whose defaults are not those of before."""

    masts: tuple[int, ...] = option((2, 3), before=(1,))
    log: Path | None = Path("log")
    crew: int = option(9, least=0, before=4)
    flag: str = option("red", resume=True)


@dataclasses.dataclass(frozen=True)
class Fleet:
    ship: Ship = Ship(log=None)
    name: str = "first"


def test_what_is_not_there_is_as_it_was_before() -> None:
    assert stored.from_json(Fleet, {}) == Fleet(Ship((1,), None, 4))
    assert stored.from_json(Fleet, {"ship": {"crew": 7}}) == Fleet(Ship((1,), None, 7))
    assert stored.from_json(Fleet, stored.to_json(Fleet())) == Fleet()
    assert stored.to_json(Ship()) == {"masts": [2, 3], "log": "log", "crew": 9, "flag": "red"}


def test_what_a_stopped_run_must_keep() -> None:
    assert stored.identity(Fleet(Ship((1,), crew=4))) == {"ship": {"log": "log"}, "name": "first"}
    assert stored.identity(Fleet())["ship"] == {"masts": [2, 3], "log": None, "crew": 9}
    assert stored.identity_before(Fleet)["ship"] == {"masts": [1], "log": None, "crew": 4}


FREE = {"out", "overwrite", "saving", "distributed", "training.steps_per_dispatch"}
FREE |= {"training.data.workers", "training.data.source.data_dir"}


@pytest.mark.parametrize("cls", [RunConfig, TrainConfig])
def test_every_option_may_differ_on_resume_or_is_kept(cls: Any) -> None:
    def names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, value in values.items():
            yield prefix + name
            if isinstance(value, dict):
                yield from names(value, f"{prefix}{name}.")

    every, kept = {*names(stored.to_json(cls()))}, {*names(stored.identity_before(cls))}
    free = {name for name in every - kept if name.rpartition(".")[0] not in every - kept}
    assert kept < every
    # The table itself, as it was put into order, is compared.
    assert free == FREE | ({"reorder"} if cls is TrainConfig else set())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"optimizer": {"epoch": 3}},
            "`optimizer.epoch` must be an option that is known, got 3. Did",
        ),
        ({"optimizer": {"epoch": 3}}, "Did you mean optimizer.epochs?"),
        ({"sede": 3}, "`sede` must be an option that is known, got 3. Did you mean seed?"),
        ({"xyz": 3}, "`xyz` must be an option that is known, got 3. There are data, seed, model, "),
        ({"model": 3}, "`model` must be an object of options, got 3."),
        ([], "`TrainingConfig` must be an object of options, got []."),
        ({"seed": "3"}, "`seed` must be a whole number, got '3'. Try 0."),
        ({"optimizer": {"epochs": True}}, "`epochs` must be a whole number, got True. Try 30."),
        ({"optimizer": {"momentum": math.nan}}, "`momentum` must be at least 0 and below 1, got"),
        ({"optimizer": {"epochs": None}}, "`epochs` must be a whole number, got None. Try 30."),
        ({"model": {"dtype": "float16"}}, "`dtype` must be one of float32, bfloat16, got "),
    ],
)
def test_json_of_others_is_refused_by_name(values: Any, message: str) -> None:
    with pytest.raises(ss.InputError) as caught:
        TrainingConfig.from_json(values)
    assert message in str(caught.value)
