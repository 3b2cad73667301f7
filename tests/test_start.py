"""What a start costs: the second one finds every compiled program of the first."""

from pathlib import Path

import pytest
from program import simsmooth

pytestmark = pytest.mark.slow


def test_a_second_training_compiles_nothing(tmp_path: Path) -> None:
    options = ("--model", "mlp", "--width", 8, "--depth", 1, "--epochs", 1)
    cache, programs = tmp_path / "cache", []
    for seed in (0, 1):
        out = ("--seed", seed, "--out", f"out-{seed}")
        simsmooth("train", *options, *out, cwd=tmp_path, cache=cache)
        programs.append({path.name for path in cache.rglob("*-cache")})
    assert len(programs[0]) > 5
    assert programs[1] == programs[0]
