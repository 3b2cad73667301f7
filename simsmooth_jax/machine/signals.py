"""SIGINT, SIGTERM and SIGHUP in the program: heard from its first line, obeyed at a boundary.

A handler of Python that raises is printed and forgotten in the callback of a weak reference, of
which JAX has many, and none runs during a compilation. So a thread hears the signals, by a pipe,
and either ends the process itself or lets the program go on to where nothing is lost. Only the
program calls `listen`: in others' programs all of this does nothing, and their handlers are kept.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from simsmooth_jax.errors import escaped
from simsmooth_jax.machine.terminal import say

PATIENCE_SECONDS = 25.0  # for the next boundary: schedulers kill after 30
_TOGETHER_SECONDS = 0.1  # `timeout` and its like send the same signal twice, at once
_NOTICE_SECONDS = 1.0
_WORDS_SECONDS = 1.0  # for the last line: a terminal may be gone, a pipe full
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A boundary was reached after a signal, and all is saved that the program has to save."""

    def __init__(self, number: int) -> None:
        """Keeps the signal's number."""
        super().__init__(number)
        self.number = number


class _State:
    """What is known of the one program of this process."""

    heard = 0  # the number of the signal that is to be obeyed
    passed = 0  # boundaries up to now
    last: int | None = None  # the one to stop at
    boundaries = held = 0  # how many such contexts the program is in
    goes_on = "starts again"
    shared = False  # by several processes, which agree on the last boundary
    end: Callable[[str, int], NoReturn]


_changed = threading.Condition()


def listen() -> None:
    """Hears the signals from here on, in the place of Python's own handlers of this program.

    One that is ignored, as SIGHUP under `nohup`, stays so.
    """
    _State.end = leave
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _written_to_the_pipe)
    threading.Thread(target=_hear, args=(reading,), daemon=True).start()


def end_listening() -> None:
    """All is done and said: while Python ends, a signal would end it with a status of its own."""
    for number in _SIGNALS:
        if signal.getsignal(number) == _written_to_the_pipe:
            signal.signal(number, signal.SIG_IGN)


def _written_to_the_pipe(number: int, frame: FrameType | None) -> None:
    """Python has done so before it calls this."""


def _hear(pipe: int) -> None:
    """In a thread: a first signal waits for a boundary, if there is one; a second one does not."""
    number, now = _next(pipe, None)
    if not _ask(number):
        _end("stopped", number)
    first, when, patience = number, now, PATIENCE_SECONDS
    deadline = when + patience
    if sys.stderr and sys.stderr.isatty():
        noticed = _next(pipe, now + _NOTICE_SECONDS)
        if noticed[0] == 0:
            name = signal.Signals(first).name
            say(f"{name}: stops at the next step, within {patience:g} s; once more ends it at once")
        elif _is_another(noticed, first, when):
            _end("ended at once", noticed[0])
    while (found := _next(pipe, deadline))[0]:
        if _is_another(found, first, when):
            _end("ended at once", found[0])
    _end(f"nothing more was saved within {patience:g} s", first)


def _is_another(found: tuple[int, float], first: int, when: float) -> bool:
    return found[0] != first or found[1] - when > _TOGETHER_SECONDS


def _next(pipe: int, deadline: float | None) -> tuple[int, float]:
    """The next signal of ours and its time; 0 for none before the deadline."""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([pipe], [], [], left)[0]:
            return 0, time.monotonic()
        if (number := os.read(pipe, 1)[0]) in _SIGNALS:
            return number, time.monotonic()


def _end(how: str, number: int) -> NoReturn:
    _State.end(in_words(number, how), 128 + number)


def in_words(number: int, how: str = "") -> str:
    """The line that a signal ends the program with."""
    how = how or ("saved" if _State.goes_on.startswith("goes on") else "stopped")
    return f"{signal.Signals(number).name}: {how}; {same_command()}"


def same_command() -> str:
    """What it would do, in words."""
    return f"the same command {_State.goes_on}."


def goes_on(how: str) -> None:
    """Notes what the same command would do: of the last line."""
    _State.goes_on = how


def leave(line: str, status: int) -> NoReturn:
    """Ends the process, whatever its other threads, its children and its terminal do."""
    if line:
        with contextlib.suppress(OSError, ValueError):
            _say_at_once(line)

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):
            if sys.__stderr__ and sys.__stderr__.isatty():
                sys.__stderr__.write("\x1b[?25h")  # the cursor, which a bar has hidden
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()

    with contextlib.suppress(RuntimeError):  # no thread starts while Python ends
        flushing = threading.Thread(target=flush, daemon=True)
        flushing.start()
        flushing.join(_WORDS_SECONDS)
    os._exit(status)


def _say_at_once(line: str) -> None:
    """The last line by this thread itself: another one may not get Python's lock in time."""
    if select.select([], [2], [], _WORDS_SECONDS)[1]:
        begin = "\r\x1b[K" if os.isatty(2) else ""  # in the place of a bar
        os.write(2, f"{begin}simsmooth: {escaped(line)}\n".encode(errors="replace"))


def _ask(number: int) -> bool:
    """Whether the program is where it must not be ended; then it is asked to stop."""
    with _changed:
        if not _State.boundaries and not _State.held:
            return False
        _State.heard = number
        if not _State.shared:
            _State.last = _State.passed
        return True


@contextlib.contextmanager
def boundaries() -> Iterator[None]:
    """What would be lost at a sudden end, up to the next `stop_if_asked` in it."""
    yield from _inside("boundaries")


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What is done to its end: no boundary in it counts."""
    yield from _inside("held")


def _inside(kind: str) -> Iterator[None]:
    _add(kind, 1)
    try:
        yield
    finally:
        _add(kind, -1)
    if _State.heard and not _State.boundaries and not _State.held:
        raise Stopped(_State.heard)


def _add(kind: str, count: int) -> None:
    with _changed:
        setattr(_State, kind, getattr(_State, kind) + count)


def stop_if_asked() -> None:
    """A boundary.

    Raises:
      Stopped: a signal was heard, and this is the boundary that all processes stop at.
    """
    with _changed:
        if _State.held or not _State.boundaries:
            return
        if _State.heard:  # of several processes all wait here until they have agreed
            _changed.wait_for(lambda: _State.last is not None)
        if _State.last is not None and _State.passed >= _State.last:
            raise Stopped(_State.heard)
        _State.passed += 1


def share(end: Callable[[str, int], NoReturn]) -> None:
    """From here on several processes are one program; `end` ends all of them."""
    _State.shared, _State.end = True, end


def asked() -> int:
    """The signal that was heard here and is to be obeyed at a boundary, or 0."""
    return _State.heard


def ask(number: int) -> int:
    """Asks this process to stop, as another one was; the boundaries that it has passed.

    It passes no other one before `stop_at` says which is the last.
    """
    with _changed:
        _State.heard = _State.heard or number
        return _State.passed


def stop_at(boundary: int) -> None:
    """Tells the boundary that all processes have agreed to stop at."""
    with _changed:
        _State.last = boundary
        _changed.notify_all()


@contextlib.contextmanager
def unheard_by_children() -> Iterator[None]:
    """Processes that start in it never hear the signals, and leave them to this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
