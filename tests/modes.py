"""Every public array function under every mode of JAX that users switch on, as one table.

`python tests/modes.py` prints it: a row for each function, a column for each mode. A cell is the
plain call's values again, or what went wrong.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

if __name__ == "__main__":  # before the first array; tests have them from conftest
    jax.config.update("jax_num_cpu_devices", 8)

from mode_cases import FUNCTIONS, D

CONTEXTS = ("x64", "strict", "debug nans", "no promotion", "all four")
HOST = {"diagnose"}  # gives Python numbers, and refuses tracers
UNTOUCHED = {
    "diagnose",
    "head_kernel",
    "uniform_labels",
    "superclass_labels",
}  # nothing to differentiate, or no batch


def one_mesh(kind: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh((4, 2), ("data", "classes"), axis_types=(kind, kind))


def placed(kind: AxisType, spec: P, function: Callable[..., Any], inputs: np.ndarray) -> Any:
    """The function of an input that lies on a mesh by a spec."""
    mesh = one_mesh(kind)
    array = jax.device_put(inputs[0], NamedSharding(mesh, P(*spec[: inputs[0].ndim])))
    return function(array)


def placed_in_jit(kind: AxisType, spec: P, function: Callable[..., Any], inputs: Any) -> Any:
    with jax.set_mesh(one_mesh(kind)):
        return placed(kind, spec, jax.jit(function), inputs)


def in_shard_map(
    kind: AxisType, wrap: Any, function: Callable[..., Any], inputs: np.ndarray
) -> Any:
    """Each of eight devices has an input of its own, at the default `check_vma=True`."""
    mesh = jax.make_mesh((D,), ("data",), axis_types=(kind,))
    spec = P("data")
    mapped = jax.shard_map(
        lambda x: jax.tree.map(lambda leaf: leaf[None], function(x[0])),
        mesh=mesh,
        in_specs=spec,
        out_specs=spec,
    )
    return wrap(mapped)(jax.device_put(inputs, NamedSharding(mesh, spec)))


def total(function: Callable[..., Any], x: Any) -> Any:
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(function(x))]
    return sum(jnp.sin(leaf).sum() for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating))


def under(context: Any, function: Callable[..., Any], inputs: np.ndarray) -> Any:
    with context():
        return function(inputs[0]), jax.jit(function)(inputs[0])


def strided(function: Callable[..., Any], inputs: np.ndarray) -> Any:
    """Another byte order, 64 bits, and an array that is no single piece of memory."""
    wide = inputs[0].astype(np.float64)
    twice = np.repeat(inputs[0][..., None], 2, -1)[..., 0]
    return [function(x) for x in (inputs[0].astype(">f4"), wide, wide.astype(">f8"), twice)]


@contextlib.contextmanager
def all_four() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        stack.enter_context(jax.debug_nans(True))
        stack.enter_context(jax.numpy_rank_promotion("raise"))
        yield


# name -> function of (a public function, its eight inputs); its leaves are compared with the plain
# call's: those of one input, several times, or of all eight with a leading axis.
Mode = Callable[[Callable[..., Any], np.ndarray], Any]
ONE: dict[str, Mode] = {
    "bytes, 64 bits": strided,
    "x64": partial(under, partial(jax.enable_x64, True)),
    "strict": partial(under, partial(jax.numpy_dtype_promotion, "strict")),
    "debug nans": partial(under, partial(jax.debug_nans, True)),
    "no promotion": partial(under, partial(jax.numpy_rank_promotion, "raise")),
    "all four": partial(under, all_four),
    "jit": lambda f, xs: jax.jit(f)(xs[0]),
    "remat": lambda f, xs: jax.checkpoint(f)(xs[0]),
    "cond": lambda f, xs: jax.lax.cond(xs[0].sum() < 1e9, f, f, xs[0]),
    "Auto": partial(placed, AxisType.Auto, P("data")),
    "Auto, jit": partial(placed_in_jit, AxisType.Auto, P(None, "classes")),
    "Explicit": partial(placed, AxisType.Explicit, P("data")),
    "Explicit, replicated": partial(placed, AxisType.Explicit, P()),
    "Explicit, columns": partial(placed, AxisType.Explicit, P(None, "classes")),
    "Explicit, jit": partial(placed_in_jit, AxisType.Explicit, P("data", "classes")),
}
ALL: dict[str, Mode] = {
    "vmap": lambda f, xs: jax.vmap(f)(xs),
    "scan": lambda f, xs: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, xs)[1],
    "pmap": lambda f, xs: jax.pmap(f)(xs),
    "shard_map, Auto": partial(in_shard_map, AxisType.Auto, jax.jit),
    "shard_map, Explicit": partial(in_shard_map, AxisType.Explicit, jax.jit),
    "shard_map, eager": partial(in_shard_map, AxisType.Explicit, lambda f: f),
}
GRADIENT: dict[str, Mode] = {
    "grad": lambda f, xs: jax.grad(partial(total, f))(xs[0]),
    "grad, Explicit": lambda f, xs: placed_in_jit(
        AxisType.Explicit, P("data", "classes"), jax.grad(partial(total, f)), xs
    ),
    "grad, shard_map": lambda f, xs: in_shard_map(
        AxisType.Explicit, jax.jit, jax.grad(partial(total, f)), xs
    ),
}
MODES = {**ONE, **ALL, **GRADIENT}


def cells() -> Iterator[tuple[str, str]]:
    for name in FUNCTIONS:
        for mode in MODES:
            traces = mode not in ONE or mode in ("jit", "remat", "cond") or "jit" in mode
            if name in HOST and (traces or mode in CONTEXTS):
                continue
            if mode in GRADIENT and (name in UNTOUCHED or "its gradients" in name):
                continue
            if "its gradients" in name and mode.startswith("Explicit") and "jit" not in mode:
                continue  # JAX takes no gradient of Explicit arrays outside of jit
            if "its gradients" in name and mode == "bytes, 64 bits":
                continue  # nor of another byte order
            yield name, mode


def check(name: str, mode: str) -> None:
    """Raises where a function's values differ from those of plain calls."""
    function, inputs = FUNCTIONS[name]
    found = jax.tree.leaves(MODES[mode](function, inputs))
    if mode in GRADIENT:
        gradient = jax.grad(partial(total, function))
        expected = gradient(inputs[0])
        if mode == "grad, shard_map":
            expected = np.stack([gradient(x) for x in inputs])
        expected = jax.tree.leaves(expected)
    elif mode in ALL:
        each = [jax.tree.leaves(function(x)) for x in inputs]
        expected = [np.stack(leaves) for leaves in zip(*each, strict=True)]
    else:
        expected = jax.tree.leaves(function(inputs[0]))
        expected = expected * (len(found) // len(expected))
    assert len(found) == len(expected)
    for some, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(some), np.asarray(right), rtol=1e-5, atol=2e-6)


