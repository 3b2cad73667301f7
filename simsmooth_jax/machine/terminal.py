"""What the program says, and the one place in which what goes to a terminal is made harmless.

Names of arrays, classes and files are anyone's: raw, they could move the cursor, retitle the window
or write over what stands there. Without Rich, as every command imports this.
"""

import contextlib
import sys
import warnings

from simsmooth_jax.errors import escaped


def say(message: str) -> None:
    """One line on standard error, if anyone is left to read it."""
    with contextlib.suppress(OSError):
        print(f"simsmooth: {escaped(' '.join(message.split()))}", file=sys.stderr)


def tell(line: str) -> None:
    """One line of a result on standard output."""
    print(escaped(line))


def warn(message: str, stacklevel: int = 1) -> None:
    """A warning for whoever called so many functions before."""
    warnings.warn(escaped(message), stacklevel=stacklevel + 1)
