"""What goes wrong by the user's input, and what goes wrong in the work; and how it is said."""

import sys


class InputError(ValueError):
    """An argument has a value that the method cannot work with.

    The message is one line: what was asked, the rule that must hold, the value, the next step. The
    command line program prints it without a traceback and exits with status 2.
    """


class DivergenceError(RuntimeError):
    """The loss of a training became NaN or infinite; the message names the step."""


def say(message: str) -> None:
    """One line on standard error."""
    print(f"simsmooth: {' '.join(message.split())}", file=sys.stderr)
