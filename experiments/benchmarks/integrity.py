"""What SHA-256 adds to saving and restoring a checkpoint of 100 MB, in one process.

    python experiments/benchmarks/integrity.py

Prints seconds for 100 MB: of Orbax alone, of what stands around it, and their ratio.
"""

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from simsmooth_jax.machine.files import manifest
from simsmooth_jax.training.saved import checkpoints

ROUNDS, ARRAYS = 7, 8
BYTES = 100_000_000


def main() -> None:
    """Saves and restores by turns, so that all see the same machine."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    values = jax.random.normal(jax.random.key(0), (ARRAYS, BYTES // ARRAYS // 4))
    state = {"step": jnp.int32(1), "params": {f"layer_{i}": values[i] for i in range(ARRAYS)}}
    found: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begun = time.perf_counter()
        work()
        found.setdefault(name, []).append(time.perf_counter() - begun)

    with tempfile.TemporaryDirectory() as directory:
        root, ours = Path(directory), Path(directory) / "ours"
        for step in range(1, ROUNDS + 1):
            alone = root / f"alone-{step}"
            state["step"] = jnp.int32(step)
            timed("saved by Orbax", lambda alone=alone: ocp.save(str(alone), state))
            timed("saved here", lambda s=step: checkpoints.save(ours, s, state, {}))
            timed("manifest", lambda s=step: manifest.write(ours / str(s)))
            timed("compared", lambda s=step: manifest.first_flaw(ours / str(s)))
            timed("restored here", lambda: checkpoints.restore_state(ours, state))
    for name, seconds in found.items():
        print(f"{name:16} {statistics.median(seconds):.3f} s")
    both = statistics.median(found["manifest"]) + statistics.median(found["compared"])
    print(f"a save writes the manifest and compares it: {both:.3f} s for 100 MB")
    print(f"a restoration compares: {statistics.median(found['compared']):.3f} s for 100 MB")


if __name__ == "__main__":
    main()
