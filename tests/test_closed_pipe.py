"""A reader that has seen enough, as in `simsmooth … | head -3`: the program ends without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import environment


@pytest.mark.parametrize(
    "arguments",
    ["study --help", "--help", pytest.param("data", marks=pytest.mark.slow)],
)
def test_a_closed_pipe_is_no_error(tmp_path: Path, arguments: str) -> None:
    """Whether it is met while printing, or by what is still in the buffer at the end."""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "simsmooth_jax", *arguments.split()],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")
