"""Random numbers that are the same whatever JAX's own settings are."""

from typing import Any

import jax
from jaxtyping import Array

IMPL = "threefry2x32"  # never the default, which JAX_DEFAULT_PRNG_IMPL changes


def new_key(seed: Any) -> Array:
    """The key of a seed."""
    return jax.random.key(seed, impl=IMPL)


def settings() -> dict[str, Any]:
    """What the numbers of a key depend on besides; `jax_threefry_partitionable` may be set."""
    partitionable = getattr(jax.config, "jax_threefry_partitionable", True)
    return {"impl": IMPL, "threefry_partitionable": bool(partitionable)}


USUAL = {"impl": IMPL, "threefry_partitionable": True}  # of runs that do not name theirs
