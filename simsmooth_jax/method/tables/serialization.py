"""Tables in Flax's `to_bytes` and in what `jax.export` writes: both ask to be told of a class."""

import dataclasses
from typing import Any, TypeVar

import jax.export
from flax import serialization

C = TypeVar("C", bound=type)


def portable(cls: C) -> C:
    """Tells Flax and `jax.export` of a dataclass all of whose fields are arrays."""
    names = [field.name for field in dataclasses.fields(cls)]

    def state_of(table: Any) -> dict[str, Any]:
        return {name: serialization.to_state_dict(getattr(table, name)) for name in names}

    def restored(table: Any, state: dict[str, Any]) -> Any:
        fields = {
            name: serialization.from_state_dict(getattr(table, name), state[name], name=name)
            for name in names
        }
        return cls(**fields)

    serialization.register_serialization_state(cls, state_of, restored)
    jax.export.register_pytree_node_serialization(
        cls,
        serialized_name=f"{cls.__module__}.{cls.__qualname__}",
        serialize_auxdata=lambda _: b"",
        deserialize_auxdata=lambda _: (),
    )
    return cls
