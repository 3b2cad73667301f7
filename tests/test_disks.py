"""Disks that are full, read-only, or vanish: one line, the steps before are whole, it goes on."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_runs
from disks import Disk, disk, why_none
from program import Forked
from tiny_runs import snapshot

from simsmooth_jax.machine.files import manifest
from simsmooth_jax.machine.files.disks import WriteError, unwritten, writing
from simsmooth_jax.machine.files.writing import append, write_atomically
from simsmooth_jax.training.saved import checkpoints

pytestmark = pytest.mark.slow
NEEDS_DISKS = pytest.mark.skipif(bool(why_none()), reason=why_none())

TINY = ("--image-size", 4, "--model", "mlp", "--width", 64, "--depth", 1, "--batch-size", 480)
TINY += ("--epochs", 40, "--checkpoint-every", 10, "--warmup-epochs", 1)
STUDY = ("study", "--model", "linear", "--epochs", 2, "--batch-size", 48, "--learning-rate", 0.3)
STUDY += ("--images-per-class", 20, "--arms", "onehot", "neighbours", "--points", 2)
STUDY += ("--tuning-seeds", 1, "--seeds", 3)
COMMANDS: dict[str, tuple[Any, ...]] = {
    "train": ("train", *TINY),
    "run": ("run", *TINY),
    "study": STUDY,
    "labels": ("labels", "head.npz"),
    "data": ("data", "digits"),
}
ENDING = {"labels": ".safetensors", "data": ".png"}
EIGHT = {"JAX_NUM_CPU_DEVICES": "8"}  # as this process has
SAID = re.compile(
    r"simsmooth: cannot write (?P<file>\S+): [A-Z][\w -]+; it takes (?P<size>[\d,]+) bytes, and "
    r"(?P<free>[\d,]+) are free in \S+\. (Make room|Make it writable|Bring its .* anew\))\. "
    r"The same command (starts|goes on).*\."
)
SAID_OF_NAMES = re.compile(
    SAID.pattern.replace(r"in \S+\.", r"in \S+, but no more files .* there\.")
)


class Case(NamedTuple):
    """What happens to the disk of a command; before it starts, or when something is there."""

    command: str
    kind: str
    room: int = 0  # bytes or names that are free
    when: str = ""  # a path below the output


def happens(case: Case, made: Disk, out: Path) -> Callable[[], None]:
    """What happens, and what mends it, by the case's kind."""
    if case.kind == "full":
        made.fill(case.room)
        return made.make_room
    if case.kind == "no names":
        made.fill_names(case.room)
        return made.make_room
    if case.kind == "read-only":
        made.close()
        return made.open
    if case.kind == "taken away":
        made.take_away()
        return made.bring_back
    shutil.rmtree(out)
    return lambda: None


def content(out: Path) -> dict[str, bytes]:
    """What is the same each time, and the arrays of the last steps."""
    if out.is_file():
        return {out.suffix: out.read_bytes()}
    steps = [path for path in out.rglob("*") if path.is_dir() and path.name.isdigit()]
    inside = [f"{step.relative_to(out).as_posix()}/" for step in steps]
    files = {
        name: bytes
        for name, bytes in snapshot(out).items()
        if not any(name.startswith(step) for step in inside) and not name.endswith("SHA256SUMS")
    }
    for parent in {step.parent for step in steps}:
        kernel = checkpoints.read(parent, ("params",))[0]["params"]["head"]["kernel"]
        files[parent.relative_to(out).as_posix()] = np.asarray(kernel).tobytes()
    return files | dict.fromkeys(inside, b"")


def undisturbed(name: str, folder: Path) -> dict[str, bytes]:
    out = folder / f"{name}{ENDING.get(name, '')}"
    np.savez(folder / "head.npz", kernel=np.random.default_rng(0).normal(size=(64, 200)))
    process = Forked(*COMMANDS[name], "--out", out, cwd=folder, variables=EIGHT)
    assert process.wait(60) == 0, process.communicate()
    return content(out)


def disturb(case: Case, command: Sequence[object], made: Disk, out: Path, folder: Path) -> str:
    """What is said of a disturbance, after which the steps are whole and the disk is mended."""
    mend = None if case.when else happens(case, made, out)
    process = Forked(*command, "--out", out, cwd=folder, variables=EIGHT)
    if mend is None:
        while not (out / case.when).exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        mend = happens(case, made, out)
    errors = process.communicate(60)[1]
    assert process.returncode == 1, errors
    assert "Traceback" not in errors, errors
    said = [line for line in errors.splitlines() if line.startswith("simsmooth: ")]
    assert len(said) == 1, errors
    if said[0].startswith("simsmooth: cannot read ") and case.kind in ("taken away", "removed"):
        assert "Bring its directory back" in said[0], said
        mend()
        return said[0]
    found = (SAID_OF_NAMES if case.kind == "no names" else SAID).fullmatch(said[0])
    assert found, said
    assert Path(found["file"]).is_relative_to(out), said
    size, free = (int(found[name].replace(",", "")) for name in ("size", "free"))
    assert (size > free) == (case.kind == "full"), said
    mend()
    for step in out.rglob("[0-9]*"):
        assert not step.name.isdigit() or manifest.first_flaw(step) == "", step
    return said[0]


