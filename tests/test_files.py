"""The metrics log and the run directory on disk."""

import os
from pathlib import Path

import jax.numpy as jnp
import pytest

import simsmooth_jax as ss
from simsmooth_jax.machine.files.disks import WriteError
from simsmooth_jax.machine.files.writing import write_atomically, write_json
from simsmooth_jax.program.recorded_config import default_directory
from simsmooth_jax.program.run_directory import open_directory
from simsmooth_jax.training.observers.recording import MetricsLog
from simsmooth_jax.training.saved import kept_steps


def test_log_drops_what_follows_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.rows() == []
    for arm, step in [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]:
        log.append(jnp.zeros(()), lambda row={"arm": arm, "step": step}: [row])
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


def test_a_log_that_has_vanished_is_not_begun_anew(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.rewind("a", 0)
    log.append(jnp.zeros(()), lambda: [{"arm": "a", "step": 1}])
    log.path.unlink()
    log.append(jnp.zeros(()), lambda: [{"arm": "a", "step": 2}])
    with pytest.raises(WriteError, match=r"metrics.jsonl: No such file .* it takes \d+ bytes"):
        log.flush()
    assert not log.path.exists()


def test_a_directory_that_is_made_again_gets_no_step(tmp_path: Path) -> None:
    """As Orbax makes it where a disk vanishes while it saves; what is written there is removed."""
    steps = tmp_path / "run" / "first"
    steps.mkdir(parents=True)
    place = steps.stat()
    kept_steps.refuse_another(steps, place)
    (tmp_path / "run").rename(tmp_path / "gone")
    (steps / "4.simsmooth-unfinished" / "state").mkdir(parents=True)
    (steps / "4.simsmooth-unfinished" / "_CHECKPOINT_METADATA").touch()
    with pytest.raises(FileNotFoundError, match="first"):
        kept_steps.refuse_another(steps, place)
    kept_steps.remove_another(steps, place)
    assert [path.name for path in tmp_path.iterdir()] == ["gone"]


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
    with open_directory(
        out, {"seed": 0, "model": {"width": 8}}, overwrite=False, makes=("report.json",)
    ):
        (out / "report.json").write_text("{}")
    with open_directory(out, {"seed": 0, "model": {"width": 8}}, overwrite=False):
        assert (out / "report.json").exists()
    other = {"seed": 1, "model": {"width": 9}}
    with (
        pytest.raises(ss.InputError, match="got `width` 8 -> 9; `seed` 0 -> 1. Choose another"),
        open_directory(out, other, overwrite=False),
    ):
        pass
    assert (out / "report.json").exists()
    with open_directory(out, other, overwrite=True):
        assert not (out / "report.json").exists()


@pytest.mark.parametrize(("there", "part"), [("", "-1-of-1"), ("-1-of-1", "")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_refused_command_leaves_nothing(
    tmp_path: Path, there: str, part: str, overwrite: bool
) -> None:
    """A study in a run's directory, and a run in a study's: here `overwrite` while it is in use."""
    with open_directory(tmp_path, {"arms": 1}, False, part=there):
        before = {file: file.read_bytes() for file in tmp_path.iterdir()}
        message = "not be in use" if overwrite else "hold no run of another configuration"
        with (
            pytest.raises(ss.InputError, match=message),
            open_directory(tmp_path, {"seeds": 2}, overwrite, part=part),
        ):
            pass
        assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_refused_directory_is_not_left(tmp_path: Path) -> None:
    """Nor one on the way to it."""
    used = tmp_path / "used"
    with (
        open_directory(used, {}, overwrite=False),
        pytest.raises(ss.InputError, match="not be in use"),
        open_directory(tmp_path / "new" / ".." / "used", {}, overwrite=False),
    ):
        pass
    (tmp_path / "link").symlink_to("nowhere")
    message = "--out must be a directory, got .*link, a link to nowhere, which is not there. Make"
    for path in (tmp_path / "link", tmp_path / "a" / "b" / "0" / ("c" * 300)):
        with (
            pytest.raises(ss.InputError, match=message if path.name == "link" else "too long"),
            open_directory(path, {}, overwrite=False),
        ):
            pass
    assert sorted(os.listdir(tmp_path)) == ["link", "used"]


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
        pytest.raises(ss.InputError, match="`out` must be a new, .* which holds thesis.tex"),
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
        pytest.raises(ss.InputError, match="`out` must be a new, an empty or a run's directory"),
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
    with pytest.raises(ss.InputError, match="metrics.jsonl: every line must be a JSON object"):
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
