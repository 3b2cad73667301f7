"""A reader that has seen enough, as in `simsmooth … | head -3`: the program ends without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import Forked, environment


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


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_standard_output(tmp_path: Path) -> None:
    process = Forked("data", "digits", cwd=tmp_path, files=[Path("/dev/full")])
    assert process.wait(60) == 1
    said = process.files[1].read_text()
    assert said == (
        "simsmooth: cannot write standard output: No space left on device. Make room. "
        "The same command starts again.\n"
    )
