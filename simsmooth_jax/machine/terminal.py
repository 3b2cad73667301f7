"""What the program says in one line; without Rich, as every command imports it."""

import contextlib
import sys


def say(message: str) -> None:
    """One line on standard error, if anyone is left to read it."""
    with contextlib.suppress(OSError):
        print(f"simsmooth: {' '.join(message.split())}", file=sys.stderr)
