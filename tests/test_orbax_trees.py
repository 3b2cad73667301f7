"""Orbax checkpoints that are damaged, hostile, unfinished or of several items."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import orbax.checkpoint as v0
import pytest
import tensorstore as ts
import write_checkpoints as stored
from write_checkpoints import KERNEL

import simsmooth_jax as ss
from simsmooth_jax.formats.stores.opening import open_stored

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(shared_directory: Path) -> Path:
    return stored.written(shared_directory)


def refused(path: Path) -> str:
    with pytest.raises(ss.InputError) as error:
        ss.restore_head(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.fixture
def tree(files: Path, tmp_path: Path) -> Path:
    """A checkpoint of Orbax with a file for each array's metadata and each chunk, to damage."""
    return Path(shutil.copytree(files / "pytree_files" / "one" / "params", tmp_path / "tree"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("_METADATA", b"{", "Expecting property name"),
        ("_METADATA", b"[]", "has no attribute"),
        ("head.kernel/.zarray", None, "Error opening"),
        ("head.kernel/.zarray", b"{}", "Error opening"),
        ("head.kernel/0.0", None, "chunk {0, 0} stored at local file"),
        ("head.kernel/0.0", b"short", "Error reading"),
    ],
)
def test_damage_of_orbax(tree: Path, name: str, content: bytes | None, reason: str) -> None:
    (tree / name).unlink()
    if content is not None:
        (tree / name).write_bytes(content)
    message = refused(tree)
    assert "it must be whole, got a damaged one (" in message
    assert reason in message


@pytest.mark.parametrize("name", ["v1", "manager_default", "pytree_zarr3"])
def test_truncated_data_of_orbax(files: Path, tmp_path: Path, name: str) -> None:
    tree = Path(shutil.copytree(files / name / "one" / "params", tmp_path / "tree"))
    for file in tree.rglob("d/*"):
        os.truncate(file, file.stat().st_size // 2)
    assert "it must be whole, got a damaged one (" in refused(tree)


@pytest.mark.parametrize("field", ["shape", "chunks"])
def test_metadata_that_ask_for_all_memory(tree: Path, field: str) -> None:
    file = tree / "head.kernel" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: [1 << 44, 4]}))
    message = refused(tree)
    assert "(head/kernel claims far more than there is in its files: " in message


def test_what_would_be_waited_for_is_refused(tree: Path) -> None:
    file = tree / "head.kernel" / ".zarray"
    file.unlink()
    os.mkfifo(file)
    assert "got a damaged one (head.kernel/.zarray is no file, but a pipe)" in refused(tree)


def rename(tree: Path, old: str, keys: list[str]) -> None:
    """Gives an array of a tree another name, as a hostile or careless program could."""
    names = json.loads((tree / "_METADATA").read_text())
    entry = names["tree_metadata"][old]
    entry["key_metadata"] = [{"key": key, "key_type": 2} for key in keys]
    (tree / "_METADATA").write_text(json.dumps(names))


def test_names_that_leave_the_directory(tree: Path, files: Path) -> None:
    shutil.copytree(tree / "head.kernel", tree.parent / "out.kernel")
    rename(tree, "('head', 'kernel')", ["../out", "kernel"])
    assert "got a damaged one (Error parsing object member" in refused(tree)
    rename(tree, "('head', 'kernel')", ["../tree/head", "kernel"])
    assert "got a damaged one (Error parsing object member" in refused(tree)


def test_names_that_collide_in_orbax(tree: Path) -> None:
    rename(tree, "('body', 'kernel')", ["head.kernel"])
    message = refused(tree)
    assert "got head/kernel and head.kernel, which Orbax both stores as head.kernel" in message


def crc32c(content: bytes) -> bytes:
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return (value ^ 0xFFFFFFFF).to_bytes(4, "little")


