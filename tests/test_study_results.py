"""What a study tells of its rows, where one arm or seed lacks a figure."""

from pathlib import Path
from typing import Any

import numpy as np

from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.study.comparison.entrants import chosen
from simsmooth_jax.study.comparison.results import results_of
from simsmooth_jax.study.comparison.rows import Key, Rows, Shard
from simsmooth_jax.study.comparison.schedule import TUNING_SEEDS, Schedule

ARMS = ("onehot", "uniform", "maxsup")
GIVEN = {"weight_decay": 1e-3, "strength": None, "sharpness": None}
PLAIN = {"given": GIVEN, "strength": None, "limit": None, "diverged": False}
PLAIN |= {"validation": {"accuracy": 0.9, "nll": 0.3, "temperature": 1.0}}


def test_a_figure_is_shown_of_the_arms_of_which_every_seed_has_it(tmp_path: Path) -> None:
    """Uniform smoothing makes no mistake on one seed; only two arms could be compared in ECE."""
    rows = Rows(tmp_path, Shard())
    far = {"onehot": [1.5, 1.25], "uniform": [1.5, None], "maxsup": [1.0, 2.0]}
    for arm in ARMS:
        rows.add(Key("tune", arm, 0, TUNING_SEEDS), PLAIN)
        for seed, distance in enumerate(far[arm]):
            test: dict[str, Any] = {"accuracy": 0.9 + 0.01 * seed, "nll": 0.2}
            test |= {} if distance is None else {"distance_of_mistakes": distance}
            test |= {} if arm == "maxsup" else {"ece": 0.1}
            rows.add(Key("test", arm, 0, seed), PLAIN | {"test": test})
    no_trials: Any = None
    config = StudyConfig(arms=ARMS, seeds=2, points=1, tuning_seeds=1)
    schedule = Schedule(config, chosen(ARMS, False), no_trials, rows)
    found = results_of(config, schedule, [("uniform", "onehot")])
    means = {arm.name: arm.means for arm in found.arms}
    np.testing.assert_allclose(means["onehot"]["distance_of_mistakes"], (1.5 + 1.25) / 2)
    np.testing.assert_allclose(means["uniform"]["ece"], 10)
    assert {name: sorted(of) for name, of in means.items()} == {
        "onehot": ["accuracy", "distance_of_mistakes", "ece", "nll"],
        "uniform": ["accuracy", "ece", "nll"],
        "maxsup": ["accuracy", "distance_of_mistakes", "nll"],
    }
    compared = sorted((one["arm"], one["figure"]) for one in found.exploratory)
    assert compared == [
        *(("maxsup", figure) for figure in ("accuracy", "nll")),
        *(("onehot", figure) for figure in ("accuracy", "ece", "nll")),
    ]
