"""Where the similarity of the classes comes from: a kernel, features, predictions or a file."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from simsmooth_jax import options
from simsmooth_jax.classifier import Classifier
from simsmooth_jax.config import RelationConfig
from simsmooth_jax.diagnosis import Diagnosis, diagnose
from simsmooth_jax.errors import InputError
from simsmooth_jax.heads import head_kernel
from simsmooth_jax.label_files import array_sha256
from simsmooth_jax.similarity import cosine_similarity
from simsmooth_jax.similarity_files import read_class_vectors, read_similarity

OF_CLASSIFIER = ("kernel", "features", "predictions")


@dataclasses.dataclass(frozen=True)
class Relations:
    """A similarity, what it was computed from, and its diagnosis where that is class vectors.

    `class_names` are those that a file has told.
    """

    similarity: Float[Array, "classes classes"]
    sha256: str
    diagnosis: Diagnosis | None
    class_names: tuple[str, ...] | None = None


def of_vectors(
    vectors: Any, config: RelationConfig, class_names: tuple[str, ...] | None = None
) -> Relations:
    """The cosines of class vectors `[D, K]`, as of a kernel."""
    options.refuse_relation(config, vectors.shape[1])
    diagnosis = diagnose(vectors, center=config.center, temperature=config.temperature)
    similarity = cosine_similarity(vectors, center=config.center)
    return Relations(similarity, array_sha256(vectors), diagnosis, class_names)


def find_relations(classifier: Classifier, config: RelationConfig) -> Relations:
    """What `--similarity` asks of a trained classifier, or of a file."""
    if config.similarity not in OF_CLASSIFIER:
        return of_file(config)
    vectors = {
        "kernel": lambda: head_kernel(classifier.params),
        "features": classifier.mean_features,
        "predictions": classifier.mean_predictions,
    }
    return of_vectors(vectors[config.similarity](), config)


def of_file(config: RelationConfig) -> Relations:
    """What `--similarity vectors:FILE` or `table:FILE` holds."""
    if config.similarity.startswith("vectors:"):
        vectors, names = read_class_vectors(config.similarity)
        try:
            return of_vectors(vectors, config, names)
        except InputError as error:
            raise InputError(f"--similarity {config.similarity}: {error}") from error
    if not config.similarity.startswith("table:"):
        raise InputError(
            f"--similarity must be {', '.join(OF_CLASSIFIER)}, vectors:FILE or table:FILE, got "
            f"{config.similarity!r}. kernel is the patent's own."
        )
    if config.center:
        raise InputError(
            f"--center must be given with class vectors, got --similarity {config.similarity}, "
            "which is finished. Leave it out."
        )
    similarity, names = read_similarity(config.similarity)
    options.refuse_relation(config, len(similarity))
    return Relations(jnp.asarray(similarity), array_sha256(similarity), None, names)


def file_identity(config: RelationConfig, class_names: tuple[str, ...]) -> dict[str, str]:
    """What says that `--similarity FILE` is still the same; refused if not of these classes."""
    if config.similarity in OF_CLASSIFIER:
        return {}
    relations = of_file(config)
    names = relations.class_names or class_names
    if len(relations.similarity) != len(class_names) or names != class_names:
        raise InputError(
            f"--similarity {config.similarity} must be of the {len(class_names)} classes of the "
            f"data in their order, got {len(relations.similarity)}"
            f"{f' that start with {names[:3]}' if relations.class_names else ''}. See: simsmooth "
            "data NAME"
        )
    return {"similarity_sha256": relations.sha256}
