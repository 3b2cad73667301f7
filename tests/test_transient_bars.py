"""Bars of what takes long: late, on a terminal alone, and gone at the end."""

import io
import threading
import time

import pytest
from rich.console import Console

from simsmooth_jax.machine import bars


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
