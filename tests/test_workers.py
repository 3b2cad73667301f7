"""Worker processes: Ctrl-C, which the terminal sends to them too, and the kill of one of them."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import LIMIT, start

pytestmark = pytest.mark.slow

COMMAND = ("train", "--input", "stream", "--epochs", 1000, "--batch-size", 100)
COMMAND += ("--model", "mlp", "--width", 8, "--depth", 1, "--out", "first")
GOES_ON = r"saved; the same command goes on from step \d+ of"
STARTS = "stopped; the same command starts"
STOPPED = rf"simsmooth: SIGINT: ({GOES_ON}|{STARTS}) training onehot in first/checkpoints\."


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a training, which it must still be running."""
    assert process.poll() is None, process.communicate()
    command = ["pgrep", "-P", str(process.pid), "-f", "spawn_main"]
    return [int(x) for x in subprocess.run(command, capture_output=True, text=True).stdout.split()]


def wait_for_workers(process: subprocess.Popen[str], number: int) -> list[int]:
    while len(found := workers(process)) < number:
        time.sleep(0.01)
    return found


HEAVY = [pytest.param(*case, marks=pytest.mark.heavy) for case in ((1, 0), (2, 0.2), (2, 4))]


@pytest.mark.parametrize(("number", "seconds"), [(2, 1), *HEAVY])
def test_interrupt_of_all_is_one_line(number: int, seconds: float, tmp_path: Path) -> None:
    """As the first worker starts, as both import what they need, and in the midst of training."""
    process = start(*COMMAND, "--workers", number, cwd=tmp_path, start_new_session=True)
    wait_for_workers(process, number)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)  # until its workers have ended, too
    assert process.returncode == 130, errors
    assert re.fullmatch(STOPPED, errors.splitlines()[-1]), errors
    assert "Traceback" not in errors
    assert "leaked" not in errors
    deadline = time.monotonic() + LIMIT
    while is_group_alive(process.pid):  # Python's own tracker of their memory ends last
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_worker_is_one_line(tmp_path: Path) -> None:
    process = start(*COMMAND, "--workers", 2, cwd=tmp_path)
    wait_for_workers(process, 2)
    while not (tmp_path / "first" / "metrics.jsonl").exists():
        time.sleep(0.01)
    os.kill(workers(process)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, errors
    (line,) = [line for line in errors.splitlines() if line.startswith("simsmooth:")]
    assert line.endswith(
        "a process that reads images has ended, perhaps for lack of memory: lower --workers"
    )
    assert "Traceback" not in errors
