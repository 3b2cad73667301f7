"""Nobody else's file is replaced, removed or written through, whatever its name."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from exit_room import somebody_else
from tiny_runs import LAST, copied, snapshot

import simsmooth_jax as ss
from simsmooth_jax.config.commands import RunConfig, TrainConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.machine.files import ledger
from simsmooth_jax.machine.files.disks import WriteError
from simsmooth_jax.machine.files.writing import (
    TEMPORARY,
    append,
    refuse_output,
    write_atomically,
)
from simsmooth_jax.program.commands.train_command import inputs
from simsmooth_jax.program.run_directory import open_directory, refuse_lost_inputs
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow

STATE = {"step": jnp.int32(1), "params": {"kernel": jnp.ones((2, 3))}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    tiny_runs.run(path)
    return path


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("somebody's")


@pytest.mark.parametrize(
    "name",
    [
        *("2024/photo.jpg", ".secret.tmp", "first/photo.jpg", "first/2024/photo.jpg", "7/a"),
        *(f"first/{LAST}/notes.txt", "first/notes.orbax-checkpoint-tmp/a", "pictures/mine.png"),
        *("first/9.simsmooth-unfinished/photo.jpg", "tables/mine.csv", "labels.npy", "tuning/x"),
        *("first/8.orbax-checkpoint-tmp/photo.jpg", "rows-1-of-1.jsonl", ".simsmooth-1.tmp"),
    ],
)
def test_overwrite_refuses_what_is_not_the_runs(run: Path, tmp_path: Path, name: str) -> None:
    out = copied(run, tmp_path / "run")
    write(out / name)
    before = snapshot(out)
    with pytest.raises(ss.InputError) as refused:
        tiny_runs.run(out, overwrite=True)
    assert name.split("/")[-1] in str(refused.value) or f"{name.split('/')[0]}/" in str(
        refused.value
    )
    assert snapshot(out) == before


@pytest.mark.parametrize("name", ["pictures", "first", "metrics.jsonl", "labels.npz", ".lock"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_in_the_place_of_ours_is_not_followed(
    run: Path, tmp_path: Path, name: str, overwrite: bool
) -> None:
    out, victim = copied(run, tmp_path / "run"), tmp_path / "victim"
    path = out / name
    write(victim / "photo.jpg" if path.is_dir() else victim)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(victim)
    with pytest.raises(ss.InputError, match=f"holds {name}"):
        tiny_runs.run(out, overwrite=overwrite)
    assert path.is_symlink()
    held = victim / "photo.jpg" if victim.is_dir() else victim
    assert held.read_text() == "somebody's"


def test_overwrite_removes_all_of_a_run_and_the_path_may_be_a_link(
    run: Path, tmp_path: Path
) -> None:
    out = copied(run, tmp_path / "run")
    (tmp_path / "link").symlink_to(out)
    with open_directory(tmp_path / "link", {"seed": 1}, overwrite=True, makes=("a",)):
        pass
    assert {path.name for path in out.iterdir()} == {*("config.json", ledger.LEDGER, ".lock")}


@pytest.mark.parametrize("name", ["2024/photo.jpg", "7", "notes.orbax-checkpoint-tmp/a", "5"])
def test_a_save_refuses_what_orbax_would_count_or_clean(tmp_path: Path, name: str) -> None:
    if "/" in name:
        write(tmp_path / name)
    elif name == "7":
        (tmp_path / "7").mkdir()
    else:
        write(tmp_path / "5")  # a file
    with pytest.raises(ss.InputError, match=f"got {name.split('/')[0]}. Move it away"):
        checkpoints.save(tmp_path, 8, STATE, {})
    assert [path.name for path in tmp_path.iterdir()] == [name.split("/")[0]]
    if "/" in name:
        assert (tmp_path / name).read_text() == "somebody's"


def test_a_step_with_other_files_in_it_stays(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, 1, STATE, {})
    write(tmp_path / "1" / "state" / "notes.txt")
    for step in (2, 3, 4):
        checkpoints.save(tmp_path, step, STATE, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "4"]
    assert (tmp_path / "1" / "state" / "notes.txt").read_text() == "somebody's"


def test_the_older_step_goes_only_when_the_newer_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        checkpoints.save(tmp_path, step, STATE, {})
    rename = Path.rename

    def spoilt(path: Path, target: Path) -> Path:
        (path / "commit_success.txt").write_text("other")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", spoilt)
    checkpoints.save(tmp_path, 3, STATE, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3"]


def test_a_step_that_cannot_be_removed_is_warned_of() -> None:
    with tempfile.TemporaryDirectory() as name:  # which somebody else than root may enter too
        steps = Path(name)
        steps.chmod(0o755)
        for step in (1, 2):
            checkpoints.save(steps, step, STATE, {})
        (steps / "1" / "state").chmod(0)
        aside = "1.simsmooth-unfinished"
        with somebody_else(True, steps):
            with pytest.warns(UserWarning, match=r"1 is not needed any more, and could .*: Permis"):
                checkpoints.save(steps, 3, STATE, {})
            with pytest.warns(UserWarning, match=rf"{aside} is .* removed: Permission .*/state$"):
                checkpoints.save(steps, 4, STATE, {})
        assert {path.name for path in steps.iterdir()} == {aside, "3", "4"}
        (steps / aside / "state").chmod(0o755)
        checkpoints.save(steps, 5, STATE, {})
        assert {path.name for path in steps.iterdir()} == {"4", "5"}


INPUTS: dict[str, RunConfig | TrainConfig] = {
    "similarity": RunConfig(relation=RelationConfig(similarity="table:s/similarity.npz")),
    "labels": TrainConfig(labels="s/../s/labels.npz"),
}


@pytest.mark.parametrize("option", INPUTS)
def test_inputs_are_not_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("similarity.npz", "labels.npz"):
        write(tmp_path / "s" / name)
    message = f"`{option}` must lie outside of what `overwrite` empties"
    with pytest.raises(ss.InputError, match=message):
        refuse_lost_inputs(Path("s"), True, inputs(INPUTS[option]))
    refuse_lost_inputs(Path("s"), False, inputs(INPUTS[option]))
    refuse_lost_inputs(Path("t"), True, inputs(INPUTS[option]))
    refuse_lost_inputs(Path(".."), True, inputs(TrainConfig()))  # onehot is no file


def test_temporary_files_are_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where somebody knows the name beforehand: it is neither replaced nor followed."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    victim, place = tmp_path / "victim", tmp_path / f".simsmooth-{'0' * 16}.tmp"
    assert TEMPORARY.fullmatch(place.name)
    write(victim)
    place.symlink_to(victim)
    for use in (lambda: write_atomically(tmp_path / "a", b"x"), lambda: refuse(tmp_path / "a")):
        with pytest.raises((WriteError, ss.InputError), match="File exists"):
            use()
        assert victim.read_text() == "somebody's"
        assert place.is_symlink()
    place.unlink()
    write_atomically(tmp_path / "a", b"x")
    (tmp_path / "link").symlink_to(victim)
    write_atomically(tmp_path / "link", b"x")  # replaces the link
    assert victim.read_text() == "somebody's"
    (tmp_path / "log").symlink_to(victim)
    with pytest.raises(ss.InputError, match="must be a regular file, got a link to .*victim. Put"):
        append(tmp_path / "log", b"")
    refuse(tmp_path / "new")
    assert sorted(os.listdir(tmp_path)) == ["a", "link", "log", "victim"]


def refuse(path: Path) -> Any:
    return refuse_output(path)


def test_a_ledger_that_a_kill_has_torn(tmp_path: Path) -> None:
    ledger.claim(tmp_path, "a", "b/")
    with (tmp_path / ledger.LEDGER).open("a") as file:
        file.write('"c')
    ledger.claim(tmp_path, "a", "d")
    assert ledger.named(tmp_path) == {"a", "b/", "d"}
    write(tmp_path / "c")
    with pytest.raises(ss.InputError, match="which holds c, which its .simsmooth-files does not"):
        ledger.claim(tmp_path, "c")


OLDER: dict[str, Callable[[Path], Any]] = {
    "photo": lambda out: write(out / "first" / "photo.jpg"),
    "directory": lambda out: write(out / "2024" / "a"),
}


@pytest.mark.parametrize("what", [None, *OLDER])
def test_of_older_runs_known_names_alone_are_removed(tmp_path: Path, what: str | None) -> None:
    out = Path(shutil.copytree(Path(__file__).parent / "older_run" / "run", tmp_path / "run"))
    if what:
        OLDER[what](out)
        before = snapshot(out)
        with (
            pytest.raises(ss.InputError, match="which holds"),
            open_directory(out, {}, overwrite=True),
        ):
            pass
        assert snapshot(out) == before
        return
    with open_directory(out, {"seed": 1}, overwrite=True):
        pass
    assert {*snapshot(out)} == {"config.json", ledger.LEDGER}


def test_labels_do_not_follow_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    write(victim)
    (tmp_path / "labels.npz").symlink_to(victim)
    ss.save_labels(tmp_path / "labels.npz", np.eye(3))
    assert victim.read_text() == "somebody's"
