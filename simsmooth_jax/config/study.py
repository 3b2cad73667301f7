"""A comparison of arms over many seeds: what is drawn, tuned and tested."""

import dataclasses
from pathlib import Path
from typing import Literal

from simsmooth_jax.config.options import option
from simsmooth_jax.config.training import TrainingConfig

Noise = Literal["symmetric", "superclass"]
Selection = Literal["accuracy", "nll"]
DEFAULT_ARMS = ("onehot", "uniform", "neighbours", "neighbours-shuffled", "predictions")


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Does it help on your data? Every arm is tuned alike, then tested once on paired seeds.

    Each arm tries the same number of random points: of weight decay, of its strength, of its
    sharpness. The best on the validation images is frozen and trained on every seed, each with its
    own training subset, initial weights and order, the same for all arms. The test images are
    looked at once, at the end. A study that was stopped goes on where it was.
    """

    training: TrainingConfig = TrainingConfig()
    arms: tuple[str, ...] = option(DEFAULT_ARMS, example="onehot uniform", resume=True)
    """What is compared: names of arms, onehot among them; a wrong name lists all."""
    seeds: int = option(10, least=2, most=10**4, example=20, resume=True)
    """Seeds of the comparison itself; with six contrasts fewer than eight can tell nothing."""
    points: int = option(8, least=1, most=10**4, example=12, resume=True)
    """Random points that each arm tries; 1 takes the middle of each range."""
    tuning_seeds: int = option(2, least=1, most=10**4, example=3)
    """Seeds of each of them, none of which is among those of the comparison."""
    tune_weight_decay: bool = option(True, before=True)
    """Weight decay is tuned too; --no-tune-weight-decay leaves it as --weight-decay says."""
    images_per_class: int | None = option(None, least=1, example=20)
    """Draw so many training images of each class for each seed (default: all)."""
    label_noise: float = option(0.0, least=0, below=1, example=0.2)
    """Share of the training labels that is made wrong; validation and test stay as they are."""
    noise: Noise = "symmetric"
    """A wrong label is any other class, or another one of the same superclass."""
    superclasses: Path | None = None
    """File .npy or .npz with the superclass of each class, an integer array [K] (default: what
    npz: data hold as fine_to_coarse)."""
    confusions: Path | None = option(None, resume=True)
    """File .npy with counts [K, K] of what people answered for each true class; report.html sets
    the relations of the classes beside them."""
    contrasts: tuple[str, ...] = ()
    """Up to six differences named beforehand, as predictions-uniform is written predictions:uniform
    (default: uniform against onehot, and each other arm against uniform, six in the order of
    --arms). Name them where the arms may change."""
    margin: float = option(0.3, above=0, most=100)
    """Points of accuracy: a difference is none where two one-sided tests exclude a larger one."""
    select: Selection = option("accuracy", resume=True)
    """What the validation images choose by: accuracy, or NLL after temperature. First models are
    chosen by accuracy always, so that both choose from the same trainings."""
    shard: str | None = option(None, example="1/2", resume=True)
    """Do the trainings of one part of several, as 1/2 and 2/2 in two processes or on two machines
    with one directory; each does what is left for it to do."""
    out: Path | None = option(None, resume=True)
    """Directory of the study (default: runs/DATA-MODEL-study-CONFIG)."""
    overwrite: bool = option(False, resume=True)
    """Start anew where the directory holds a study already."""
