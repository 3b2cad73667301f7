"""The program in a real process, which sends itself a signal at a chosen step.

`main([STEP, SIGNALS, PATIENCE, SLEEP, *ARGUMENTS])`: SIGNALS as 15 or 15,2, sent before the
validation and the checkpoint of that step; PATIENCE are the seconds for the next boundary; SLEEP
those that the step then takes.
"""

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from simsmooth_jax.machine import signals
from simsmooth_jax.training.observers.recording import StepRows


def main(arguments: Sequence[str]) -> int:
    """The exit status of the command."""
    from simsmooth_jax import __main__

    at, numbers = int(arguments[0]), [int(number) for number in arguments[1].split(",")]
    signals.PATIENCE_SECONDS = float(arguments[2])
    on_step: Any = StepRows.on_step

    def signalled(rows: StepRows, step: int, *rest: Any) -> None:
        on_step(rows, step, *rest)
        if step >= at > rows.__dict__.get("last", 0):
            for number in numbers:
                os.kill(os.getpid(), number)
                time.sleep(0.2)
            time.sleep(float(arguments[3]))
        rows.__dict__["last"] = step

    StepRows.on_step = signalled  # type: ignore[method-assign]
    return __main__.main(arguments[4:])


def deaf_to_hangups(arguments: Sequence[str]) -> int:
    """As under `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return main(arguments)
