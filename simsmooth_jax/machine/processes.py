"""Several processes as one: started together, agreed where it matters, ended together.

What the processes tell each other goes through the service that `jax.distributed` starts in
process 0. The collectives of the devices would not do: they wait for ever for one that is gone.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from simsmooth_jax.config.processes import DistributedConfig, refuse_processes
from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.machine import ending, signals
from simsmooth_jax.machine.borrowed import jax_service
from simsmooth_jax.machine.environment import start_devices
from simsmooth_jax.machine.terminal import say

START_SECONDS = 300.0  # for the last process to start
_DAY = 24 * 3600 * 1000


def is_writer() -> bool:
    """Whether this process writes what is written once: it is the only one, or the first."""
    return jax.process_index() == 0


def from_writer(name: str, value: Any) -> Any:
    """The writer's value, of what JSON can hold, in every process; the others wait for it."""
    if jax.process_count() == 1:
        return value
    key = f"simsmooth/{name}"
    client, me = jax_service()
    if me == 0:
        client.key_value_set(key, json.dumps(value))
    return json.loads(client.blocking_key_value_get(key, _DAY))


@contextlib.contextmanager
def joined(
    config: DistributedConfig, describe: Callable[[BaseException], tuple[str, int] | None]
) -> Iterator[None]:
    """Joins the processes that the options name, if any: they end together, whatever happens.

    Args:
      config: who the others are; it must come before anything else uses JAX.
      describe: what is said of an error, and the exit status; None for an unexpected one.
    """
    try:
        _start(config)
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        if isinstance(error, signals.Stopped):
            ending.wait_for_all_to_stop()
        causes = filter(None, (error, error.__cause__))  # as under a checkpoint not written
        for each in causes:
            if isinstance(each, jax.errors.JaxRuntimeError):  # mostly because another one is gone
                ending.fail(f"the processes could not go on: {first_line(each)}. {ending.GO_ON}", 1)
        if said := describe(error):
            ending.fail(*said)
        traceback.print_exception(error)
        ending.fail(f"{type(error).__name__}: {first_line(error)}", 1)
    if jax.distributed.is_initialized():
        jax_service()[0].wait_at_barrier("simsmooth/done", _DAY)
        ending.done.set()  # none fails any more
        jax.distributed.shutdown()


def _start(config: DistributedConfig) -> None:
    refuse_processes(config)
    if not config.distributed and config.coordinator is None:
        return
    if config.coordinator is not None:
        _refuse_address(config.coordinator, config.process_id)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    with _bounded(), _sigterm_kept():
        try:
            jax.distributed.initialize(
                config.coordinator,
                config.num_processes,
                config.process_id,
                initialization_timeout=int(2 * START_SECONDS),
            )
        except (ValueError, RuntimeError) as error:
            if config.coordinator is not None:
                raise OSError(f"no process answers at {config.coordinator}: {error}") from error
            raise InputError(
                "`distributed`",
                "be given where a TPU pod, Slurm, Open MPI or Kubernetes names the processes",
                f"none: {first_line(error)}",
                "Name them yourself: `coordinator=HOST:PORT` `num_processes=N` `process_id=I`",
            ) from error
    signals.share(ending.fail)
    threading.Thread(target=ending.watch, daemon=True).start()
    _keep_quiet()
    start_devices()
    if len(jax.devices()) != jax.process_count() * jax.local_device_count():
        raise InputError(
            "every process",
            "have as many devices",
            f"{jax.local_device_count()} of {len(jax.devices())} in one of {jax.process_count()}",
            "Start them on equal machines.",
        )


def _refuse_address(address: str, process: int | None) -> None:
    """Refuses what JAX would wait for, and then abort with a trace."""
    host, port = address.rsplit(":", 1)
    try:
        if process == 0:
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("", int(port)))
        else:
            socket.getaddrinfo(host.strip("[]"), int(port))
    except OSError as error:
        expected = "a port that is free on" if process == 0 else "a host that can be found from"
        raise InputError(
            "`coordinator`",
            f"name {expected} the machine of process {process}",
            f"{address}: {error.strerror}",
            "Give all processes another one.",
        ) from error


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Ends this process where the others do not come, before JAX would abort it with a trace."""

    def give_up() -> None:
        say(
            f"all processes must start within {START_SECONDS:g} s, got no answer from some. Start "
            "each with the same coordinator and number of processes, and a process id of its own."
        )
        signals.leave("", 1)

    timer = threading.Timer(START_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Undoes that JAX catches SIGTERM, for a service that nothing here asks."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _keep_quiet() -> None:
    """Leaves standard output to what the writer prints; Gloo lists its connections there."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    shown = os.dup(1) if is_writer() else nowhere
    os.dup2(nowhere, 1)
    sys.stdout = os.fdopen(shown, "w", buffering=1, encoding="utf-8", errors="replace")
    if not is_writer():
        warnings.simplefilter("ignore")  # the writer shows the same ones
