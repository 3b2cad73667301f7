"""Bars of what takes long: late, on a terminal alone, and gone at the end."""

import io
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

import simsmooth_jax as ss
from simsmooth_jax.config.commands import LabelsConfig
from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.machine import bars
from simsmooth_jax.method.arrays import strips
from simsmooth_jax.method.relations.nearest import STRIP_ENTRIES
from simsmooth_jax.program.commands import labels_command
from simsmooth_jax.study import arms, pipeline


def show_on(monkeypatch: pytest.MonkeyPatch, terminal: bool, after: float) -> io.StringIO:
    """What a terminal, or a file, gets from now on, with bars after so many seconds."""
    written = io.StringIO()
    environment = {"TERM": "xterm"}  # whatever the tests are started in
    console = Console(
        file=written, force_terminal=terminal, force_interactive=terminal, _environ=environment
    )
    monkeypatch.setattr(bars, "Console", lambda stderr: console)
    monkeypatch.setattr(bars, "SHOWN_AFTER", after)
    return written


def read(seconds: float = 0.0, fails: bool = False) -> None:
    with bars.transient_bar() as bar:
        for step in bar.track(range(4), description="reading"):
            time.sleep(seconds / 4)
            if fails and step == 3:
                raise InterruptedError


def test_what_is_done_soon_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = show_on(monkeypatch, terminal=True, after=60)
    before = threading.active_count()
    read()
    assert written.getvalue() == ""
    assert threading.active_count() == before  # nothing waits for the minute to end


@pytest.mark.parametrize("fails", [False, True])
def test_what_takes_long_shows_a_bar_that_vanishes(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    written = show_on(monkeypatch, terminal=True, after=0.01)
    before = threading.active_count()
    if fails:
        with pytest.raises(InterruptedError):
            read(0.5, fails)
    else:
        read(0.5)
    assert "reading" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K")  # the line is erased, the cursor at its start
    deadline = time.monotonic() + 120
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # Rich does not wait for its thread
    assert threading.active_count() == before


@pytest.mark.parametrize(("terminal", "writer"), [(False, True), (True, False)])
def test_one_process_shows_bars_and_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    terminal: bool,
    writer: bool,
) -> None:
    written = show_on(monkeypatch, terminal, after=0.0)
    monkeypatch.setattr(bars, "is_writer", lambda: writer)
    read(0.2)
    assert written.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_copied_shows_how_much_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written = show_on(monkeypatch, terminal=True, after=0.01)
    with bars.transient_bar() as bar:
        shown = bar.wrap_file(io.BytesIO(bytes(100)), 100, description="archive")
        shown.read(50)
        time.sleep(0.3)
        assert shown.read() == bytes(50)
    assert "archive" in written.getvalue()
    assert "50%" in written.getvalue()


def test_a_task_whose_steps_are_counted_begins_again_with_others() -> None:
    with bars.transient_bar() as bar:
        task = bar.add_task("comparing", total=None)
        for total in (3, 3, 3, 2, 2, 2):
            bars.advance(bar, task, total)
        assert (bar.tasks[0].completed, bar.tasks[0].total) == (1, 2)
        for _ in range(3):
            bars.advance(bar, task, 4)
        assert (bar.tasks[0].completed, bar.tasks[0].total) == (3, 4)
        assert not bar.finished


def test_strips_of_large_tables_are_counted_where_somebody_watches(equations) -> None:
    """The numbers are the same, and the programs of everybody else have no callback in them."""
    num_classes = 3000
    kernel = np.abs(np.random.RandomState(0).randn(3, num_classes)).astype(np.float32)
    told: list[int] = []
    with strips.watched_by(told.append):
        labels = jax.block_until_ready(ss.top_k_labels(kernel, 4))
    num_strips = -(-num_classes // (STRIP_ENTRIES // num_classes))
    assert told == [num_strips] * num_strips == [2, 2]
    again = ss.top_k_labels(kernel, 4)
    assert told == [2, 2]
    jax.tree.map(np.testing.assert_array_equal, labels, again)

    def callbacks() -> list[str]:
        found = equations(lambda kernel: ss.top_k_labels(kernel, 4), kernel)
        return [e.primitive.name for e in found if "callback" in e.primitive.name]

    assert callbacks() == []
    with strips.watched_by(told.append):
        assert len(callbacks()) == 1


def test_blocks_of_a_similarity_are_counted_in_the_bars_of_a_run(monkeypatch) -> None:
    written = show_on(monkeypatch, True, after=0.0)
    kernel = np.random.RandomState(0).randn(3, 1100).astype(np.float32)
    advances: list[int] = []
    advance = bars.advance

    def noted(live: Any, task: Any, total: int) -> None:
        advance(live, task, total)
        advances.append(total)

    monkeypatch.setattr(pipeline, "advance", noted)
    with bars.ProgressBars(True) as shown:
        with pipeline.watched(shown.live, "comparing the classes"):
            jax.block_until_ready(ss.cosine_similarity(kernel))
        assert not any(task.visible for task in shown.live.tasks)
    assert advances == [3, 3, 3]  # pairs of three blocks of classes
    assert "comparing the classes" in written.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_labels_of_many_classes_show_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool
) -> None:
    written = show_on(monkeypatch, terminal, after=0.0)
    np.save(tmp_path / "head.npy", np.random.RandomState(0).rand(3, 3000).astype(np.float32))
    monkeypatch.setattr(arms, "MANY_CLASSES", 2)
    seen: list[tuple[str, float, float | None]] = []
    advance = bars.advance

    def noted(bar: Any, task: Any, total: int) -> None:
        advance(bar, task, total)
        shown = bar.tasks[bar.task_ids.index(task)]
        seen.append((shown.description, shown.completed, shown.total))

    monkeypatch.setattr(pipeline, "advance", noted)
    config = LabelsConfig(
        tmp_path / "head.npy",
        tmp_path / "a.npz",
        num_classes=3000,
        relation=RelationConfig(top_k=4),
    )
    labels_command.make_label_file(config)
    making = [("making the labels", step, 2) for step in (1, 2)]
    assert seen[-2:] == (making if terminal else [])
    assert ("making" in written.getvalue()) == terminal
