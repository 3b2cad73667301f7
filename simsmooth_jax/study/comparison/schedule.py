"""All trainings of a study in their order: tune one-hot labels, tune the rest, then test once."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from simsmooth_jax.config.study import Selection, StudyConfig
from simsmooth_jax.machine.signals import held
from simsmooth_jax.study.comparison import points
from simsmooth_jax.study.comparison.entrants import ENTRANT, Entrant
from simsmooth_jax.study.comparison.points import Point
from simsmooth_jax.study.comparison.relation_rows import most_strength
from simsmooth_jax.study.comparison.rows import Key, Row, Rows, Shard
from simsmooth_jax.study.comparison.trials import Trials

TUNING_SEEDS = 10_000  # the first of them: those of the test are smaller


class Trial(NamedTuple):
    """A training that is to be done."""

    key: Key
    entrant: Entrant
    point: Point
    first: Point | None  # the setting of the first models


class Schedule:
    """What is done, and what is to be done, as far as the rows tell."""

    def __init__(
        self, config: StudyConfig, entrants: tuple[Entrant, ...], trials: Trials, rows: Rows
    ) -> None:
        """Nothing is trained yet."""
        self.config, self.entrants, self.trials, self.rows = config, entrants, trials, rows
        optimizer = config.training.optimizer
        tuned = points.DECOUPLED if optimizer.optimizer == "adamw" else points.WEIGHT_DECAY
        kept = optimizer.weight_decay, optimizer.weight_decay
        self.decays = tuned if config.tune_weight_decay else kept
        self.tuning = range(TUNING_SEEDS, TUNING_SEEDS + config.tuning_seeds)

    def stages(self) -> Iterator[tuple[str, Callable[[], list[Trial]]]]:
        """Names, and the trainings that each adds once the stages before it are done."""
        hard = [entrant for entrant in self.entrants if entrant.name == "onehot"]
        tuned = [e for e in self.entrants if e.name != "onehot" and not e.tuned_as]
        yield "tuning one-hot labels", functools.partial(self._tuning, hard)
        yield "tuning the others", functools.partial(self._tuning, tuned)
        yield "comparing on test", self._testing

    def carry_out(self, trial: Trial) -> None:
        """Trains, measures and writes the row."""
        work = self.trials.tuned if trial.key.phase == "tune" else self.trials.tested
        with held():  # a training of a study is not saved before its end
            found = work(trial.entrant, trial.point, trial.key.seed, trial.first)
            given = trial.point._asdict()
            self.rows.add(trial.key, {"given": given} | found)

    def mine(self, trials: Sequence[Trial], shard: Shard) -> list[Trial]:
        """This shard's part of what is left of a stage."""
        part = trials[shard.number - 1 :: shard.count]
        return [trial for trial in part if trial.key not in self.rows]

    def left(self, trials: Sequence[Trial], count: int) -> list[int]:
        """Of each training that a stage still lacks the number of its shard, of so many."""
        found = enumerate(trials)
        return [place % count + 1 for place, trial in found if trial.key not in self.rows]

    def key(self, phase: str, entrant: Entrant, point: int, seed: int) -> Key:
        """That of a training; one of an arm with first models is of these first models alone."""
        first = self._first(entrant)
        return Key(phase, entrant.name, point, seed, first.weight_decay if first else 0.0)

    def choice(self, entrant: Entrant, select: Selection | None = None) -> int:
        """The number of the point that validation has chosen."""
        source = ENTRANT[entrant.tuned_as or entrant.name]
        of_point = {
            point: [
                self.rows[self.key("tune", source, point, seed)]["validation"]
                for seed in self.tuning
            ]
            for point in self.tried(source)
        }
        return min(
            of_point, key=lambda one: _preference(of_point[one], select or self.config.select)
        )

    def tried(self, entrant: Entrant) -> list[int]:
        """The numbers of its points: fewer than asked for where it has fewer settings."""
        numbers = range(self.config.points)
        return [n for n in numbers if self.key("tune", entrant, n, self.tuning[0]) in self.rows]

    def setting(self, entrant: Entrant, select: Selection | None = None) -> Point:
        """The point that validation has chosen."""
        source = ENTRANT[entrant.tuned_as or entrant.name]
        key = self.key("tune", source, self.choice(entrant, select), self.tuning[0])
        return Point(**self.rows[key]["given"])

    def _first(self, entrant: Entrant) -> Point | None:
        """By accuracy always: another selection chooses from the same trainings."""
        return self.setting(ENTRANT["onehot"], "accuracy") if "first" in entrant.needs else None

    def _tuning(self, entrants: list[Entrant]) -> list[Trial]:
        return [
            Trial(self.key("tune", entrant, number, seed), entrant, point, self._first(entrant))
            for entrant in entrants
            for number, point in enumerate(self._points(entrant))
            for seed in self.tuning
        ]

    def _testing(self) -> list[Trial]:
        chosen = {e: (self.choice(e), self.setting(e), self._first(e)) for e in self.entrants}
        return [
            Trial(self.key("test", entrant, number, seed), entrant, point, first)
            for seed in range(self.config.seeds)
            for entrant, (number, point, first) in chosen.items()
        ]

    def _points(self, entrant: Entrant) -> list[Point]:
        """Its points; the range of a strength ends where a table would lose the own class."""
        space = entrant.space(self.trials.dataset.num_classes)
        found = points.points_of(space, self.config.points, self.decays)
        if entrant.rows is None or not isinstance(space.strength, tuple):
            return found
        highest = space.strength[1]
        first = self._first(entrant)
        seen = [self.trials.seen(seed, entrant, first) for seed in self.tuning]
        limited: list[Point] = []
        for point in found:
            most = min(most_strength(entrant.rows(one, point.sharpness)) for one in seen)
            strength: Any = point.strength
            limited.append(point._replace(strength=strength * min(1, most / highest)))
        return limited


def _preference(rows: list[Row], select: Selection) -> tuple[float, ...]:
    """Smaller is better: by accuracy, ties by NLL at the temperature; or by NLL alone."""
    accuracy, nll = (float(np.mean([row[key] for row in rows])) for key in ("accuracy", "nll"))
    return (nll,) if select == "nll" else (-round(accuracy, 9), nll)  # sums in any order are ties
