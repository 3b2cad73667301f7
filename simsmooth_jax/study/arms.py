"""The arms of every comparison, each with its name, title, colour and objective."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from simsmooth_jax.config.labels import ObjectiveConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.bars import Progress
from simsmooth_jax.method import objectives
from simsmooth_jax.method.labels.dense_labels import onehot_labels, uniform_labels
from simsmooth_jax.method.objectives import Objective, label_table
from simsmooth_jax.method.tables.factored import FactoredLabels
from simsmooth_jax.method.tables.forms import LabelTable
from simsmooth_jax.method.tables.top_k import TopKLabels
from simsmooth_jax.training.observers.recording import MetricsLog
from simsmooth_jax.training.runner import ArmRunner
from simsmooth_jax.training.step import TrainState

MANY_CLASSES = 2**14  # from here on a dense table takes 1 GiB or more


class Plan(NamedTuple):
    """What the objective of an arm may be made from."""

    num_classes: int
    num_examples: int  # of the training split
    steps_per_epoch: int
    epochs: int
    uniform_epsilon: float
    options: ObjectiveConfig = ObjectiveConfig()
    table: LabelTable | None = None  # of relation labels, where there is one already

    @classmethod
    def of(cls, runner: ArmRunner, uniform_epsilon: float) -> "Plan":
        """What a runner's data and epochs say of it."""
        steps, epochs = runner.trainer.steps_per_epoch, runner.trainer.epochs
        data = runner.dataset
        return cls(data.num_classes, len(data.train), steps, epochs, uniform_epsilon)

    def strength(self, usual: float) -> float:
        """What the options say, or what is usual."""
        return usual if self.options.strength is None else self.options.strength

    @property
    def warmup_steps(self) -> int | None:
        """Steps on hard labels, where the options say how many epochs."""
        epochs = self.options.label_warmup
        return None if epochs is None else round(epochs * self.steps_per_epoch)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to label, as it is named in files, shown to people, and trained.

    `options` are those of `ObjectiveConfig` that it takes.
    """

    name: str
    title: str
    colour: str
    objective: Callable[[Plan], Objective]
    options: tuple[str, ...] = ()

    def train(
        self, runner: ArmRunner, plan: Plan, directory: Path, log: MetricsLog, progress: Progress
    ) -> TrainState:
        """Trains it in a directory, or goes on there."""
        return runner.train(self.name, self.objective(plan), directory, log, progress)


def onehot_table(num_classes: int) -> LabelTable:
    """Hard labels, in the form that fits the number of classes."""
    if num_classes < MANY_CLASSES:
        return onehot_labels(num_classes)
    return TopKLabels(jnp.arange(num_classes, dtype=jnp.int32)[:, None], jnp.ones((num_classes, 1)))


def uniform_table(num_classes: int, epsilon: float) -> LabelTable:
    """Uniform smoothing; class vectors of zeros are as similar to each class: `(1 + 0) / K`."""
    if num_classes < MANY_CLASSES:
        return uniform_labels(num_classes, epsilon)
    zeros = jnp.zeros((1, num_classes))
    return FactoredLabels(zeros, zeros[0], jnp.float32(epsilon), "shift")


def _onehot(plan: Plan) -> Objective:
    return label_table(onehot_table(plan.num_classes))


def _uniform(plan: Plan) -> Objective:
    return label_table(uniform_table(plan.num_classes, plan.uniform_epsilon))


def _relation(plan: Plan) -> Objective:
    assert plan.table is not None
    return label_table(plan.table)


def _online(plan: Plan) -> Objective:
    options = plan.options
    usual = math.ceil(plan.epochs / 4) * plan.steps_per_epoch
    return objectives.online_relation_labels(
        plan.num_classes,
        options.rule or "clip",  # type: ignore[arg-type]  # literal is refused there
        warmup_steps=usual if plan.warmup_steps is None else plan.warmup_steps,
        epsilon=plan.strength(0.1),
        temperature=options.temperature,
        perplexity=options.perplexity,
        refresh_steps=options.label_period,
    )


def _online_smoothing(plan: Plan) -> Objective:
    return objectives.online_label_smoothing(
        plan.num_classes,
        plan.strength(0.5),
        warmup_steps=plan.warmup_steps or 0,
        refresh_steps=plan.options.label_period,
    )


def _max_suppression(plan: Plan) -> Objective:
    return objectives.max_suppression(plan.strength(0.1))


def _label_smoothing_plus_plus(plan: Plan) -> Objective:
    return objectives.label_smoothing_plus_plus(plan.num_classes, plan.strength(0.1))


def _progressive_self_distillation(plan: Plan) -> Objective:
    return objectives.progressive_self_distillation(
        plan.num_examples,
        plan.num_classes,
        plan.strength(0.8),
        steps_per_epoch=plan.steps_per_epoch,
        epochs=plan.epochs,
    )


def _zipf_smoothing(plan: Plan) -> Objective:
    return objectives.zipf_smoothing(plan.strength(0.1))


def _margin_smoothing(plan: Plan) -> Objective:
    return objectives.margin_smoothing(plan.strength(0.1))


def _conditional_smoothing(plan: Plan) -> Objective:
    return objectives.conditional_smoothing(plan.strength(0.1))


STRENGTH = ("strength",)
TIMES = (*STRENGTH, "label_warmup", "label_period")
SHARPNESS = ("rule", "temperature", "perplexity")
ARMS = (
    Arm("onehot", "first model (one-hot)", "#4c6a92", _onehot),
    Arm("uniform", "uniform smoothing", "#c98b2b", _uniform),
    Arm("relation", "second model (relation labels)", "#2f8f6b", _relation),
    Arm("online", "online relation labels", "#7a5195", _online, (*SHARPNESS, *TIMES)),
    Arm("ols", "online label smoothing (OLS)", "#b5533c", _online_smoothing, TIMES),
    Arm("maxsup", "max suppression (MaxSup)", "#5b7f95", _max_suppression, STRENGTH),
    Arm("lspp", "Label Smoothing++", "#8c6d31", _label_smoothing_plus_plus, STRENGTH),
    Arm("pskd", "PS-KD", "#a55194", _progressive_self_distillation, STRENGTH),
    Arm("zipf", "Zipf's label smoothing", "#637939", _zipf_smoothing, STRENGTH),
    Arm("mbls", "margin smoothing (MbLS)", "#3f6f9f", _margin_smoothing, STRENGTH),
    Arm("acls", "conditional smoothing (ACLS)", "#9c4f6f", _conditional_smoothing, STRENGTH),
)
ARM = {arm.name: arm for arm in ARMS}
ONEHOT, UNIFORM, RELATION = ARMS[:3]  # those of the method itself


def refuse_options(arm: Arm, options: ObjectiveConfig) -> None:
    """Refuses an option that the arm would not look at."""
    for name, value in dataclasses.asdict(options).items():
        if value is not None and name not in arm.options:
            takers = [other.name for other in ARMS if name in other.options]
            raise InputError(
                f"`{name}`",
                f"be given with labels {' or '.join(takers)}",
                f"{value} with {arm.name}",
                "Leave it out.",
            )