def test_ocdbt_whose_data_lie_outside(files: Path, tmp_path: Path) -> None:
    """A B-tree that names its data's files `../out`, with its checksum made right."""
    source, tree = files / "pytree" / "one" / "params", tmp_path / "tree"
    tree.mkdir()
    shutil.copy(source / "_METADATA", tree)
    base = {"driver": "ocdbt", "base": f"file://{source}/"}
    config = {"compression": None, "max_inline_value_bytes": 0}
    copy = base | {"base": f"file://{tree}/", "config": config, "value_data_prefix": "in/out/"}
    arrays, copied = (ts.KvStore.open(spec).result() for spec in (base, copy))
    with ts.Transaction() as transaction:
        for key in arrays.list().result():
            copied.with_transaction(transaction)[key] = arrays[key]
    assert (ss.restore_head_kernel(tree) == KERNEL).all()

    def move(old: bytes, new: bytes) -> None:
        (nodes,) = [f for f in (tree / "d").iterdir() if old + b"/out/" in f.read_bytes()]
        content = nodes.read_bytes()[:-4].replace(old + b"/out/", new + b"/out/")
        nodes.write_bytes(content + crc32c(content))

    (tree / "in").rename(tree / "on")
    move(b"in", b"on")
    assert (ss.restore_head_kernel(tree) == KERNEL).all()  # the forgery itself is sound
    (tree / "on" / "out").rename(tmp_path / "out")
    move(b"on", b"..")
    assert "it must be whole, got a damaged one (" in refused(tree)


def test_the_last_finished_step_is_taken(files: Path, tmp_path: Path) -> None:
    source = files / "manager_default" / "one" / "params" / "9"
    for name in ("9", "10", "12"):
        shutil.copytree(source, tmp_path / name)
    (tmp_path / "11").mkdir()
    (tmp_path / "13.orbax-checkpoint-tmp").mkdir()
    noted = json.loads((source / "_CHECKPOINT_METADATA").read_text())
    begun = json.dumps(noted | {"commit_timestamp_nsecs": None})
    (tmp_path / "12" / "_CHECKPOINT_METADATA").write_text(begun)
    shutil.copytree(source, tmp_path / "14.orbax-checkpoint-tmp-3")
    assert open_stored(tmp_path).format == "Orbax, step 10, item default"
    assert refused(tmp_path / "11").startswith("`checkpoint` must be an Orbax checkpoint or")


def test_several_items_and_what_was_noted(files: Path, tmp_path: Path) -> None:
    step = files / "v1_training" / "one" / "params" / "9"
    assert open_stored(step).metadata == {"class_names": ["a", "b", "c", "d"]}
    assert open_stored(step / "state").metadata == {"class_names": ["a", "b", "c", "d"]}
    shutil.copytree(step, tmp_path / "9")
    shutil.copytree(step / "state", tmp_path / "9" / "ema")
    assert open_stored(tmp_path).format == "Orbax, step 9, items ema, state"
    listed = re.escape("got 2: ema/head/kernel [8, 4], state/head/kernel [8, 4]. Try `head=")
    assert re.search(listed, refused(tmp_path))
    assert ss.restore_head(tmp_path, head="ema/head").path == "ema/head/kernel"


def test_numbered_items_are_no_steps_and_other_directories_no_items(
    files: Path, tmp_path: Path
) -> None:
    step = files / "manager_model" / "one" / "params" / "9"
    shutil.copytree(step, tmp_path / "9")
    shutil.copytree(step / "model", tmp_path / "9" / "model_1")
    (tmp_path / "9" / "model").rename(tmp_path / "9" / "model_0")
    shutil.copytree(step / "model", tmp_path / "best")
    assert open_stored(tmp_path / "9").format == "Orbax, step 9, items model_0, model_1"
    assert open_stored(tmp_path).format == "Orbax, step 9, items model_0, model_1"


def test_zeros_that_orbax_was_told_to_leave_out(files: Path, tmp_path: Path) -> None:
    """Only where the checkpoint says that all data were stored is a missing chunk a lost one."""
    tree = Path(shutil.copytree(files / "pytree_files" / "one" / "params", tmp_path / "tree"))
    names = json.loads((tree / "_METADATA").read_text())
    del names["store_array_data_equal_to_fill_value"]
    (tree / "_METADATA").write_text(json.dumps(names))
    (tree / "head.kernel" / "0.0").unlink()
    assert (ss.restore_head_kernel(tree) == np.zeros_like(KERNEL)).all()


def test_what_else_a_tree_may_hold_is_passed_over(tmp_path: Path) -> None:
    tree = {"head": {"kernel": KERNEL}, "name": "resnet", "empty": {}, "nothing": None, "rate": 0.1}
    with v0.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
    found = open_stored(tmp_path / "tree").arrays
    assert [*found] == [("head", "kernel"), ("rate",)]
    assert found["head", "kernel"].nbytes == KERNEL.nbytes
