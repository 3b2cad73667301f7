"""What the program says in one line; without Rich, as every command imports it."""

import sys


def say(message: str) -> None:
    """One line on standard error."""
    print(f"simsmooth: {' '.join(message.split())}", file=sys.stderr)