def assert_same(result: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert result.keys() == expected.keys(), {*result} ^ {*expected}
    assert [name for name in expected if result[name] != expected[name]] == []


SHORT = ("train", "--image-size", 4, "--model", "mlp", "--width", 4, "--depth", 1)
SHORT += ("--batch-size", 496, "--learning-rate", 0.1, "--warmup-epochs", 1)
SHORT += ("--checkpoint-every", 1, "--epochs")


@NEEDS_DISKS
@pytest.mark.parametrize("case", [Case("", "full", 90_000), Case("", "no names", 24)])
def test_a_training_goes_on_with_room(case: Case, tmp_path: Path) -> None:
    tiny_runs.train(tmp_path / "whole")
    with disk(tmp_path / "place") as made:
        out = made.path / "train"
        said = disturb(case, (*SHORT, 3), made, out, tmp_path)
        assert "goes on from step 2 of training onehot" in said
        tiny_runs.train(out)
        assert_same(content(out), content(tmp_path / "whole"))


@NEEDS_DISKS
@pytest.mark.parametrize("kind", ["read-only", "taken away"])
def test_a_disk_that_is_gone_has_the_last_step(kind: str, tmp_path: Path) -> None:
    with disk(tmp_path / "place") as made:
        case = Case("", kind, when="checkpoints/2")
        said = disturb(case, (*SHORT, 3000), made, made.path / "train", tmp_path)
        step = re.search(r"goes on from step (\d+) of training onehot", said)
        assert step, said
        assert (made.path / "train" / "checkpoints" / step[1] / manifest.SUMS).is_file()


ALL = [
    *(Case("run", "full", room) for room in (0, 8_000, 30_000, 110_000, 250_000, 400_000)),
    *(Case("run", "full", room) for room in (560_000, 700_000, 760_000)),
    *(Case("run", "no names", room) for room in (4, 7, 30, 90)),
    *(Case("run", "read-only", when=when) for when in ("first/20", "second/20")),
    *(Case("run", "taken away", when=when) for when in ("first/80", "uniform/20")),
    Case("run", "removed", when="first/80"),
    *(Case("train", "full", room) for room in (4_096, 50_000, 200_000)),
    *(Case("train", kind, when="checkpoints/40") for kind in ("read-only", "removed")),
    *(Case("study", "full", room) for room in (4_096, 12_000, 16_000, 40_000, 100_000)),
    *(Case("study", "no names", room) for room in (3, 8, 11)),
    Case("study", "removed", when="first-models"),
    Case("labels", "full", 100_000),
    Case("data", "full", 4_096),
]


@NEEDS_DISKS
@pytest.mark.heavy
def test_all_kinds_of_disturbance(tmp_path: Path) -> None:
    expected = {name: undisturbed(name, tmp_path) for name in COMMANDS}
    failed = []
    for number, case in enumerate(ALL):
        begun, command = time.monotonic(), COMMANDS[case.command]
        with disk(tmp_path / str(number)) as made:
            out = made.path / f"{case.command}{ENDING.get(case.command, '')}"
            try:
                said = disturb(case, command, made, out, tmp_path)
                again = Forked(*command, "--out", out, cwd=tmp_path, variables=EIGHT)
                assert again.wait(60) == 0, again.communicate()
                assert_same(content(out), expected[case.command])
                print(f"{case}: {time.monotonic() - begun:.0f} s, {said}", flush=True)
            except AssertionError as error:
                failed.append(case)
                print(f"{case}: FAILED {error}", flush=True)
    print(f"{len(ALL)} tried, {len(ALL) - len(failed)} held")
    assert failed == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "-"), "No space left on device; it takes 5 bytes, and {}"),
        (OSError(errno.EDQUOT, "-"), "Disk quota exceeded; it takes 5 bytes, and {} Make room."),
        (OSError(errno.EIO, "-"), "Input/output error; it takes 5 bytes, and {} Try again."),
        (ValueError("RESOURCE_EXHAUSTED: f [os_error_code='28']"), "No space left on device; it"),
        (RuntimeError("f; Read-only file system"), "Read-only file system; it takes 5 bytes, and"),
    ],
)
def test_what_is_said(error: Exception, expected: str, tmp_path: Path) -> None:
    with pytest.raises(WriteError) as raised:
        raise unwritten(tmp_path / "f", 5, error)
    pattern = re.escape(expected.replace("{}", "#")).replace(
        r"\#", rf"[\d,]+ are free in {re.escape(str(tmp_path))}\."
    )
    assert re.match(rf"cannot write {re.escape(str(tmp_path))}/f: {pattern}", str(raised.value))


def test_what_is_no_disks_matter_is_not_said_to_be(tmp_path: Path) -> None:
    other = unwritten(tmp_path / "f", 5, RuntimeError("shapes differ"))
    assert (type(other), str(other)) == (OSError, f"{tmp_path}/f was not written: shapes differ")
    gone = unwritten(tmp_path / "no" / "f", 5, RuntimeError("?"))
    assert str(gone).startswith(f"cannot write {tmp_path}/no/f: No such file or directory; it")
    assert "Bring its directory back (without it, all starts anew)." in str(gone)
    short = unwritten(tmp_path / "f", 2**60, RuntimeError("?"))
    assert "No space left on device; it takes 1,152,921,504,606,846,976 bytes" in str(short)
    with pytest.raises(WriteError, match=r"in this directory\. Bring"), writing(Path("no/f"), 5):
        os.stat("no/f")


@NEEDS_DISKS
def test_a_file_that_was_there_stays_whole(tmp_path: Path) -> None:
    with disk(tmp_path) as made:
        file, log = made.path / "f", made.path / "log"
        write_atomically(file, b"old")
        append(log, b"row\n")
        made.fill(0)
        for write in (write_atomically, append):
            with pytest.raises(WriteError, match="it takes 9,000 bytes, and 0 are free in"):
                write(file if write is write_atomically else log, b"n" * 9000)
        assert file.read_bytes() == b"old"
        assert log.read_bytes().startswith(b"row\n")
        assert sorted(os.listdir(made.path)) == ["f", "filler", "log"]
