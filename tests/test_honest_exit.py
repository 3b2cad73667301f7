"""A command succeeds only when all that it promises is there and is what it was."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from tiny_runs import LAST, SPARE, copied, flip, flips, snapshot

import simsmooth_jax as ss
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.writing import read_json
from simsmooth_jax.program import finished
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]
DRAWN = (".png", ".html", ".csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    tiny_runs.run(path)
    return path


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "train"
    tiny_runs.train(path)
    return path


def content(directory: Path) -> dict[str, bytes]:
    """What is the same each time: all but what Orbax writes, and digests of that."""
    files = snapshot(directory)
    return {
        n: c
        for n, c in files.items()
        if f"/{LAST}/" not in n and f"/{SPARE}/" not in n and not n.endswith(manifest.SUMS)
    }


def test_sha256sum_reads_the_manifests(run: Path) -> None:
    places = [run, *(run / arm / step for arm in ("first", "second") for step in (SPARE, LAST))]
    for place in places:
        command = ["sha256sum", "--strict", "--quiet", "--check", manifest.SUMS]
        shown = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
        assert shown.stdout == ""
    assert {"report.json", "report.html", "metrics.jsonl", f"first/{LAST}/SHA256SUMS"} <= {
        *manifest.read(run)
    }


def test_a_whole_run_is_shown_again(run: Path, capsys: Capture) -> None:
    before = snapshot(run)
    tiny_runs.run(run)
    assert f"{run}: was finished before" in capsys.readouterr().out
    assert snapshot(run) == before


def remove(name: str) -> Callable[[Path], Any]:
    def change(out: Path) -> None:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def empty(name: str) -> Callable[[Path], Any]:
    return lambda out: (out / name).write_bytes(b"")


def change_one(name: str) -> Callable[[Path], Any]:
    return lambda out: flip(out / name, 8 * ((out / name).stat().st_size // 2))


MADE_AGAIN = {
    "a picture": remove("pictures/curves.png"),
    "an emptied picture": empty("pictures/similarity.png"),
    "the page": remove("report.html"),
    "a table": change_one("tables/results.csv"),
    "emptied labels": empty("labels.npz"),
    "other labels": change_one("labels.safetensors"),
    "the similarity": remove("similarity.npz"),
    "another report": change_one("report.json"),
    "the report": remove("report.json"),
    "the manifest": remove(manifest.SUMS),
    "another manifest": change_one(manifest.SUMS),
    "the last step of a training": remove(f"second/{LAST}"),
    "all of a training": remove("uniform"),
}


@pytest.mark.parametrize("what", MADE_AGAIN)
def test_what_can_be_is_made_again(run: Path, tmp_path: Path, what: str, capsys: Capture) -> None:
    out, expected = copied(run, tmp_path / "run"), content(run)
    MADE_AGAIN[what](out)
    tiny_runs.run(out)
    shown = capsys.readouterr().out
    assert ("is not as when finished" in shown) == (what != "the manifest"), shown
    found = content(out)
    assert found.keys() >= expected.keys()
    for name in sorted(expected):
        if what == "all of a training" and name == "metrics.jsonl":  # its rows are the last now
            lines = found[name].splitlines(), expected[name].splitlines()
            assert sorted(lines[0]) == sorted(lines[1])
            continue
        assert found[name] == expected[name], name
    tiny_runs.run(out)
    assert "was finished before" in capsys.readouterr().out


LOST: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no row": (empty("metrics.jsonl"), "metrics.jsonl: it must hold the rows of onehot up to step"),
    "no log": (remove("metrics.jsonl"), "metrics.jsonl: it must hold the rows of onehot up to"),
    "another row": (change_one("metrics.jsonl"), "metrics.jsonl: "),
    "a file of a step": (remove(f"first/{LAST}/state/_METADATA"), f"first/{LAST}"),
    "a manifest of a step": (remove(f"first/{LAST}/SHA256SUMS"), "SHA256SUMS: it is missing"),
    "another step": (change_one(f"second/{LAST}/_CHECKPOINT_METADATA"), "_CHECKPOINT_METADATA"),
    "another spare step": (change_one(f"first/{SPARE}/SHA256SUMS"), "Delete it, it is not needed"),
    "another configuration": (change_one("config.json"), "config.json"),
    "a renamed step": (
        lambda out: (out / "first" / LAST).rename(out / "first" / "60"),
        f"first/60: it must hold that step, got step {LAST}. It was renamed",
    ),
    "no ledger": (remove(".simsmooth-files"), ", and no .simsmooth-files that names it"),
    "another ledger": (change_one(".simsmooth-files"), ".simsmooth-files"),
}


@pytest.mark.parametrize("what", LOST)
def test_what_cannot_be_made_again_is_named(run: Path, tmp_path: Path, what: str) -> None:
    out, (change, message) = copied(run, tmp_path / "run"), LOST[what]
    change(out)
    with pytest.raises(ss.InputError) as refused:
        tiny_runs.run(out)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [f"checkpoints/{LAST}", "checkpoints", "report.json"])
def test_a_training_goes_on_where_something_is_gone(
    train: Path, tmp_path: Path, name: str, capsys: Capture
) -> None:
    out = copied(train, tmp_path / "train")
    remove(name)(out)
    tiny_runs.train(out)
    assert "is not as when finished" in capsys.readouterr().out
    assert (out / "checkpoints" / LAST / manifest.SUMS).is_file()
    assert content(out) == content(train)
    empty("metrics.jsonl")(out)
    with pytest.raises(ss.InputError, match="rows of onehot up to step 6 .* got 0 of 9"):
        tiny_runs.train(out)


def test_an_earlier_step_is_not_taken_for_the_last_one(run: Path, tmp_path: Path) -> None:
    out = copied(run, tmp_path / "run")
    shutil.rmtree(out / "first" / LAST)
    for read in (open_stored, checkpoints.resolve):
        with pytest.raises(ss.InputError, match=f"step {LAST}, which .*SHA256SUMS lists, is missi"):
            read(out / "first")
        read(out / "first" / SPARE)


def test_a_step_is_not_read_under_the_number_of_another(run: Path, tmp_path: Path) -> None:
    steps = copied(run, tmp_path / "run") / "first"
    shutil.copytree(steps / LAST, tmp_path / "first-60")  # no number alone: anyone's name for it
    (steps / LAST).rename(steps / "60")
    reads: list[Callable[[Path], Any]] = [open_stored, ss.restore_head]
    for read in [*reads, lambda path: checkpoints.read(path, ("params",))]:
        for path in (steps, steps / "60"):
            with pytest.raises(ss.InputError) as refused:
                read(path)
            assert str(refused.value).endswith(
                f"first/60: it must hold that step, got step {LAST}. It was renamed or exchanged: "
                "give it its name back."
            )
        read(tmp_path / "first-60")


def test_the_head_alone_is_read_without_comparing(run: Path, tmp_path: Path) -> None:
    out = copied(run, tmp_path / "run")
    kernel = ss.restore_head(out / "first").kernel
    (out / "first" / LAST / "commit_success.txt").write_text("other")
    with pytest.raises(ss.InputError, match=r"damaged one \(commit_success.txt: its content is"):
        ss.restore_head(out / "first")
    with pytest.raises(ss.InputError, match=f"or delete it: .*first/{SPARE} is whole"):
        ss.restore_head(out / "first" / LAST / "state")
    np.testing.assert_array_equal(ss.restore_head(out / "first", verify=False).kernel, kernel)
    with pytest.raises(ss.InputError, match="verify must be True or False, got 1"):
        ss.restore_head(out / "first", verify=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.heavy)])
def test_no_flipped_bit_is_silent(run: Path, tmp_path: Path, count: int) -> None:
    """Over all files: the file is named, and nothing is shown as it was before."""
    out, named = copied(run, tmp_path / "run"), 0
    configuration = read_json(run / "config.json")
    for file, bit in flips(out, count, seed=7):
        flip(file, bit)
        found = said(out, configuration)
        flip(file, bit)
        name = file.relative_to(out).as_posix()
        assert any(part in found for part in (name, file.name)), (name, bit, found)
        named += 1
    assert named == count


def said(out: Path, configuration: dict[str, Any]) -> str:
    """What the command says at its start, before it makes anything again."""
    lines: list[str] = []
    try:
        with tiny_runs.opened(out, configuration):
            names = finished.flaws(out, tiny_runs.run_command.PROMISED)
            assert names is not None
            lines += names
            for arm in ("first", "uniform", "second"):
                checkpoints.read(out / arm, ("params",))
    except ss.InputError as error:
        lines.append(str(error))
    return "; ".join(lines)
