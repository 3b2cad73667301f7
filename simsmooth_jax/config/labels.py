"""How the labels that a classifier is trained on are made."""

import dataclasses
from typing import Literal

from simsmooth_jax.config.options import option
from simsmooth_jax.literals import LabelRule, Rule

EmptyClasses = Literal["refuse", "hard"]
OF_CLASSIFIER = ("kernel", "features", "predictions")  # the others are files
# What validation images have chosen: experiments/README.md, "With nothing tuned", "The default".
USUAL_EPSILON = 0.2  # of uniform smoothing, and of the rules below
WITHOUT_OWN = ("mean", "neighbours")  # of all other rules epsilon is 1, the patent's own form
USUAL_TEMPERATURE = 6.0  # of mean predictions
HARD_TO_SOFT = "0 is the hard label, 1 the soft one alone."


@dataclasses.dataclass(frozen=True)
class RelationConfig:
    """How what the first classifier has learned becomes the labels of the second."""

    similarity: str | None = option(None, example="kernel")
    """Cosines of what: kernel (the head's columns), features or predictions (their means over the
    training images of each class), vectors:FILE (a row [D] for each class, as embeddings); or
    table:FILE, a similarity [K, K] itself, as of a hierarchy (default: predictions for the rule
    mean, kernel for all others)."""
    rule: LabelRule | None = option(None, example="clip")
    """How similarity becomes a label: mean takes the mean softened predictions of each class's
    images over the other classes; clip is the patent's own form where that is legal; literal is
    claim 5, and is refused where a cosine is negative (default: mean in a run, and where
    --similarity is predictions; clip elsewhere)."""
    epsilon: float | None = option(None, least=0, most=1, example=0.2, then=HARD_TO_SOFT)
    """Weight of the relation row against the hard label, 0 to 1 (default: mean and neighbours 0.2,
    all others 1, the patent's own form)."""
    temperature: float | None = option(
        None, above=0, example=0.1, then="Smaller is sharper; try 0.1."
    )
    """Temperature, above 0: of the softmax rule, which needs it (as 0.1), or of the mean rule's
    predictions (default: 6)."""
    perplexity: float | None = option(None, least=1, example=20, before=None)
    """How many other classes a row of the neighbours rule is spread over, in effect, at least 1:
    needed there and used nowhere else."""
    top_k: int | None = option(None, least=1, example=5, then="Leave it out to keep every class.")
    """Keep the own class and the k-1 most related others (all, if not given)."""
    include_self: bool = True
    """The own class takes part in its relation row; --no-include-self leaves it out. Of the mean
    rule it takes part where epsilon is 1, as the row is the whole label there."""
    center: bool = False
    """Subtract the mean column of the kernel before the cosines are taken."""
    empty_classes: EmptyClasses = option("refuse", before="refuse")
    """What becomes of classes without a training image, whose columns are untrained: refuse them,
    or give them hard labels and leave them out of all others."""

    def resolved(self, usual: LabelRule = "clip") -> "RelationConfig":
        """With all that was left out; `usual` is the rule where no similarity is given either."""
        similarity, rule = self.similarity, self.rule
        epsilon, temperature = self.epsilon, self.temperature
        if rule is None:
            rule = "mean" if similarity == "predictions" else "clip" if similarity else usual
        if similarity is None:
            similarity = "predictions" if rule == "mean" else "kernel"
        if epsilon is None:
            epsilon = USUAL_EPSILON if rule in WITHOUT_OWN else 1.0
        whole = self.include_self
        if rule == "mean":
            temperature = USUAL_TEMPERATURE if temperature is None else temperature
            whole = whole and epsilon == 1
        given = {"similarity": similarity, "rule": rule, "epsilon": epsilon}
        return dataclasses.replace(self, **given, temperature=temperature, include_self=whole)

    def chosen(self, usual: LabelRule = "clip") -> "RelationConfig":
        """The inverse of `resolved`: without what follows from the rest."""
        found = self
        for name in ("include_self", "temperature", "epsilon", "similarity", "rule"):
            without = dataclasses.replace(found, **{name: getattr(RelationConfig(), name)})
            found = without if without.resolved(usual) == self else found
        return found

    @property
    def source(self) -> str:
        """Where the similarity comes from, of what is resolved."""
        assert self.similarity is not None
        return self.similarity


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """How the labels that are made while the training goes on are made, from online to acls."""

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
