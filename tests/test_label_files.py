"""Tables of labels on disk: what other programs read of them, and what is refused."""

import dataclasses
import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import simsmooth_jax as ss
from simsmooth_jax.formats.label_files import TableFile, array_sha256, load_table
from simsmooth_jax.formats.matching import labels_for

NAMES = ("cat", "dög", "鳥")
TABLE = np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0, 1]], np.float32)


def table_file(**changes: Any) -> TableFile:
    fields: dict[str, Any] = {"table": TABLE, "class_names": NAMES, "rule": "clip"}
    fields |= {"parameters": {"epsilon": 0.5}, "source": "kernel", "source_sha256": "ab"}
    return TableFile(**fields | changes)


def test_labels_are_readable_with_plain_numpy(tmp_path: Path) -> None:
    table_file().save(tmp_path / "labels.npz")
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as file:
        fields = {field.name for field in dataclasses.fields(TableFile)}
        assert set(file) == fields | {"content_sha256"}
        assert file["table"].dtype == np.float32
        assert (file["table"] == TABLE).all()
        assert tuple(file["class_names"]) == NAMES
        assert str(file["rule"]) == "clip"
        assert json.loads(str(file["parameters"])) == {"epsilon": 0.5}
    loaded = load_table(tmp_path / "labels.npz")
    assert (loaded.class_names, loaded.rule, loaded.parameters) == (NAMES, "clip", {"epsilon": 0.5})
    assert os.listdir(tmp_path) == ["labels.npz"]


def test_labels_are_readable_with_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "labels.safetensors"
    table_file().save(path)
    with safetensors.safe_open(path, "np") as file:
        assert list(file.keys()) == ["table"]
        assert (file.get_tensor("table") == TABLE).all()
        texts = file.metadata()
    assert json.loads(texts.pop("class_names")) == list(NAMES)
    assert len(texts.pop("content_sha256")) == 64
    assert texts == {
        "rule": "clip",
        "parameters": '{"epsilon": 0.5}',
        "source": "kernel",
        "source_sha256": "ab",
    }
    loaded, expected = load_table(path), table_file()
    assert (loaded.table.to_dense() == TABLE).all()
    for field in ("class_names", "rule", "parameters", "source", "source_sha256"):
        assert getattr(loaded, field) == getattr(expected, field)


def test_safetensors_that_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    table_file().save(path)
    whole = path.read_bytes()
    claims_more = (10**12).to_bytes(8, "little") + whole[8:]
    for content in (b"", b"no file", whole[:100], whole[:-4], claims_more):
        path.write_bytes(content)
        with pytest.raises(ss.InputError, match="must be a table of labels") as refused:
            load_table(path)
        assert "\n" not in str(refused.value)
    safetensors.numpy.save_file({"one": TABLE, "other": TABLE}, path)
    with pytest.raises(ss.InputError, match="must be a table of labels"):
        load_table(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"class_names": ("dög", "cat", "鳥")},
            "in the same order, got 'dög' in row 0 where .*'cat'",
        ),
        ({"class_names": NAMES[:2]}, "class_names must be the 3 of the data, got 2"),
        ({"class_names": (*NAMES, "x")}, "class_names must be the 3 of the data, got 4"),
        (
            {"table": np.roll(TABLE, 1, axis=0)},
            "largest at its own class, got 0 there and 1 at class",
        ),
        ({"table": np.eye(4)}, "a row for each of the 3 classes of the data, got 4"),
        ({"table": TABLE[:2]}, r"must have shape \[K, K\], got \(2, 3\)"),
        ({"table": 2 * TABLE}, "every row of table must be a distribution, got sum 2 .* in row 0"),
        ({"table": np.eye(3) * [1, -1, 1]}, "got sum -1 and least entry -1 in row 1"),
        ({"table": TABLE * [[1], [np.nan], [1]]}, "got sum nan and least entry nan in row 1"),
    ],
)
def test_tables_that_are_not_trained_on(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    table_file(**changes).save(tmp_path / "labels.npz")
    with pytest.raises(ss.InputError, match=message):
        labels_for(tmp_path / "labels.npz", NAMES)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    fields: dict[str, Any] = {"rule": "clip", "parameters": "{}", "source": "kernel"}
    fields |= {"table": TABLE, "class_names": np.array(NAMES), "source_sha256": ""}

    def refuses(message: str) -> None:
        with pytest.raises(ss.InputError, match=message) as refused:
            load_table(path)
        assert "\n" not in str(refused.value)

    refuses("an existing .npz, .npy or .safetensors file, got .*x.npz. Make one")
    path.write_text("no archive")
    refuses(r"x.npz: it must be a table of labels, .*\(File is not a zip file")
    np.savez(path, one=TABLE, other=TABLE)
    refuses(r"cannot be read \(neither a table nor a single matrix: one, other\)")
    np.savez(path, **{**fields, "table": np.array([{"pickled": 1}], object)})
    refuses("pickled objects, which are never loaded")
    for values in (TABLE + 1j, TABLE.astype(str), TABLE > 0):
        np.savez(path, **{**fields, "table": values})
        refuses("table is of (complex64|str1024|bool), not of real numbers")
    np.savez(path, **{**fields, "class_names": [0, 1, 2]})
    refuses("class_names is not a list of texts")
    table_file().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    refuses("it must be a table of labels")


def test_hash_is_of_the_values() -> None:
    assert array_sha256(TABLE) == array_sha256(TABLE.astype(np.float64)) != array_sha256(TABLE.T)
    assert array_sha256(np.zeros(1)) == (  # sha256sum of four zero bytes
        "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119"
    )


def rewritten(path: Path, compression: int) -> bytes:
    """The archive with its members compressed in another way."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def test_archives_that_cannot_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    table_file().save(path)
    whole = path.read_bytes()
    encrypted = bytearray(whole)
    for place in (found.start() for found in re.finditer(b"PK\x01\x02", whole)):
        encrypted[place + 8] |= 1
    contents = [bytes(encrypted)]
    for compression in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        packed = bytearray(rewritten(path, compression))
        packed[60:110] = bytes(50)
        contents.append(bytes(packed))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ss.InputError, match="x.npz: it must be a table of labels"):
            load_table(path)


def test_parameters_that_are_nested_without_end(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"rule": "clip", "parameters": "[" * 200_000, "source": "kernel"}
    fields |= {"source_sha256": ""}
    np.savez(tmp_path / "x.npz", table=TABLE, class_names=np.array(NAMES), **fields)
    texts = {**fields, "class_names": json.dumps(NAMES)}
    safetensors.numpy.save_file({"table": TABLE}, tmp_path / "x.safetensors", texts)
    for path in tmp_path.iterdir():
        with pytest.raises(ss.InputError, match="cannot be read .*nested too deeply"):
            load_table(path)
