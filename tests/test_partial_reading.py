"""The head is read out of a checkpoint of any size without reading the rest."""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.serialization
import numpy as np
import pytest
import safetensors.numpy
import tensorstore as ts
import write_checkpoints as stored
from write_checkpoints import KERNEL

import simsmooth_jax as ss

pytestmark = pytest.mark.slow

BODY = np.random.RandomState(0).rand(8192, 1024).astype(np.float32)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "x.npz": lambda path: np.savez(path, body=BODY, kernel=KERNEL),
    "x.safetensors": lambda path: safetensors.numpy.save_file(
        {"body.weight": BODY, "fc.weight": KERNEL}, path
    ),
    "x.msgpack": lambda path: path.write_bytes(
        flax.serialization.to_bytes({"body": {"kernel": BODY}, "head": {"kernel": KERNEL}})
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says what it holds of a file")
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("x.npz", 200_000),
        ("x.msgpack", 200_000),
        ("x.safetensors", 9_000_000),  # the library maps it, and Linux reads ahead in the map
    ],
)
def test_little_is_read_of_a_large_file(tmp_path: Path, name: str, most: int) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if bytes_in_memory(path):
        pytest.skip("the file system keeps its files in memory")
    assert (ss.restore_head_kernel(path, layout="features-classes") == KERNEL).all()
    assert path.stat().st_size > 33_000_000
    assert KERNEL.nbytes < bytes_in_memory(path) < most


def bytes_in_memory(path: Path) -> int:
    """How much of a file the operating system has read, in whole pages."""
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(content)
        address = ctypes.c_void_p(ctypes.addressof(start))
        assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(size), pages) == 0
        del start  # or the map cannot be closed
    return sum(page & 1 for page in pages) * mmap.PAGESIZE


@pytest.mark.parametrize("name", stored.LARGE)
def test_little_is_read_of_a_large_checkpoint_of_orbax(shared_directory: Path, name: str) -> None:
    path = stored.written(shared_directory) / name / "large"
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    before = bytes_read()
    assert ss.restore_head(path).bias is None
    read = bytes_read() - before
    assert size > 7_000_000
    assert KERNEL.nbytes < read < size / 1000, f"{read} of {size} bytes"


def bytes_read() -> int:
    counters = ts.experimental_collect_matching_metrics("/tensorstore/kvstore/file/bytes_read")
    return sum(value["value"] for counter in counters for value in counter["values"])
