"""Relation rows of a study's arms: from a first model, or from a hierarchy, each with sum 1."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from simsmooth_jax.machine.randomness import new_key
from simsmooth_jax.method.labels.hierarchy_labels import distance_labels, superclass_labels
from simsmooth_jax.method.labels.shuffled_labels import permuted_labels, shuffled_labels
from simsmooth_jax.method.relations.class_vectors import mean_predictions
from simsmooth_jax.method.relations.perplexity import neighbour_rows
from simsmooth_jax.method.relations.rules import relation_rows
from simsmooth_jax.method.relations.similarity import cosine_similarity
from simsmooth_jax.study.arms import Plan
from simsmooth_jax.study.comparison.first_models import FirstModel

SSA_NEIGHBOURS = 5  # the authors' k


class Seen(NamedTuple):
    """What the labels of a seed may be made from."""

    plan: Plan
    seed: int
    superclasses: Int[np.ndarray, " classes"] | None
    first: FirstModel | None

    @property
    def classes(self) -> int:
        """K."""
        return self.plan.num_classes

    @property
    def model(self) -> FirstModel:
        """The first model, of which arms that need none know nothing."""
        assert self.first is not None
        return self.first

    @property
    def own(self) -> Any:
        """Where the own class is, `[K, K]` bool."""
        return jnp.eye(self.classes, dtype=bool)


Rows = Float[Array, "classes classes"]


def uniform(seen: Seen, sharpness: Any) -> Rows:
    """`1 / K`."""
    return jnp.full((seen.classes, seen.classes), 1 / seen.classes)


def clip(seen: Seen, sharpness: Any) -> Rows:
    """`max(S, 0)` of the kernel's cosines, own class included: the patent's, where it is legal."""
    return relation_rows(cosine_similarity(seen.model.kernel), seen.own, None, "clip")


def shift(seen: Seen, sharpness: Any) -> Rows:
    """`1 + S`."""
    return relation_rows(cosine_similarity(seen.model.kernel), seen.own, None, "shift")


def softmax(seen: Seen, temperature: Any) -> Rows:
    """`softmax(S / temperature)`, own class included."""
    return relation_rows(cosine_similarity(seen.model.kernel), seen.own, temperature, "softmax")


def neighbours(seen: Seen, perplexity: Any) -> Rows:
    """Softmax of the kernel's cosines over the others, each row of one perplexity."""
    return neighbour_rows(cosine_similarity(seen.model.kernel), ~seen.own, perplexity)


def neighbours_shuffled(seen: Seen, perplexity: Any) -> Rows:
    """The same weights on wrong classes, row by row."""
    return shuffled_labels(neighbours(seen, perplexity), new_key(seen.seed))


def neighbours_permuted(seen: Seen, perplexity: Any) -> Rows:
    """The same table of wrong classes."""
    return permuted_labels(neighbours(seen, perplexity), new_key(seen.seed))


def neighbours_centred(seen: Seen, perplexity: Any) -> Rows:
    """Of the kernel without its mean column."""
    similarity = cosine_similarity(seen.model.kernel, center=True)
    return neighbour_rows(similarity, ~seen.own, perplexity)


def neighbours_of_features(seen: Seen, perplexity: Any) -> Rows:
    """Of the classes' mean features, without their common mean."""
    similarity = cosine_similarity(seen.model.features, center=True)
    return neighbour_rows(similarity, ~seen.own, perplexity)


def neighbours_of_predictions(seen: Seen, perplexity: Any) -> Rows:
    """Of the cosines of mean predictions."""
    return neighbour_rows(cosine_similarity(_means(seen, 1.0)), ~seen.own, perplexity)


def predictions(seen: Seen, temperature: Any) -> Rows:
    """Mean softened predictions of each class, over the others."""
    others = jnp.where(seen.own, 0, _means(seen, temperature).T)
    return others / others.sum(axis=1, keepdims=True)


def predictions_shuffled(seen: Seen, temperature: Any) -> Rows:
    """The same weights on wrong classes, row by row."""
    return shuffled_labels(predictions(seen, temperature), new_key(seen.seed))


def predictions_whole(seen: Seen, temperature: Any) -> Rows:
    """Mean softened predictions as they are, own class included."""
    return _means(seen, temperature).T


def superclass(seen: Seen, sharpness: Any) -> Rows:
    """Even over the other classes of one's superclass."""
    assert seen.superclasses is not None
    half = superclass_labels(seen.superclasses, 0.5)  # at 1 the own class would not be on top
    return 2 * half - jnp.eye(seen.classes)


def hierarchy(seen: Seen, beta: Any) -> Rows:
    """`softmax(-beta d / 2)` with distances 0, 1 in one superclass and 2 elsewhere."""
    return distance_labels(distances(seen.superclasses), beta)


def centroids(seen: Seen, temperature: Any) -> Rows:
    """SSA-LS: `softmax(-d / temperature)` over the nearest few.

    d are distances of mean features, over their mean.
    """
    points = jnp.asarray(seen.model.features.T)
    distance = jnp.where(seen.own, 0, jnp.linalg.norm(points[:, None] - points[None], axis=2))
    kept = min(SSA_NEIGHBOURS + 1, seen.classes)
    beta = distance.max() / (temperature * distance.mean())
    # Half of it, as whole rows would not have the own class on top.
    half = distance_labels(distance, beta, epsilon=0.5, top_k=kept, include_self=False)
    return 2 * half - jnp.eye(seen.classes)


def distances(superclasses: Any) -> Int[np.ndarray, "classes classes"]:
    """0 of a class to itself, 1 within its superclass, 2 elsewhere."""
    same = superclasses[:, None] == superclasses[None]
    return np.where(same, 1, 2) * (1 - np.eye(len(superclasses), dtype=np.int64))


def most_strength(rows: Rows) -> float:
    """The largest epsilon at which no row has another class above its own."""
    own = jnp.diagonal(rows)
    other = jnp.where(jnp.eye(len(rows), dtype=bool), -jnp.inf, rows).max(axis=1)
    return float(jnp.minimum(1, 1 / (1 + other - own)).min())


def _means(seen: Seen, temperature: Any) -> Float[Array, "outputs classes"]:
    model = seen.model
    softened = jax.nn.softmax(jnp.asarray(model.logits) / temperature)
    return mean_predictions(softened, model.labels)
