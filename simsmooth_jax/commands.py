"""The commands of the command line program that are not the whole run, with their options."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro.conf

from simsmooth_jax.config import RelationConfig, TrainingConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training against one table of labels: onehot, uniform or a labels.npz."""

    labels: str = "onehot"
    """What to train against: onehot, uniform, or the path of a labels.npz."""
    training: TrainingConfig = TrainingConfig()
    uniform_epsilon: float = 0.1
    """Weight of uniform smoothing, 0 to 1, where --labels is uniform."""
    checkpoint_every: int = 10
    """Epochs between checkpoints; a stopped training goes on from the last one."""
    out: Path | None = None
    """Directory of the training (default: runs/DATA-MODEL-LABELS-CONFIG)."""
    overwrite: bool = False
    """Start anew where the directory holds a training already."""


@dataclasses.dataclass(frozen=True)
class LabelsConfig:
    """Relation labels from a trained classifier's checkpoint, with their diagnosis."""

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """Orbax checkpoint: a training's directory (its last step), or one step of it."""
    out: Path = Path("labels.npz")
    """File to write, read with numpy.load; it must not exist."""
    head: str | None = None
    """Whole parts of the kernel's path, as classifier or params/classifier/kernel."""
    num_classes: int | None = None
    """Number of classes, to find a kernel that is not named head."""
    relation: RelationConfig = RelationConfig()


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Accuracy, NLL, calibration and ranking of a checkpoint that this program trained."""

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """Orbax checkpoint: a training's directory (its last step), or one step of it."""
    split: Literal["validation", "test"] = "test"
    """Images to evaluate on."""
    json: bool = False
    """Print JSON instead of a table."""
