"""Several processes that are one program end together, whatever ends one of them.

What they tell each other goes through JAX's service in process 0. When that process is killed, JAX
aborts the others with status 134, at once: no code of theirs is asked.
"""

import contextlib
import itertools
import json
import threading
import time
from typing import NoReturn

import jax

from simsmooth_jax.machine import signals
from simsmooth_jax.machine.borrowed import jax_service
from simsmooth_jax.machine.terminal import say

SILENCE_SECONDS = 28.0  # after which a process counts as gone; JAX itself waits for 100
_BEAT_SECONDS = 1.0
_ASKED_SECONDS = 0.1  # between beats, once a signal was heard
_STOP_SECONDS = 5.0  # for the last process to have saved, after this one
_FAREWELL_SECONDS = 3.0  # for the others to hear of a failure before the service ends
_END, _BEAT = "simsmooth/end/", "simsmooth/beat/"
_FIRST, _ASKED, _PASSED = f"{_END}first", f"{_END}asked", f"{_END}passed/"
GO_ON = "Start all again: they go on from the last checkpoint."

_speaks = threading.Lock()  # who holds it says the last line of this process
done = threading.Event()


def fail(message: str, status: int) -> NoReturn:
    """Says why this process ends, and ends all of them; none is left to wait for another."""
    _speaks.acquire()  # never released: the other thread must not speak as well
    say(message)
    client, me = jax_service()
    ending = {"process": me, "status": status, "message": message}
    # Of several that fail at once the first one counts; a service that is gone tells nobody.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        client.key_value_set(_FIRST, json.dumps(ending))
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        client.wait_at_barrier("simsmooth/farewell", int(1000 * _FAREWELL_SECONDS))
    if me == 0:
        time.sleep(0.5)  # its end is that of the service, at which JAX aborts those that are left
    signals.leave("", status)


def watch() -> None:
    """In a thread: shows that this process lives, and ends it when another one does not."""
    client, me = jax_service()
    heard: dict[str, tuple[str, float]] = {}
    for beat in itertools.count():
        try:
            client.key_value_set(f"{_BEAT}{me}", str(beat), allow_overwrite=True)
            told = dict(client.key_value_dir_get(_END))
            asked = _agree_to_stop(told)
            beats = client.key_value_dir_get(_BEAT) if me == 0 else []
        except jax.errors.JaxRuntimeError:
            if done.is_set():
                return
            _speaks.acquire()
            say(f"process 0 is gone, and so this one ends. {GO_ON}")
            signals.leave("", 1)
        if done.is_set():  # told may have the first last line of those that stop together
            return
        if _FIRST in told:
            first = json.loads(told[_FIRST])
            fail(f"process {first['process']} ended: {first['message']}", first["status"])
        for name, count in beats:
            last, when = heard.get(name, ("", 0.0))
            if last != count:
                heard[name] = count, time.monotonic()
            elif time.monotonic() - when > SILENCE_SECONDS:
                fail(f"process {name.removeprefix(_BEAT)} is gone, and so all end. {GO_ON}", 1)
        if done.wait(_ASKED_SECONDS if asked else _BEAT_SECONDS):
            return


def _agree_to_stop(told: dict[str, str]) -> bool:
    """After a signal to any of them: all stop at the first boundary that none has passed.

    The threads agree on it: the programs may be waiting for each other's devices.
    """
    number = int(told.get(_ASKED, signals.asked()))
    if not number:
        return False
    (client, me), passed = jax_service(), signals.ask(number)
    for key, value in ((_ASKED, number), (f"{_PASSED}{me}", passed)):
        if key not in told:
            client.key_value_set(key, str(value), allow_overwrite=True)
    places = [int(value) for key, value in told.items() if key.startswith(_PASSED)]
    if len(places) == jax.process_count():
        signals.stop_at(max(places))
    return True


def wait_for_all_to_stop() -> None:
    """They have saved together, and each says so itself."""
    done.set()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax_service()[0].wait_at_barrier("simsmooth/stopped", int(1000 * _STOP_SECONDS))
