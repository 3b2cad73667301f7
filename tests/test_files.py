"""Tables, the metrics log and the run directory on disk."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import simsmooth_jax as ss
from simsmooth_jax.files import write_atomically, write_json
from simsmooth_jax.label_files import TableFile, array_sha256, load_labels, load_table
from simsmooth_jax.metrics_log import MetricsLog
from simsmooth_jax.run_directory import default_directory, open_directory

NAMES = ("cat", "dög", "鳥")
TABLE = np.array([[0.8, 0.2, 0], [0.1, 0.9, 0], [0, 0, 1]], np.float32)


def table_file(**changes: Any) -> TableFile:
    fields: dict[str, Any] = {"table": TABLE, "class_names": NAMES, "rule": "clip"}
    fields |= {"parameters": {"epsilon": 0.5}, "source": "kernel", "source_sha256": "ab"}
    return TableFile(**fields | changes)


def test_labels_are_readable_with_plain_numpy(tmp_path: Path) -> None:
    table_file().save(tmp_path / "labels.npz")
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as file:
        assert set(file) == {field.name for field in dataclasses.fields(TableFile)}
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
    assert texts == {
        "rule": "clip",
        "parameters": '{"epsilon": 0.5}',
        "source": "kernel",
        "source_sha256": "ab",
    }
    loaded, expected = load_table(path), table_file()
    assert (loaded.table == TABLE).all()
    for field in ("class_names", "rule", "parameters", "source", "source_sha256"):
        assert getattr(loaded, field) == getattr(expected, field)


def test_safetensors_that_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    table_file().save(path)
    whole = path.read_bytes()
    claims_more = (10**12).to_bytes(8, "little") + whole[8:]
    for content in (b"", b"no file", whole[:100], whole[:-4], claims_more):
        path.write_bytes(content)
        with pytest.raises(ss.InputError, match="must be a table that simsmooth wrote") as refused:
            load_table(path)
        assert "\n" not in str(refused.value)
    safetensors.numpy.save_file({"other": TABLE}, path)
    with pytest.raises(ss.InputError, match="must be a table that simsmooth wrote"):
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
        load_labels(tmp_path / "labels.npz", NAMES)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    fields: dict[str, Any] = {"rule": "clip", "parameters": "{}", "source": "kernel"}
    fields |= {"table": TABLE, "class_names": np.array(NAMES), "source_sha256": ""}

    def refuses(message: str) -> None:
        with pytest.raises(ss.InputError, match=message) as refused:
            load_table(path)
        assert "\n" not in str(refused.value)

    refuses("path of an existing .npz or .safetensors file, got .*x.npz. Make one")
    path.write_text("no archive")
    refuses(r"x.npz: it must be a table that simsmooth wrote, .*\(no NumPy archive")
    np.savez(path, other=TABLE)
    refuses(r"cannot be read \(no rule\)")
    np.savez(path, **{**fields, "table": np.array([{"pickled": 1}], object)})
    refuses("pickled objects, which are never loaded")
    numbers: list[dict[str, Any]] = [{"table": TABLE + 1j}, {"table": TABLE.astype(str)}]
    for wrong in [*numbers, {"class_names": [0, 1, 2]}]:
        np.savez(path, **{**fields, **wrong})
        refuses("table is not of floats, or class_names not a list of texts")
    table_file().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    refuses("it must be a table that simsmooth wrote")


def test_hash_is_of_the_values() -> None:
    assert array_sha256(TABLE) == array_sha256(TABLE.astype(np.float64)) != array_sha256(TABLE.T)
    assert array_sha256(np.zeros(1)) == (  # sha256sum of four zero bytes
        "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119"
    )


def test_log_drops_what_follows_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.rows() == []
    for arm, step in [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]:
        log.append({"arm": arm, "step": step})
    log.flush()
    with log.path.open("a") as file:
        file.write('{"arm": "b", "st')
    log.rewind("b", 2)
    assert [(row["arm"], row["step"]) for row in log.rows()] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("b", 2),
    ]
    assert log.path.read_text().endswith("\n")


def test_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", float("nan"))
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "a", "text")  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_directory_is_one_configurations(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with open_directory(out, {"seed": 0, "model": {"width": 8}}, overwrite=False):
        (out / "report.json").write_text("{}")
    with open_directory(out, {"seed": 0, "model": {"width": 8}}, overwrite=False):
        assert (out / "report.json").exists()
    other = {"seed": 1, "model": {"width": 9}}
    with (
        pytest.raises(ss.InputError, match="got model.width 8 -> 9; seed 0 -> 1. Choose another"),
        open_directory(out, other, overwrite=False),
    ):
        pass
    assert (out / "report.json").exists()
    with open_directory(out, other, overwrite=True):
        assert not (out / "report.json").exists()


def test_directory_has_one_process(tmp_path: Path) -> None:
    with (
        open_directory(tmp_path, {}, overwrite=False),
        pytest.raises(ss.InputError, match=f"lock held by process {os.getpid()} on "),
        open_directory(tmp_path, {}, overwrite=True),
    ):
        pass


def test_overwrite_deletes_no_foreign_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(ss.InputError, match="--out must be a new, .* which holds thesis.tex"),
        open_directory(tmp_path, {}, overwrite=True),
    ):
        pass
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with (
        pytest.raises(ss.InputError, match="which holds a file's content"),
        open_directory(tmp_path / "thesis.tex", {}, overwrite=False),
    ):
        pass


@pytest.mark.parametrize(
    "content",
    [
        {".git/HEAD": "ref"},
        {"config.json": '{"model_type": "bert"}', "pictures/photo.png": "a"},
        {"2023/thesis.txt": "a"},
    ],
)
def test_overwrite_deletes_nothing_that_only_looks_like_a_run(
    tmp_path: Path, content: dict[str, str]
) -> None:
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with (
        pytest.raises(ss.InputError, match="--out must be a new, an empty or a run's directory"),
        open_directory(tmp_path, {}, overwrite=True),
    ):
        pass
    for name, text in content.items():
        assert (tmp_path / name).read_text() == text


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"seed": 0')
    with (
        pytest.raises(ss.InputError, match="config.json: it must be a JSON object, got Expecting"),
        open_directory(tmp_path, {}, overwrite=False),
    ):
        pass
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.path.write_text('{"arm": "a"\n{"arm": "b"}\n')
    with pytest.raises(ss.InputError, match="metrics.jsonl: every line must be JSON, got"):
        log.rows()


def test_out_must_be_a_directory_of_its_own() -> None:
    with (
        pytest.raises(ss.InputError, match="--out must name a directory of its own"),
        open_directory(Path(""), {}, overwrite=False),
    ):
        pass


def test_every_configuration_has_its_default_directory() -> None:
    first, second = (
        default_directory("a", {"x": 1, "y": 2}),
        default_directory("a", {"x": 2, "y": 2}),
    )
    assert first == default_directory("a", {"y": 2, "x": 1}) != second
    assert first.parent == Path("runs")