def main(functions: list[str], modes: list[str]) -> int:
    """Prints the table, and what went wrong below it."""
    failures = {}
    names = [mode for mode in MODES if not modes or mode in modes]
    print(" " * 28 + " ".join(f"{index:>2}" for index in range(len(names))))
    chosen = [name for name in FUNCTIONS if not functions or name in functions]
    asked = {(name, mode) for name, mode in cells() if name in chosen and mode in names}
    for name in chosen:
        row = []
        for mode in names:
            if (name, mode) not in asked:
                row.append("  ")
                continue
            try:
                check(name, mode)
                row.append("ok")
            except Exception as error:  # whatever it is, it is what the table shows
                failures[name, mode] = f"{type(error).__name__}: {str(error).strip()[:300]}"
                row.append("--")
        print(f"{name:<28}" + " ".join(row), flush=True)
    print("\n".join(f"{index:>2} {mode}" for index, mode in enumerate(names)))
    for (name, mode), error in failures.items():
        print(f"\n{name} under {mode}\n  {error}")
    print(f"\n{len(asked) - len(failures)} of {len(asked)} cells hold the plain call's values")
    return bool(failures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", nargs="*", default=[], choices=FUNCTIONS, metavar="NAME")
    parser.add_argument("--modes", nargs="*", default=[], choices=MODES, metavar="NAME")
    options = parser.parse_args()
    sys.exit(main(options.functions, options.modes))
