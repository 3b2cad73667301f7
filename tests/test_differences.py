"""How two configurations differ: in what somebody chose, not in what follows from it."""

from typing import Any

import pytest

from simsmooth_jax.config import stored
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.program.differences import differences


def as_json(tune: bool = False, **given: Any) -> dict[str, Any]:
    relation = RelationConfig(**given).resolved("mean")
    return {"relation": stored.to_json(relation), "tune": tune}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, ""),
        ({}, {"rule": "clip"}, "`rule` mean -> clip"),
        ({"rule": "clip"}, {}, "`rule` clip -> mean"),
        ({"temperature": 3.0}, {}, "`temperature` 3.0 -> 6.0"),
        ({"temperature": 3.0}, {"rule": "clip"}, "`rule` mean -> clip; `temperature` 3.0 -> None"),
        ({}, {"epsilon": 1.0}, "`epsilon` 0.2 -> 1.0"),
        ({}, {"tune": True, "epsilon": 0.1}, "`tune` False -> True"),
    ],
)
def test_what_follows_is_left_out(
    before: dict[str, Any], now: dict[str, Any], expected: str
) -> None:
    assert differences(as_json(**before), as_json(**now), {}) == expected


def test_what_is_chosen_resolves_to_the_same() -> None:
    for given in ({}, {"rule": "clip"}, {"rule": "softmax", "temperature": 0.1}, {"epsilon": 1.0}):
        chosen = RelationConfig(**given)  # type: ignore[arg-type]
        assert chosen.resolved("mean").chosen("mean") == chosen


def test_absent_options_count_as_they_were() -> None:
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}, {"b": {"c": 2}}) == ""
    assert differences({"a": 1}, {"a": 1, "b": {"c": 2}}, {"b": {"c": 3}}) == "`c` 3 -> 2"
