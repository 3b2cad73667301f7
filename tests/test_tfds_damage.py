"""Sets of TFDS that are damaged, and those that are whole in another format."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tfds import load, picture, prepared_sets, refuses  # noqa: F401

import simsmooth_jax as ss
from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.data.load import open_source

pytestmark = pytest.mark.slow

SHARD = "plain-train.array_record-00000-of-00001"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (SHARD, None, "No such file"),
        (SHARD, lambda content: b"", "ArrayRecord file should be at least 64KB big"),
        (SHARD, lambda content: content[:-500], "Corrupted Riegeli/records file"),
        (SHARD, lambda content: content[:90] + b"?" + content[91:], "Corrupted Riegeli/records f"),
        ("dataset_info.json", lambda content: content.replace(b'"30"', b'"50"'), "out of bound"),
        ("dataset_info.json", lambda content: b"{", "Expecting property name"),
        ("features.json", lambda content: b"{}", "Python class name must contain a dot"),
    ],
)
def test_damaged_sets_are_named(
    sets: Path,
    tmp_path: Path,
    file: str,
    change: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    shutil.copytree(sets / "plain", tmp_path / "plain")
    path = tmp_path / "plain" / "1.0.0" / file
    content = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(change(content))
        assert path.read_bytes() != content
    with pytest.raises(ss.InputError, match=f"^(plain .*in )?{tmp_path}.*: it must be") as no:
        load("plain", tmp_path)
    assert message in str(no.value)
    assert "\n" not in str(no.value)


def in_another_format(prepared: Path, copied: Path, name: str = "plain", **info: Any) -> Path:
    """What TFDS prepares as tfrecord, by the names of its files and by what it says of itself."""
    copied.mkdir(parents=True)
    for path in prepared.iterdir():
        shared = path.name.replace("plain-", f"{name}-").replace("array_record", "tfrecord")
        shutil.copy(path, copied / shared)
    values = json.loads((prepared / "dataset_info.json").read_text())
    values |= {"fileFormat": "tfrecord", "name": name, "version": copied.name} | info
    (copied / "dataset_info.json").write_text(json.dumps(values))
    return copied


def test_other_file_formats_are_refused_and_kept(sets: Path, tmp_path: Path) -> None:
    """Never as damaged: array_record is prepared beside what is there, out of it."""
    prepared = sets / "plain" / "1.0.0"
    in_another_format(prepared, tmp_path / "plain" / "1.0.0")
    in_another_format(prepared, tmp_path / "fashion_mnist" / "3.0.1", "fashion_mnist")
    for name, data in (("plain/1.0.0", "tfds:plain"), ("fashion_mnist/3.0.1", "fashion_mnist")):
        with pytest.raises(ss.InputError) as refused:
            open_source(data, SourceConfig(data_dir=tmp_path))
        text = str(refused.value)
        assert text.startswith(f"`data=tfds:{name.split('/')[0]}")
        assert (
            f"as array_record, which can be read in any order, got tfrecord in {tmp_path}/{name}"
            in text
        )
        command = f"tfds convert_format --dataset_version_dir={tmp_path}/{name} --out_file_format="
        assert f"pip install 'simsmooth_jax[tf]' && {command}array_record" in text
        assert "elete" not in text


def test_a_set_in_two_formats_is_read(sets: Path, tmp_path: Path) -> None:
    """As `tfds convert_format` leaves it: tfrecord is its own, array_record stands beside it."""
    prepared = sets / "plain" / "1.0.0"
    both = in_another_format(
        prepared, tmp_path / "plain" / "1.0.0", alternativeFileFormats=["array_record"]
    )
    for path in prepared.glob("*.array_record-*"):
        shutil.copy(path, both / path.name)
    found, expected = (
        open_source("tfds:plain", SourceConfig(data_dir=directory)).splits["train"]
        for directory in (tmp_path, sets)
    )
    for ours, theirs in zip(*(x.take(np.arange(30)) for x in (found, expected)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_who_may_not_read_a_set_is_not_told_that_it_is_damaged(
    sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any) -> Any:  # as root, who runs CI, nothing is locked
        raise PermissionError(13, "Permission denied", "features.json")

    monkeypatch.setattr("simsmooth_jax.data.sources.tfds_sets.tfds_prepared", locked)
    refuses("plain", sets, "must be readable, got Permission denied at features.json. Check the")
