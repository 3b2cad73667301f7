"""Processes that cannot go on together end together, each with its line."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import OPTIONS, STEPS, Processes, none_outlives, write_images

pytestmark = pytest.mark.slow

BOUND = 80  # seconds for one to end after another: it listens for 8, JAX itself for 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("processes"))


@pytest.fixture
def processes(folder: Path) -> Iterator[Callable[..., Processes]]:
    with none_outlives(folder) as start:
        yield start


@pytest.mark.parametrize("victim", [1, 0])
def test_one_that_is_killed_ends_the_other(
    victim: int, folder: Path, processes: Callable[..., Processes]
) -> None:
    command = ("train", *OPTIONS, "--epochs", 10**5, "--out", f"endless-{victim}")
    pair = processes(*command, silence=8)
    pair.wait_for((folder / f"endless-{victim}" / "checkpoints" / f"{STEPS}").exists)
    if victim == 1:  # a second pair there is refused, by one of its processes for both
        refused = processes(*command)
        assert refused.statuses() == [2, 2]
        first, second = (refused.read(process, "err") for process in (0, 1))
        assert first.startswith(f"simsmooth: --out endless-{victim} must not be in use, got a lock")
        assert second == first.replace("simsmooth: ", "simsmooth: process 0 ended: ")
    pair.started[victim].kill()
    begun = time.monotonic()
    status = pair.started[1 - victim].wait(BOUND)
    assert pair.started[victim].wait() == -signal.SIGKILL
    assert status != 0
    errors = pair.read(1 - victim, "err")
    said = [line for line in errors.splitlines() if line.startswith("simsmooth: ")]
    if "gloo::EnforceNotMet" in errors:  # a message cut short, at which Gloo itself aborts
        assert status == -signal.SIGABRT
    elif victim == 1:
        assert len(said) == 1, errors
        assert status == 1
        assert "they go on from the last checkpoint" in said[0]
    else:  # JAX sees at once that its service is gone, and aborts; or this comes first
        assert status == -signal.SIGABRT or said, errors
    print(f"ended after {time.monotonic() - begun:.1f} s: {said}")


def test_a_signal_to_one_stops_both_at_the_same_step(
    folder: Path, processes: Callable[..., Processes]
) -> None:
    """Which goes on, in one process, with what two that were not stopped would have done."""
    command = ("train", *OPTIONS[:-2], "--epochs", 60, "--input", "stream")
    whole = processes(*command, "--out", "never-stopped")
    whole.succeed()
    pair = processes(*command, "--out", "stopped")
    log = folder / "stopped" / "metrics.jsonl"
    pair.wait_for(lambda: log.exists() and log.stat().st_size > 0)
    pair.started[1].send_signal(signal.SIGTERM)
    assert pair.statuses() == [128 + signal.SIGTERM] * 2
    steps = folder / "stopped" / "checkpoints"
    saved = max(int(path.name) for path in steps.iterdir())
    assert 0 < saved < 60 * STEPS
    goes_on = (
        f"the same command goes on from step {saved} of training onehot in stopped/checkpoints."
    )
    for process in (0, 1):
        last = pair.read(process, "err").splitlines()[-1]
        assert last == f"simsmooth: SIGTERM: saved; {goes_on}"
    again = processes(*command, "--out", "stopped")
    again.succeed()
    files = [folder / name / "metrics.jsonl" for name in ("stopped", "never-stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_other_options_of_one_process_end_both(
    folder: Path, processes: Callable[..., Processes]
) -> None:
    pair = processes(count=0)
    pair.count = 2
    for process, seed in ((0, 0), (1, 5)):
        pair.start(process, "train", *OPTIONS, "--epochs", 10**5, "--out", "other", "--seed", seed)
    assert pair.statuses() == [2, 2]
    line = "every process must be given the same options and data, got other ones than process 0: "
    line += "--seed 0 -> 5. Start all with one command, on copies of the same data.\n"
    assert pair.read(1, "err") == f"simsmooth: {line}"
    assert pair.read(0, "err").splitlines()[-1] + "\n" == f"simsmooth: process 1 ended: {line}"


def test_processes_of_unequal_devices_end(
    folder: Path, processes: Callable[..., Processes]
) -> None:
    pair = processes(count=0)
    pair.count = 2
    for process, number in ((0, 1), (1, 2)):
        pair.start(process, "train", *OPTIONS, "--out", "unequal", devices=number)
    assert pair.statuses() == [2, 2]
    for process in (0, 1):
        (line,) = pair.read(process, "err").splitlines()
        assert "every process must have as many devices, got" in line
        assert " of 3 in one of 2. Start them on equal machines." in line


def test_one_that_waits_alone_ends(folder: Path, processes: Callable[..., Processes]) -> None:
    lonely = processes(count=0, start=3)
    lonely.count = 2
    lonely.start(0, "train", *OPTIONS, "--out", "lonely")
    assert lonely.statuses() == [1]
    (line,) = lonely.read(0, "err").splitlines()
    assert line.startswith("simsmooth: all processes must start within 3 s, got no answer from")
    assert not (folder / "lonely").exists()
