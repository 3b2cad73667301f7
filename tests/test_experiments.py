"""What the pages say of experiments is what their committed rows and results say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import EXPERIMENTS, README


def test_ten_seeds_are_those_of_the_committed_rows() -> None:
    script = EXPERIMENTS / "digits.py"
    shown = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() in (EXPERIMENTS / "README.md").read_text()


@pytest.mark.slow
def test_studies_are_those_of_the_committed_rows() -> None:
    """The tables of the page, and what the README says of them."""
    program = "import tables; print(tables.written())"
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=EXPERIMENTS, capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() in (EXPERIMENTS / "README.md").read_text()
    evidence = README.read_text().split("**What the evidence says")[1].split("<br")[0]
    figures = re.findall(
        r"\d\.\d\d \(\d\.\d\d to \d\.\d\d\)", evidence.replace("points of top-1 ", "")
    )
    assert len(figures) == 3
    of_points = shown.replace("points ", "")
    assert [figure for figure in figures if figure not in of_points] == []


@pytest.mark.parametrize("path", sorted((EXPERIMENTS / "benchmarks/results").iterdir()))
def test_benchmarks_are_those_of_the_results(path: Path) -> None:
    page = (EXPERIMENTS / "benchmarks" / "README.md").read_text()
    rows = ["| " + " | ".join(row) + " |" for row in json.loads(path.read_text())["rows"]]
    assert "\n".join(rows) in page
