"""How two configurations of a directory differ, in the options that somebody has chosen."""

import dataclasses
from typing import Any

from simsmooth_jax.config.labels import RelationConfig

USUAL_RULE = "mean"  # of a run, the only one whose configuration has a relation
_RELATION = "relation."


def differences(before: dict[str, Any], now: dict[str, Any], absent: dict[str, Any]) -> str:
    """The options that differ with both of their values, or an empty string.

    What follows from another option on both sides, as the temperature from the rule, is left out:
    nobody has given it. `absent` counts for options that a configuration does not name.
    """
    sides = [_flat(absent) | _flat(config) for config in (before, now)]
    derived = set.intersection(*map(_derived, sides))
    keys = sorted(sides[0].keys() | sides[1].keys())
    differing = [key for key in keys if sides[0].get(key) != sides[1].get(key)]
    return "; ".join(
        f"`{key.rpartition('.')[2]}` {sides[0].get(key)} -> {sides[1].get(key)}"
        for key in [key for key in differing if key not in derived] or differing
    )


def _derived(flat: dict[str, Any]) -> set[str]:
    """The keys of a relation that its other options give."""
    fields = {field.name for field in dataclasses.fields(RelationConfig)}
    held = {name: flat[_RELATION + name] for name in fields if _RELATION + name in flat}
    if not held:
        return set()
    whole = RelationConfig(**held)
    chosen, usual = whole.chosen(USUAL_RULE), RelationConfig()
    found = {name for name in held if getattr(chosen, name) == getattr(usual, name)}
    found |= {"epsilon"} if flat.get("tune") else set()  # it is where the tuning begins
    return {_RELATION + name for name in found}


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
