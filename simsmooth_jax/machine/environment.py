"""What surrounds the program: JAX's settings in the environment, and the standard streams."""

import os
import sys
from pathlib import Path

from simsmooth_jax.errors import InputError, first_line

# Of JAX, for who looks for faults in a program: Flax and Optax do not keep to them.
STRICT = {"jax_numpy_rank_promotion": "allow", "jax_numpy_dtype_promotion": "standard"}
STRICT |= {"jax_transfer_guard": "allow"}
# Of JAX as well, by which the same program gives other digits.
NUMERICS = ("jax_enable_x64", "jax_disable_jit", "jax_default_matmul_precision")
OF_DEVICES = ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "CUDA_VISIBLE_DEVICES", "XLA_FLAGS")


def settle() -> None:
    """Opens what a caller has closed, as `simsmooth run >&-`; pictures are files, not windows.

    A file of results would get the number of the stream otherwise, and whatever XLA prints to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    os.environ["MPLBACKEND"] = "agg"  # Matplotlib ends where it knows none of this name


def import_jax() -> None:
    """Imports JAX, which reads its variables then.

    Raises:
      InputError: it does not take one of them, which is named.
    """
    try:
        import jax

        for name, usual in STRICT.items():
            jax.config.update(name, usual)
    except ValueError as error:
        reason = first_line(error)
        given = [name for name in os.environ if name.startswith("JAX_")]
        named = [name for name in given if name.lower() in reason.lower()]
        raise _refused(named or given, "have values that JAX takes", reason) from error


def start_devices() -> None:
    """Starts JAX's devices.

    Raises:
      InputError: there are none of the kind that the environment asks for.
    """
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        reason = str(error) and first_line(error)
        given = [name for name in OF_DEVICES if name in os.environ]
        if not reason or "known backends" in reason:
            given = given[:1]  # a platform that JAX is not installed for
        must = "name devices that JAX finds here"
        raise _refused(given, must, reason or "it finds none") from error


def numerics() -> dict[str, str]:
    """The settings of JAX and XLA that digits depend on, by their variables."""
    import jax

    given = os.environ.get("XLA_FLAGS", "").split()
    flags = sorted(flag for flag in given if "host_platform_device_count" not in flag)
    found = {name.upper(): str(getattr(jax.config, name)) for name in NUMERICS}
    return found | {"XLA_FLAGS": " ".join(flags)}


def _refused(names: list[str], must: str, reason: str) -> InputError:
    got = ", ".join(f"{name}={os.environ[name]}" for name in names)
    got = f"{got}: {reason}" if got else reason
    who = " and ".join(names) or "JAX's settings"
    return InputError(who, must, got, "Unset it." if len(names) == 1 else "Look at each.")


def cache_directory() -> Path | None:
    """Where programs keep what they can make again; None for a user without a home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return None
