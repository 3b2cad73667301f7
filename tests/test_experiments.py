"""What the pages say of experiments is what their committed rows and results say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import EXPERIMENTS, README

from simsmooth_jax.config.labels import USUAL_EPSILON, USUAL_TEMPERATURE


def written(module: str) -> str:
    """What a script would write into the page."""
    program = f"import {module}; print({module}.written())"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=EXPERIMENTS, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_the_default_is_what_the_committed_rows_say() -> None:
    """Of 100 classes no candidate qualifies, and the constant lies where it hurts least."""
    shown = written("default")
    assert shown.strip() in (EXPERIMENTS / "README.md").read_text()
    assert "- 100 classes: no candidate qualifies; uniform smoothing is recommended." in shown
    head = next(line for line in shown.splitlines() if "against one-hot labels" in line)
    ranges = [cell.strip(" ε").split(" to ") for cell in head.strip("| ").split("|")[1:]]
    for arm in ("uniform smoothing", "mean predictions"):
        least = next(line for line in shown.splitlines() if f"**{arm}, least**" in line)
        added = [float(cell) for cell in least.strip("| ").split("|")[1:]]
        low, high = map(float, ranges[added.index(max(added))])
        assert low <= USUAL_EPSILON < high
    told = written("sharpness")
    assert told.strip() in (EXPERIMENTS / "README.md").read_text()
    assert f"in both: τ {USUAL_TEMPERATURE:g}." in told


@pytest.mark.slow
def test_studies_are_those_of_the_committed_rows() -> None:
    """The tables of the page, and what the README says of them."""
    shown = written("tables")
    assert shown.strip() in (EXPERIMENTS / "README.md").read_text()
    evidence = README.read_text().split("## Does it help?")[1].split("\n## ")[0]
    evidence += (README.parent / "simsmooth_jax/docs/objectives.md").read_text()
    figures = re.findall(r"[+-]\d\.\d\d \([+-]\d\.\d\d to [+-]\d\.\d\d\)", evidence)
    assert len(figures) >= 12
    assert [figure for figure in figures if figure not in shown] == []


@pytest.mark.parametrize("path", sorted((EXPERIMENTS / "benchmarks/results").iterdir()))
def test_benchmarks_are_those_of_the_results(path: Path) -> None:
    page = (EXPERIMENTS / "benchmarks" / "README.md").read_text()
    rows = ["| " + " | ".join(row) + " |" for row in json.loads(path.read_text())["rows"]]
    assert "\n".join(rows) in page
