"""What a study holds fixed: a weight decay that is not tuned, contrasts that were named."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from test_study_command import OPTIMIZER, TRAINING, Row, rows_of, study

from simsmooth_jax.errors import InputError

pytestmark = pytest.mark.slow


def test_a_weight_decay_that_is_not_tuned_is_that_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an arm that has nothing else to tune is trained once a seed."""
    optimizer = dataclasses.replace(OPTIMIZER, weight_decay=0.0)
    training = dataclasses.replace(TRAINING, optimizer=optimizer)
    changes: Row = {"training": training, "tune_weight_decay": False, "seeds": 2}
    study(tmp_path / "out", **changes)
    rows = rows_of(tmp_path / "out")
    assert {row["given"]["weight_decay"] for row in rows} == {0.0}
    tuned = Counter(row["arm"] for row in rows if row["phase"] == "tune")
    assert tuned == {"onehot": 2, "uniform": 6, "neighbours-shuffled": 6}
    printed = capsys.readouterr().out
    assert "chosen on validation by accuracy, but for wd, which was given" in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "weight decay as it was given; strength ε and sharpness τ, chosen on valid" in page
    assert "Each way that has a strength or sharpness to tune tried 3 settings on" in page


def test_named_contrasts_stay_while_arms_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was named beforehand is all that is tested, and no other may be named afterwards."""
    named: Row = {"contrasts": ("uniform:onehot",), "points": 1, "tuning_seeds": 1, "seeds": 2}
    study(tmp_path / "out", arms=("onehot", "uniform"), **named)
    capsys.readouterr()
    study(tmp_path / "out", arms=("maxsup", "uniform", "onehot"), **named)
    text = capsys.readouterr().out
    assert "contrasts: uniform:onehot\n" in text
    assert "exploratory, without adjusted p: maxsup:uniform\n" in text
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [(one["arm"], one["than"]) for one in found["contrasts"]] == [("uniform", "onehot")]
    others = named | {"contrasts": ("maxsup:uniform",)}
    with pytest.raises(InputError, match="`contrasts` "):
        study(tmp_path / "out", arms=("maxsup", "uniform", "onehot"), **others)
