"""How the labels that a classifier is trained on are made."""

import dataclasses
from typing import Literal

from simsmooth_jax.config.options import option
from simsmooth_jax.literals import LabelRule, Rule

EmptyClasses = Literal["refuse", "hard"]
OF_CLASSIFIER = ("kernel", "features", "predictions")  # the others are files
HARD_TO_SOFT = "0 is the hard label, 1 the soft one alone."


@dataclasses.dataclass(frozen=True)
class RelationConfig:
    """How the kernel of the first classifier becomes the labels of the second."""

    similarity: str = "kernel"
    """Cosines of what: kernel (the head's columns), features or predictions (their means over the
    training images of each class), vectors:FILE (a row [D] for each class, as embeddings); or
    table:FILE, a similarity [K, K] itself, as of a hierarchy."""
    rule: LabelRule = "clip"
    """How cosines become a label: literal is claim 5, and is refused where a cosine is negative;
    mean takes no cosines, but the mean predictions of --similarity predictions themselves."""
    epsilon: float = option(1.0, least=0, most=1, then=HARD_TO_SOFT)
    """Weight of the relation row against the hard label, 0 to 1; 1 is the patent's own form."""
    temperature: float | None = option(
        None, above=0, example=0.1, then="Smaller is sharper; try 0.1."
    )
    """Temperature, above 0, of the softmax rule (as 0.1) or of the predictions that the mean rule
    takes (as 3): needed there and used nowhere else."""
    perplexity: float | None = option(None, least=1, example=20, before=None)
    """How many other classes a row of the neighbours rule is spread over, in effect, at least 1:
    needed there and used nowhere else."""
    top_k: int | None = option(None, least=1, example=5, then="Leave it out to keep every class.")
    """Keep the own class and the k-1 most related others (all, if not given)."""
    include_self: bool = True
    """The own class takes part in its relation row; --no-include-self leaves it out."""
    center: bool = False
    """Subtract the mean column of the kernel before the cosines are taken."""
    empty_classes: EmptyClasses = option("refuse", before="refuse")
    """What becomes of classes without a training image, whose columns are untrained: refuse them,
    or give them hard labels and leave them out of all others."""


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """How the labels that are made while the training goes on are made, from online to mbls."""

    strength: float | None = option(None, least=0, most=1, example=0.1, before=None)
    """Weight of the soft part, 0 to 1 (ols 0.5, pskd 0.8, all others 0.1)."""
    rule: Rule | None = option(None, example="clip", before=None)
    """How online turns cosines into labels: clip (the default), shift, softmax or neighbours."""
    temperature: float | None = option(None, above=0, example=0.1, before=None)
    """Temperature of online's softmax rule, above 0: needed there and used nowhere else."""
    perplexity: float | None = option(None, least=1, example=20, before=None)
    """Effective classes of online's neighbours rule: needed there and used nowhere else."""
    label_warmup: float | None = option(None, least=0, example=5, before=None)
    """Epochs on hard labels, before online or ols makes its own (online a quarter, ols 0)."""
    label_period: int | None = option(None, least=1, example=1000, before=None)
    """Steps after which online or ols makes its labels anew (default: an epoch)."""
