"""Signals: in real processes, which save, say so, and go on with the same bits."""

import functools
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import signalled
from orbax.checkpoint import v1 as ocp
from processes import OPTIONS, STEPS, write_images
from program import Forked, hears, simsmooth, start, wait_for

from simsmooth_jax.machine import signals

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Sharding info not provided"),  # by plain Orbax
]

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
TRAIN = ("train", *OPTIONS[:-2], "--epochs", 4, "--out", "out")  # a checkpoint at the end alone
LAST = 4 * STEPS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("signals"))


def signalled_at(
    step: int,
    numbers: str,
    *command: object,
    cwd: Path,
    patience: float = 25,
    sleep: float = 0,
    main: Callable[..., int] = signalled.main,
) -> tuple[int, list[str]]:
    """The exit status of a command that is sent signals at a step, and what it said."""
    started = Forked(step, numbers, patience, sleep, *command, cwd=cwd, main=main)
    errors = started.communicate()[1]
    assert started.returncode is not None
    return started.returncode, [line for line in errors.splitlines() if "simsmooth: " in line]


def with_images(source: Path, target: Path) -> Path:
    (target / "images.npz").symlink_to(source / "images.npz")
    return target


def assert_same_training(found: Path, expected: Path, last: int = LAST) -> None:
    for name in ("metrics.jsonl", "report.json"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    one, other = (ocp.load(str(path / "checkpoints" / str(last))) for path in (found, expected))
    leaves = [dict(_leaves(tree)) for tree in (one, other)]
    assert leaves[0].keys() == leaves[1].keys()
    for name, leaf in leaves[0].items():
        assert (np.asarray(leaf) == np.asarray(leaves[1][name])).all(), name


def _leaves(tree: Any, name: str = "") -> Any:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}/{key}")
    elif isinstance(tree, (list, tuple)):
        for number, value in enumerate(tree):
            yield from _leaves(value, f"{name}/{number}")
    elif tree is not None:
        yield name, tree


@pytest.fixture(scope="module")
def whole(folder: Path) -> Callable[[int], Path]:
    """A training that no signal met, with so many steps in one program."""

    @functools.cache
    def train(at_once: int) -> Path:
        options = ("--steps-per-dispatch", at_once)
        simsmooth(*TRAIN[:-1], f"whole-{at_once}", *options, cwd=folder)
        return folder / f"whole-{at_once}"

    return train


@pytest.mark.parametrize(
    ("number", "step", "at_once"),
    [(TERM, 2, 1), (INT, STEPS, 1), (HUP, STEPS + 1, 2), (TERM, 2 * STEPS - 1, 2)],
)
def test_saved_at_the_next_dispatch_and_goes_on_with_the_same_bits(
    number: signal.Signals,
    step: int,
    at_once: int,
    whole: Callable[[int], Path],
    folder: Path,
    tmp_path: Path,
) -> None:
    """In an epoch, before its validation, and before its last step."""
    cwd, options = with_images(folder, tmp_path), ("--steps-per-dispatch", at_once)
    status, said = signalled_at(step, str(number.value), *TRAIN, *options, cwd=cwd)
    assert status == 128 + number
    (saved,) = [int(path.name) for path in (cwd / "out" / "checkpoints").iterdir()]
    assert step <= saved < step + 2
    goes_on = f"the same command goes on from step {saved} of training onehot in out/checkpoints."
    assert said == [f"simsmooth: {number.name}: saved; {goes_on}"]
    rows = [json.loads(line) for line in (cwd / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, saved + 1))
    assert not any(row["step"] == saved for row in rows if "loss" not in row)
    simsmooth(*TRAIN, *options, cwd=cwd)
    assert_same_training(cwd / "out", whole(at_once))


def test_twice_at_once_is_once(folder: Path, tmp_path: Path) -> None:
    """As `timeout` sends it."""
    started = Forked(*TRAIN[:-3], 10**5, *TRAIN[-2:], cwd=with_images(folder, tmp_path))
    log = tmp_path / "out" / "metrics.jsonl"
    wait_for(lambda: log.exists() and log.stat().st_size > 0, started)
    for _ in range(2):
        started.send_signal(TERM)
    errors = started.communicate()[1]
    assert started.returncode == 128 + TERM
    assert errors.count("simsmooth: SIGTERM: saved; the same command goes on from step ") == 1


def test_a_second_one_and_the_end_of_patience(folder: Path, tmp_path: Path) -> None:
    """Where no boundary comes: each with its own status, and from the last checkpoint."""
    cwd = with_images(folder, tmp_path)
    command = (*TRAIN, "--checkpoint-every", 1)
    status, said = signalled_at(STEPS + 1, "15,2", *command, cwd=cwd, sleep=600)
    goes_on = f"the same command goes on from step {STEPS} of training onehot in out/checkpoints."
    assert (status, said) == (130, [f"simsmooth: SIGINT: ended at once; {goes_on}"])
    status, said = signalled_at(STEPS + 2, "1", *command, cwd=cwd, patience=2, sleep=600)
    assert status == 129
    assert said == [f"simsmooth: SIGHUP: nothing more was saved within 2 s; {goes_on}"]
    status, said = signalled_at(STEPS + 2, "1", *command, cwd=cwd, main=signalled.deaf_to_hangups)
    assert (status, said) == (0, [])  # under nohup


@pytest.mark.parametrize("number", [INT, TERM, HUP], ids=lambda number: number.name)
def test_heard_before_anything_heavy_is_imported(number: signal.Signals, tmp_path: Path) -> None:
    process = start("run", cwd=tmp_path)
    wait_for(lambda: hears(process, number), process)
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "jaxlib" not in maps
    assert "numpy" not in maps
    process.send_signal(number)
    output, errors = process.communicate()
    said = f"simsmooth: {number.name}: stopped; the same command starts again.\n"
    assert (process.returncode, output, errors) == (128 + number, "", said)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_read_images_do_not_keep_it(folder: Path, tmp_path: Path) -> None:
    """Sent to all of the process group, as by a terminal."""
    cwd = with_images(folder, tmp_path)
    options = ("--input", "stream", "--workers", 2, "--epochs", 10**5)
    process = start(*TRAIN, *options, cwd=cwd, start_new_session=True)
    log = tmp_path / "out" / "metrics.jsonl"
    wait_for(lambda: log.exists() and log.stat().st_size > 0, process)
    subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
    errors = process.communicate()[1]
    assert process.returncode == 130
    said = errors.splitlines()[-1]
    assert said.startswith("simsmooth: SIGINT: saved; the same command goes on from step ")
    assert "Traceback" not in errors


def test_a_library_hears_nothing_and_keeps_its_callers_handlers() -> None:
    heard: list[int] = []
    before = signal.signal(TERM, lambda number, _: heard.append(number))
    try:
        with signals.boundaries(), signals.held():
            signal.raise_signal(TERM)
            signals.stop_if_asked()
        assert heard == [TERM]
        assert signals.asked() == 0
    finally:
        signal.signal(TERM, before)
