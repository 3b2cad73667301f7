"""`python -m simsmooth_jax` is `simsmooth`."""

import sys

from simsmooth_jax.program.cli import main

if __name__ == "__main__":
    sys.exit(main())
