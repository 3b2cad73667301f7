"""Random command lines: carried out, or refused in one line with status 2 and no file."""

from pathlib import Path

import option_fuzz
import pytest
from option_cases import case, inputs
from program import Forked

PROCESSES, LIMIT = 50, 600  # seconds: the machine may be busy


@pytest.mark.slow
def test_five_hundred_in_one_process() -> None:
    assert list(option_fuzz.failures(500)) == []


@pytest.mark.heavy
def test_ten_thousand_in_one_process() -> None:
    assert list(option_fuzz.failures(10_000, first=500)) == []


@pytest.mark.slow
def test_fifty_processes(tmp_path: Path) -> None:
    """Those among the cases that the one process refuses: a training would take its time."""
    inputs(tmp_path)
    with option_fuzz.in_directory(), option_fuzz.cut_off():
        refused = (case(number) for number in range(500))
        found = [words for words in refused if option_fuzz.carried_out(words)[0] == 2]
    chosen = [words for words in found if not any("\0" in word for word in words)][:PROCESSES]
    assert len(chosen) == PROCESSES
    before = sorted(tmp_path.rglob("*"))
    for words in chosen:
        process = Forked(*words, cwd=tmp_path)
        said = process.communicate(LIMIT)[1]
        assert option_fuzz.complaint(words, process.returncode or 0, said) == "", words
        assert process.returncode == 2, words
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("status", "said", "wrong"),
    [
        (2, "simsmooth: --epochs must be a whole number, got 'x'. Try 30.\n", ""),
        (0, "", ""),
        (0, "simsmooth: warning: few images\n", ""),
        (1, "simsmooth: failed\n", "status 1"),
        ("Traceback", "", "status Traceback"),
        (2, "", "0 lines"),
        (2, "simsmooth: a\nsimsmooth: b\n", "2 lines"),
        (2, "simsmooth: it broke\n", "no refusal"),
        (2, "simsmooth: kernel must be good, got 3. Try.\n", "names nothing that was typed"),
        (2, "simsmooth: `epochs` must be --x, got 3. Try.\n", "in backquotes: {'epochs'}"),
    ],
)
def test_what_is_wrong_is_found(status: int | str, said: str, wrong: str) -> None:
    found = option_fuzz.complaint(["run", "--epochs", "x"], status, said)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)
