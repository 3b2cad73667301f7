"""Ctrl-C during a training is heard between two steps, where nothing can swallow it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def heard_between_steps() -> Iterator[Callable[[], None]]:
    """Holds the first Ctrl-C back until the function that is given to the `with` is called.

    Python raises `KeyboardInterrupt` wherever the program stands; in the callback of a weak
    reference, of which JAX has many, it is printed and forgotten, and the training goes on.
    A second Ctrl-C is raised at once. Handlers set by others, and other threads, are left alone.
    """
    received = threading.Event()

    def check() -> None:
        if received.is_set():
            raise KeyboardInterrupt

    def receive(number: int, frame: FrameType | None) -> None:
        check()
        received.set()

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, receive)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back to the end of the `with`.

    Threads and processes that start in it never hear Ctrl-C, and leave it to this one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
