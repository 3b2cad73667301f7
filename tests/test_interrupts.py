import signal
import threading
import weakref

import pytest

from simsmooth_jax.machine.signals import heard_between_steps


class Thing:
    pass


def press_ctrl_c(_: object = None) -> None:
    signal.raise_signal(signal.SIGINT)


def test_heard_where_a_callback_would_swallow_it() -> None:
    thing = Thing()
    reference = weakref.ref(thing, press_ctrl_c)
    with heard_between_steps() as raise_if_interrupted:
        raise_if_interrupted()
        del thing
        assert reference() is None
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()


def test_the_second_is_raised_at_once() -> None:
    with heard_between_steps():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_leaves_no_trace() -> None:
    with pytest.raises(ZeroDivisionError), heard_between_steps():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_anothers_handler_is_kept() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("theirs"))
    try:
        with heard_between_steps() as raise_if_interrupted:
            press_ctrl_c()
            raise_if_interrupted()
        assert heard == ["theirs"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_works_in_another_thread() -> None:
    finished = []

    def work() -> None:
        with heard_between_steps() as raise_if_interrupted:
            raise_if_interrupted()
        finished.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [True]
