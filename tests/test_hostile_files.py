"""Files of any kind in the place of what a user names: one line, nothing waited for or filled."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from hostile import KERNEL, MIB, ODD, refusal
from PIL import Image

import simsmooth_jax as ss
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.data.conversion import Conversion
from simsmooth_jax.data.dataset import Dataset, Split
from simsmooth_jax.data.sources.folder import open_folder
from simsmooth_jax.data.sources.npz import open_npz
from simsmooth_jax.data.sources.tfds_files import refuse_hostile
from simsmooth_jax.formats.similarity_files import read_class_vectors, read_similarity
from simsmooth_jax.formats.stores import class_names
from simsmooth_jax.machine.files import ledger, manifest
from simsmooth_jax.machine.files.writing import append, read_json
from simsmooth_jax.study.agreement import read_confusions
from simsmooth_jax.study.comparison.rows import Rows, Shard
from simsmooth_jax.study.comparison.superclasses import read_superclasses
from simsmooth_jax.training.saved import checkpoints

ONE_EACH = Split(np.zeros((4, 1, 1, 3), np.uint8), np.arange(4, dtype=np.int32))
DATA = Dataset("four", tuple("abcd"), ONE_EACH, ONE_EACH, ONE_EACH)


def head_beside(path: Path) -> Any:
    """A head, with the file in the place of the config.json beside it."""
    found = ss.restore_head(hostile.weights(path.parent / "w.safetensors"), num_classes=4)
    assert (found.kernel == KERNEL).all()


def step_with(path: Path) -> Any:
    """A step of Orbax with the file in the place of one of its own."""
    return ss.restore_head(path.parent.parent if path.name == ".zarray" else path.parent)


def folder_with(path: Path) -> Any:
    source = open_folder(path.parent.parent, Conversion())
    return source.splits["train"].take(np.arange(3))


# Where the file lies, and who reads it.
PLACES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "checkpoint": ("model", ss.restore_head),
    "npz": ("model.npz", ss.restore_head),
    "npy": ("model.npy", ss.restore_head),
    "safetensors": ("model.safetensors", ss.restore_head),
    "msgpack": ("model.msgpack", ss.restore_head),
    "pickle": ("in/pytorch_model.bin", lambda path: ss.restore_head(path.parent)),
    "config.json": ("in/config.json", head_beside),
    "_METADATA": ("step/_METADATA", step_with),
    "_CHECKPOINT_METADATA": ("step/_CHECKPOINT_METADATA", step_with),
    ".zarray": ("step/head.kernel/.zarray", step_with),
    "manifest.ocdbt": ("step/manifest.ocdbt", step_with),
    "training": ("step/_CHECKPOINT_METADATA", lambda path: checkpoints.read(path.parent, ("x",))),
    "labels": ("labels.npz", ss.load_labels),
    "vectors": ("s.npz", lambda path: read_class_vectors(f"vectors:{path}")),
    "table": ("s.npy", lambda path: read_similarity(f"table:{path}")),
    "class names": ("names.txt", lambda path: class_names.of_head({}, 4, path)),
    "superclasses": ("s.npy", lambda path: read_superclasses(StudyConfig(superclasses=path), DATA)),
    "confusions": ("c.npy", lambda path: read_confusions(path, 4)),
    "data": ("data.npz", lambda path: open_npz(path, Conversion())),
    "image": ("data/cat/0.png", folder_with),
    "another image": ("data/dog/1.png", folder_with),
    "tfds": ("set/1.0.0/features.json", lambda path: refuse_hostile(path.parent.parent)),
    "run": ("run/config.json", read_json),
}
# What is nothing of its own where it is not one: a directory beside, a note that cannot be read.
READ = {("manifest.ocdbt", "directory"), ("tfds", "directory")}
READ |= {("manifest.ocdbt", kind) for kind in ("empty", "no text", "deep", "of numbers")}
READ |= {("_CHECKPOINT_METADATA", kind) for kind in ("empty", "no text", "deep", "of numbers")}
READ |= {("config.json", kind) for kind in ("empty", "no text", "deep", "of numbers", "nowhere")}
READ |= {("_CHECKPOINT_METADATA", "long"), ("config.json", "long")}
READ |= {("tfds", "of numbers"), ("tfds", "long"), ("run", "long")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a step, images and more, of which one file is replaced."""
    hostile.orbax(tmp_path / "step")
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (4, 4)).save(tmp_path / "data" / name / f"{number}.png")
    for name in ("in", "run", "set/1.0.0"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("name", PLACES)
def test_whatever_a_name_leads_to_is_read_or_refused_in_one_line(place: Path, name: str) -> None:
    where, read = PLACES[name]
    for kind, make in ODD.items():
        path = place / where
        before = path.read_bytes() if path.is_file() else None
        if before is not None:
            path.unlink()
        make(path)
        line = refusal(lambda path=path, read=read: read(path), place)
        assert line is not None or (name, kind) in READ, kind
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if before is not None:
            path.write_bytes(before)


def test_nothing_hostile_costs_more_than_is_said(tmp_path: Path) -> None:
    """In a process of its own, which is asked for its memory."""
    command = [sys.executable, hostile.__file__, str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert {name for name, line in found["lines"].items() if line is None} == set()
    assert found["bytes"] < hostile.BYTES
    assert found["seconds"] < hostile.SECONDS * len(hostile.SIZES)


def test_sizes_are_named(tmp_path: Path) -> None:
    names = hostile.sparse(tmp_path / "n.txt", 17 * MIB)
    line = refusal(lambda: class_names.of_head({}, 4, names))
    assert str(line).startswith(
        f"`class_names={names}`: it must have at most 16,777,216 bytes, got"
    )
    assert "got 17,825,792 bytes." in str(line)
    picture = tmp_path / "data" / "cat" / "0.png"
    picture.parent.mkdir(parents=True)
    (tmp_path / "data" / "dog").mkdir()
    hostile.sparse(picture, 300 * MIB)
    line = refusal(lambda: open_folder(tmp_path / "data", Conversion()))
    assert f"{picture}: it must have at most 268,435,456 bytes, got 314,572,800 bytes." in str(line)


def test_names_of_classes_have_a_length(tmp_path: Path) -> None:
    names = hostile.written(tmp_path / "n.txt", "a\nb\nc\n" + "d" * 10**7)
    line = refusal(lambda: class_names.of_head({}, 4, names))
    assert "class_names must" not in str(line)
    assert f"`class_names={names}` must have at most 500 letters each, got 10,000,000: 'ddd" in str(
        line
    )


def test_a_picture_that_another_program_would_be_started_for(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
        )
    with pytest.raises(ss.InputError, match="no image that Pillow knows"):
        open_folder(tmp_path, Conversion())


def test_code_that_a_set_of_tfds_names_is_not_imported(tmp_path: Path) -> None:
    for key, name in (("pythonClassName", "evil.Feature"), ("type", "os.path.Image")):
        (tmp_path / "features.json").write_text(json.dumps({"featuresDict": {"a": {key: name}}}))
        line = refusal(lambda: refuse_hostile(tmp_path))
        assert f"must name features of TFDS alone, whose code is imported, got '{name}'" in str(
            line
        )
    own = {"pythonClassName": "tensorflow_datasets.core.features.Image"}
    (tmp_path / "features.json").write_text(json.dumps(own))
    refuse_hostile(tmp_path)


@pytest.mark.parametrize("name", ["pipe", "model.npz"])
def test_a_pipe_is_called_one(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ss.InputError, match=f"{name}: it must be a regular file, got a pipe"):
        ss.restore_head(tmp_path / name)


def test_a_pipe_in_the_place_of_a_file_of_ours_is_not_waited_for(tmp_path: Path) -> None:
    for name in (ledger.LEDGER, manifest.SUMS, "rows-1-of-1.jsonl", "metrics.jsonl"):
        os.mkfifo(tmp_path / name)
    uses: dict[str, Callable[[], Any]] = {
        ledger.LEDGER: lambda: ledger.note(tmp_path, ["x"]),
        "rows-1-of-1.jsonl": lambda: Rows(tmp_path, Shard()),
        "metrics.jsonl": lambda: append(tmp_path / "metrics.jsonl", b"{}\n"),
    }
    for name, use in uses.items():
        with pytest.raises(ss.InputError) as error:
            use()
        assert str(error.value) == (
            f"{tmp_path / name}: it must be a regular file, got a pipe. Put a file in its place."
        )
    assert not manifest.is_there(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ss.InputError, match=f"got a link to {tmp_path / 'nowhere'}. Put a file"):
        append(tmp_path / "link", b"x")
    assert not (tmp_path / "nowhere").exists()
