"""The program `simsmooth`, which hears signals before anything heavy is imported."""

import gc
import sys
from collections.abc import Sequence

from simsmooth_jax.machine import signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, and returns or ends with its exit status; 128 + n after signal n."""
    signals.listen()
    from simsmooth_jax.program import cli

    status = cli.main(arguments)
    if status == 1 or (signals.asked() and status == 128 + signals.asked()):
        # Neither threads of the input or of a save that failed nor a dead terminal keep it.
        signals.leave("", status)
    signals.end_listening()
    gc.freeze()  # to look through all that was imported for garbage would take Python's end .6 s
    return status


if __name__ == "__main__":
    sys.exit(main())
