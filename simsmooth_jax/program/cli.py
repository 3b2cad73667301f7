"""The command line program `simsmooth`: nothing heavy is imported before a command is known."""

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import CoroutineType, TracebackType
from typing import Any

from simsmooth_jax.config import options
from simsmooth_jax.config.commands import (
    Command,
    DataCommandConfig,
    InspectConfig,
    LabelsConfig,
    RunConfig,
    TrainConfig,
)
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.errors import DivergenceError, InputError, first_line
from simsmooth_jax.machine import environment
from simsmooth_jax.machine.files.disks import BRING, FULL, WriteError, is_gone
from simsmooth_jax.machine.files.reading import closed_at
from simsmooth_jax.machine.signals import Stopped, in_words, same_command
from simsmooth_jax.machine.terminal import say
from simsmooth_jax.program.parsing import parse
from simsmooth_jax.program.wording import as_options

_CACHE = "persistent compilation cache"  # in JAX's warnings, as where its disk is full


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command: 0 is success, 1 failed work, 2 a wrong input, 128 + n a signal."""
    environment.settle()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters
    warnings.showwarning = _show_warning
    try:
        command = parse(sys.argv[1:] if arguments is None else arguments)
        options.check(command)
        environment.import_jax()
        enable_compilation_cache()
        _silence_orbax()
        _carry_out(command)
        sys.stdout.flush()  # here, where a closed pipe is known, and not at the exit
    except BrokenPipeError:  # as in `simsmooth … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:
        if (ending := _ending(error)) is None:
            raise
        return _fail(*ending)
    return 0


def _carry_out(command: Command) -> None:
    """Imports what the command needs, and no other: pictures alone take a second."""
    if isinstance(command, RunConfig | TrainConfig):
        from simsmooth_jax.machine import processes

        with processes.joined(command.distributed, _ending):
            if isinstance(command, RunConfig):
                from simsmooth_jax.program.commands import run_command

                run_command.run(command)
            else:
                from simsmooth_jax.program.commands import train_command

                train_command.train(command)
    elif isinstance(command, StudyConfig):
        from simsmooth_jax.program.commands import study_command

        study_command.study(command)
    elif isinstance(command, LabelsConfig):
        from simsmooth_jax.program.commands import labels_command

        labels_command.make_label_file(command)
    elif isinstance(command, InspectConfig):
        from simsmooth_jax.program.commands import inspect_command

        inspect_command.inspect(command)
    elif isinstance(command, DataCommandConfig):
        from simsmooth_jax.program.commands import data_command

        data_command.show_data(command)
    else:
        from simsmooth_jax.program.commands import evaluate_command

        evaluate_command.evaluate(command)


def _ending(error: BaseException) -> tuple[str, int] | None:
    """What is said of an error and the exit status; None for one that nobody has expected."""
    if isinstance(error, InputError):
        return as_options(str(error)), 2
    if isinstance(error, OSError) and error.errno in FULL:  # files come with their names, below
        error = WriteError(f"cannot write standard output: {error.strerror}. Make room.")
    if isinstance(error, OSError) and is_gone(error):  # found by a read, between two writes
        error = WriteError(f"cannot read {error.filename}: {error.strerror}. {BRING}")
    if isinstance(error, WriteError):
        return f"{error} T{same_command()[1:]}", 1
    if isinstance(error, FileNotFoundError) and error.filename is None:
        gone = InputError("the current directory", "exist", "a removed one", "Change to another.")
        return str(gone), 2
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        got = f"{error.filename}: {error.strerror}"
        return str(InputError("every path", "have names that fit", got, "Shorten it.")), 2
    if isinstance(error, PermissionError) and error.filename is not None:
        got = f"{closed_at(Path(error.filename))}: {error.strerror}"
        then = "Change its permissions."
        return str(InputError("every file", "be one that you may use", got, then)), 2
    if isinstance(error, DivergenceError | OSError):
        return as_options(str(error)), 1
    exhausted = isinstance(error, RuntimeError) and str(error).startswith("RESOURCE_EXHAUSTED")
    if exhausted or isinstance(error, MemoryError):  # of a device, as XLA has it, or of this one
        then = f"Choose a smaller --batch-size or --width: as it is, {same_command()}"
        return f"no memory is left: {first_line(error)}. {then}", 1
    if isinstance(error, Stopped):
        return in_words(error.number), 128 + error.number
    return None


def _fail(message: str, status: int) -> int:
    say(message)
    return status


def _show_warning(message: Warning | str, *_: Any) -> None:
    _fail(f"warning: {as_options(str(message))}", 0)
    if _CACHE in str(message):  # of each program that is compiled: once is enough
        warnings.filterwarnings("ignore", f".*{_CACHE}")


def _silence_orbax() -> None:
    """Our one line says it: what fails there leaves others behind, which report on their own."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    raised, unraisable = sys.excepthook, sys.unraisablehook

    def left_behind(error: BaseException | None) -> bool:
        return str(error) == "Event loop is closed"

    def show_raised(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not left_behind(error):
            raised(kind, error, trace)

    def show_unraisable(found: Any) -> None:
        if not (left_behind(found.exc_value) or isinstance(found.object, CoroutineType)):
            unraisable(found)

    sys.excepthook, sys.unraisablehook = show_raised, show_unraisable


def enable_compilation_cache() -> None:
    """Keeps compiled programs between runs; a directory set by the user is kept."""
    import jax

    folder = environment.cache_directory()
    if jax.config.values["jax_compilation_cache_dir"] is None and folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder / "simsmooth_jax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
