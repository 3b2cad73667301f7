"""Files of labels say what they hold: a flipped bit is refused by the file's name."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import simsmooth_jax as ss
from simsmooth_jax.formats.label_files import TableFile, load_table
from simsmooth_jax.formats.similarity_files import read_similarity

NAMES = ("cat", "dög", "鳥")
TABLE = np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0, 1]], np.float32)
SIMILARITY = np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], np.float32)


def written(path: Path, table: Any = TABLE) -> bytes:
    TableFile(table, NAMES, "clip", {"epsilon": 0.5}, "kernel", "ab").save(path)
    return path.read_bytes()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def as_plain(file: TableFile) -> Any:
    arrays = {name: array.tolist() for name, array in file.table.arrays().items()}
    return arrays, file.class_names, file.rule, file.parameters, file.source, file.source_sha256


def silent_flips(
    path: Path, content: bytes, bits: list[int], read: Callable[[], Any]
) -> list[tuple[int, int]]:
    """Where something else is read, and nothing is said, or the file is not named."""
    path.write_bytes(content)
    expected, silent = read(), []
    for bit in bits:
        path.write_bytes(flipped(content, bit))
        try:
            found = read()
        except ss.InputError as error:
            if path.name in str(error) and "\n" not in str(error):
                continue
        else:
            if found == expected:
                continue
        silent.append((bit // 8, bit % 8))
    return silent


@pytest.mark.parametrize("name", ["labels.npz", "labels.safetensors"])
@pytest.mark.parametrize("kind", ["dense", "top-k"])
def test_no_flipped_bit_is_silent(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    content = written(path, TABLE if kind == "dense" else ss.top_k_labels(np.eye(3), 2))
    bits = random.Random(0).sample(range(8 * len(content)), 400)
    assert silent_flips(path, content, bits, lambda: as_plain(load_table(path))) == []


def test_no_flipped_bit_of_a_similarity_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "similarity.npz"
    content = written(path, SIMILARITY)
    bits = random.Random(1).sample(range(8 * len(content)), 400)

    def read() -> Any:
        table, names = read_similarity(f"table:{path}")
        return table.tolist(), names

    assert silent_flips(path, content, bits, read) == []


def test_equal_labels_are_equal_files(tmp_path: Path) -> None:
    """The library orders the metadata of a safetensors file in another way each time."""
    files = [written(tmp_path / f"{i}.safetensors") for i in range(5)]
    assert len({*files}) == 1
    arrays = safetensors.numpy.load_file(tmp_path / "0.safetensors")
    np.testing.assert_array_equal(arrays["table"], TABLE)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_of_others_and_of_before_have_no_digest(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(path, table=TABLE)
    else:
        safetensors.numpy.save_file({"table": TABLE}, path)
    np.testing.assert_array_equal(load_table(path).table.to_dense(), TABLE)


def test_another_content_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path / "labels.npz")
    with np.load(tmp_path / "labels.npz") as file:
        changed = {**file, "source": "features"}
    np.savez(tmp_path / "labels.npz", **changed)
    with pytest.raises(ss.InputError, match=r"labels.npz: .*its SHA-256 is another one"):
        load_table(tmp_path / "labels.npz")
