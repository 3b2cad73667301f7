"""Calls every public array function with the whole package under jaxtyping's import hook."""

import sys

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)

with install_import_hook("simsmooth_jax", "beartype.beartype"):
    import modes

ORDINARY = ("bytes, 64 bits", "jit", "vmap", "shard_map, Explicit", "Explicit, jit")


def main(asked: list[str]) -> int:
    """Prints what went wrong."""
    wrong = 0
    for name, mode in modes.cells():
        if mode in (asked or ORDINARY):
            try:
                modes.check(name, mode)
            except Exception as error:  # whatever it is
                wrong += 1
                print(f"{name} under {mode}: {type(error).__name__}: {str(error)[:1500]}\n")
    print(f"{wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
