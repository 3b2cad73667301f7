"""The commands of the command line program, with their options."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro.conf

from simsmooth_jax.config.data import SourceConfig
from simsmooth_jax.config.labels import (
    HARD_TO_SOFT,
    USUAL_EPSILON,
    ObjectiveConfig,
    RelationConfig,
)
from simsmooth_jax.config.options import option
from simsmooth_jax.config.processes import DistributedConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import SavingConfig, TrainingConfig
from simsmooth_jax.literals import Layout

CLASS_COUNT = "It is the number of columns of the classifier's kernel."


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The whole method: first classifier, its labels, uniform smoothing, second classifier.

    The labels are the first classifier's mean predictions; the patent's own form is --rule clip.
    """

    training: TrainingConfig = TrainingConfig()
    relation: RelationConfig = RelationConfig()
    uniform_epsilon: float = option(USUAL_EPSILON, least=0, most=1, then=HARD_TO_SOFT)
    """Weight of uniform smoothing, the baseline, 0 to 1."""
    tune: bool = option(False, before=False)
    """Choose both weights on the validation images, by NLL after temperature, among four values
    each: up to eight trainings more; fewer than 1,000 images choose by luck."""
    saving: SavingConfig = option(SavingConfig(), resume=True)
    out: Path | None = option(None, resume=True)
    """Run directory (default: runs/DATA-MODEL-RULE-CONFIG)."""
    overwrite: bool = option(False, resume=True)
    """Start anew where the run directory holds a run already."""
    distributed: DistributedConfig = option(DistributedConfig(), resume=True)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training: against a table of labels, or against labels that it makes itself."""

    labels: str = "onehot"
    """What to train against: onehot, uniform, or the path of a labels.npz or of your own table
    [K, K] in .npz, .npy or .safetensors; online (relation labels of the classifier that is being
    trained), ols, maxsup, lspp, pskd, zipf, mbls or acls (rivals); ./ols is a file."""
    training: TrainingConfig = TrainingConfig()
    uniform_epsilon: float = option(USUAL_EPSILON, least=0, most=1, then=HARD_TO_SOFT)
    """Weight of uniform smoothing, 0 to 1, where --labels is uniform."""
    objective: ObjectiveConfig = ObjectiveConfig()
    reorder: bool = option(False, resume=True)
    """Put the rows and columns of a file of labels into the order of the data, by class names."""
    saving: SavingConfig = option(SavingConfig(), resume=True)
    out: Path | None = option(None, resume=True)
    """Directory of the training (default: runs/DATA-MODEL-LABELS-CONFIG)."""
    overwrite: bool = option(False, resume=True)
    """Start anew where the directory holds a training already."""
    distributed: DistributedConfig = option(DistributedConfig(), resume=True)


@dataclasses.dataclass(frozen=True)
class LabelsConfig:
    """Relation labels from a trained classifier's checkpoint, with their diagnosis."""

    checkpoint: Annotated[
        Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CHECKPOINT]")
    ] = None
    """A training's directory (its last step), or any checkpoint that simsmooth inspect lists."""
    out: Path = Path("labels.npz")
    """File to write, .npz or .safetensors; it must not exist."""
    head: str | None = None
    """Whole parts of the kernel's path, as classifier or params/classifier/kernel."""
    num_classes: int | None = option(None, least=2, example=10, then=CLASS_COUNT)
    """Number of classes, to find a kernel that is not named head, or to check it."""
    layout: Layout | None = None
    """Order of the kernel's axes, where its name does not say it."""
    class_names: Path | None = None
    """Text file with a class name on each line, for checkpoints that do not say them."""
    data: str | None = None
    """Images for --similarity features or predictions (default: those that it was trained on)."""
    data_dir: Path | None = None
    """Where TFDS keeps its sets now (default: where they were)."""
    model: str | None = None
    """For the same, the checkpoint's MODULE:FUNCTION where it has one: it is imported only where
    you name it."""
    relation: RelationConfig = RelationConfig()


@dataclasses.dataclass(frozen=True)
class InspectConfig:
    """What a checkpoint holds, without reading it, and which kernel would be taken as the head.

    CHECKPOINT is a file or a directory of Orbax (a root of steps, a step, an item), Flax msgpack,
    safetensors (PyTorch, timm) or NumPy (.npz, .npy). With the options of simsmooth labels it shows
    what they would find. Pickles (.pt, .pkl) are never loaded.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """The checkpoint, a file or a directory."""
    head: str | None = None
    """Whole parts of the kernel's path, as classifier or fc.weight."""
    num_classes: int | None = option(None, least=2, example=10, then=CLASS_COUNT)
    """Number of classes, to find a kernel that is not named head, or to check it."""
    layout: Layout | None = None
    """Order of the kernel's axes, where its name does not say it."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Accuracy, NLL, calibration and ranking of a checkpoint that this program trained."""

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """Orbax checkpoint: a training's directory (its last step), or one step of it."""
    split: Literal["validation", "test"] = "test"
    """Images to evaluate on."""
    data: str | None = None
    """Other images of the same classes (default: those that it was trained on)."""
    data_dir: Path | None = None
    """Where TFDS keeps its sets now (default: where they were)."""
    model: str | None = None
    """The checkpoint's MODULE:FUNCTION where it has one: it is imported only where you name it."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclasses.dataclass(frozen=True)
class DataCommandConfig:
    """What a data set holds: images of each class, sizes, and a picture of samples.

    Of features the norms, and no picture.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = "digits"
    """digits, fashion_mnist, cifar10, cifar100, tfds:NAME[/CONFIG][:VERSION], folder:PATH (with
    train, val and test in it, or the classes themselves) or npz:PATH."""
    source: SourceConfig = SourceConfig()
    out: Path | None = None
    """Picture of samples, a new .png file (default: NAME-samples.png, which is replaced)."""


Command = (
    Annotated[RunConfig, tyro.conf.subcommand("run")]
    | Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[StudyConfig, tyro.conf.subcommand("study")]
    | Annotated[LabelsConfig, tyro.conf.subcommand("labels")]
    | Annotated[InspectConfig, tyro.conf.subcommand("inspect")]
    | Annotated[EvaluateConfig, tyro.conf.subcommand("evaluate")]
    | Annotated[DataCommandConfig, tyro.conf.subcommand("data")]
)
