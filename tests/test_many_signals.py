"""Signals at random moments of whole runs, from the first line of the program to its last."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import CACHE, hears, simsmooth, start, wait_for
from test_resume import COMMAND, assert_equal_runs

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore:Sharding info not provided")]

SIGNALS, BOUND = 60, 30.0  # seconds
NAMED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def test_sixty_at_random_moments(tmp_path: Path) -> None:
    """Every fifth is a double one, every fourth finds no compiled program; all find a process."""
    (tmp_path / "whole").mkdir()
    begun = time.monotonic()
    simsmooth(*COMMAND, cwd=tmp_path / "whole", fresh=True)
    length = time.monotonic() - begun
    moments, slowest, history, finished = random.Random(0), 0.0, [], 0
    while (number := len(history)) < SIGNALS:
        cold = number % 4 == 3
        cache = tmp_path / f"cache-{number}" if cold else CACHE
        process = start(*COMMAND, cwd=tmp_path, cache=cache)
        wait_for(lambda: hears(process, signal.SIGINT), process)  # noqa: B023
        moment, sent = moments.uniform(0, length * (1.5 if cold else 1)), NAMED[number % 3]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        alive = process.poll() is None
        process.send_signal(sent)
        begun = time.monotonic()
        if number % 5 == 4:
            time.sleep(moments.uniform(0.0, 0.3))
            process.send_signal(sent)
        output, errors = process.communicate(timeout=2 * BOUND)
        seconds = time.monotonic() - begun
        slowest = max(slowest, seconds)
        said = [line for line in errors.splitlines() if line.startswith("simsmooth: ")]
        status = process.returncode
        line = f"{sent.name} at {moment:.1f} s: {status}, {seconds:.1f} s, {said}"
        if alive:
            history.append(line)
            print(line, flush=True)
        if status == 0:  # it was done before, or past its last boundary
            assert "run: finished" in output, line
        else:
            assert status == 128 + sent, line + errors
            assert len(said) == 1, line + errors
            assert said[0].startswith(f"simsmooth: {sent.name}: "), line
            assert "; the same command " in said[0]
        assert seconds < BOUND, line
        assert "Traceback" not in errors, errors
        if (tmp_path / "run" / "report.json").exists():
            simsmooth(*COMMAND, cwd=tmp_path)
            assert_equal_runs(tmp_path / "run", tmp_path / "whole" / "run", "\n".join(history))
            shutil.rmtree(tmp_path / "run")
            finished += 1
    simsmooth(*COMMAND, cwd=tmp_path)
    assert_equal_runs(tmp_path / "run", tmp_path / "whole" / "run", "\n".join(history))
    held = sum(": 0," not in line for line in history)
    print(f"{len(history)} tried, {held} stopped, {finished + 1} runs with the same bits")
    print(f"the slowest end: {slowest:.1f} s")
