"""Where the similarity of the classes comes from: a kernel, features, predictions or a file."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from simsmooth_jax.config.labels import RelationConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import array_sha256
from simsmooth_jax.formats.similarity_files import read_class_vectors, read_similarity
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method import rules
from simsmooth_jax.method.diagnosis import Diagnosis, diagnose
from simsmooth_jax.method.heads import head_kernel
from simsmooth_jax.method.labels import relation_labels
from simsmooth_jax.method.similarity import cosine_similarity
from simsmooth_jax.method.tables import LabelTable
from simsmooth_jax.method.top_k import TopKLabels, top_k_labels
from simsmooth_jax.study import arms, neighbours
from simsmooth_jax.study.neighbours import Neighbours
from simsmooth_jax.training.classifier import Classifier

COMPACT = "Keep the most related classes: `top_k=32`, which takes {compact:.2f} GiB."
OF_CLASSIFIER = ("kernel", "features", "predictions")


@dataclasses.dataclass(frozen=True)
class Relations:
    """Class vectors `[D, K]`, with their diagnosis, or a finished similarity `[K, K]`.

    `class_names` are those that a file has told.
    """

    config: RelationConfig
    sha256: str
    vectors: Any = None
    table: Any = None
    diagnosis: Diagnosis | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def num_classes(self) -> int:
        """K."""
        return (self.table if self.vectors is None else self.vectors).shape[1]

    @functools.cached_property
    def similarity(self) -> Float[Array, "classes classes"]:
        """The whole of it, which not every number of classes has room for."""
        if self.vectors is None:
            return jnp.asarray(self.table)
        return cosine_similarity(self.vectors, center=self.config.center)

    def neighbours(self, labels: LabelTable, count: int) -> Neighbours:
        """The classes most related to another, from what the labels were made of."""
        if not isinstance(labels, TopKLabels):
            return neighbours.of_similarity(self.similarity, count)
        center = self.config.center
        if labels.indices.shape[1] == 1:  # it keeps no other class
            labels = top_k_labels(self.vectors, 2, center=center)
        return neighbours.of_top_k(self.vectors, labels, center, count)

    def labels(self) -> LabelTable:
        """Relation labels, of many classes with `top_k` in the form that keeps nothing else."""
        options = dataclasses.asdict(self.config)
        rule, center, _ = (options.pop(key) for key in ("rule", "center", "similarity"))
        top_k = options["top_k"]
        if self.vectors is None or top_k is None or self.num_classes < arms.MANY_CLASSES:
            return relation_labels(self.similarity, rule, **options)
        return top_k_labels(self.vectors, options.pop("top_k"), rule, center=center, **options)


def of_vectors(
    vectors: Any, config: RelationConfig, class_names: tuple[str, ...] | None = None
) -> Relations:
    """The cosines of class vectors `[D, K]`, as of a kernel."""
    refuse_relation(config, vectors.shape[1])
    if config.top_k is None:
        refuse_dense_table("relation labels", vectors.shape[1], advice=COMPACT)
    diagnosis = diagnose(vectors, center=config.center, temperature=config.temperature)
    return Relations(config, array_sha256(vectors), vectors, None, diagnosis, class_names)


def find_relations(classifier: Classifier, config: RelationConfig) -> Relations:
    """What `similarity` asks of a trained classifier, or of a file."""
    if config.similarity not in OF_CLASSIFIER:
        return of_file(config)
    vectors = {
        "kernel": lambda: head_kernel(classifier.params),
        "features": classifier.mean_features,
        "predictions": classifier.mean_predictions,
    }
    return of_vectors(vectors[config.similarity](), config)


def of_file(config: RelationConfig) -> Relations:
    """What a `similarity` of `vectors:FILE` or `table:FILE` holds."""
    if config.similarity.startswith("vectors:"):
        vectors, names = read_class_vectors(config.similarity)
        try:
            return of_vectors(vectors, config, names)
        except InputError as error:
            raise error.under(f"`similarity={config.similarity}`") from error
    if not config.similarity.startswith("table:"):
        raise InputError(
            "`similarity`",
            f"be {', '.join(OF_CLASSIFIER)}, vectors:FILE or table:FILE",
            f"{config.similarity!r}",
            "The patent's own is kernel.",
        )
    if config.center:
        raise InputError(
            "`center`",
            "be given with class vectors",
            f"`similarity={config.similarity}`, which is finished",
            "Leave it out.",
        )
    similarity, names = read_similarity(config.similarity)
    refuse_relation(config, len(similarity))
    return Relations(config, array_sha256(similarity), table=similarity, class_names=names)


def file_identity(config: RelationConfig, class_names: tuple[str, ...]) -> dict[str, str]:
    """What says that a similarity's file is still the same; refused if not of these classes."""
    if config.similarity in OF_CLASSIFIER:
        return {}
    relations = of_file(config)
    names = relations.class_names or class_names
    start = f" that start with {names[:3]}" if relations.class_names else ""
    if relations.num_classes != len(class_names) or names != class_names:
        raise InputError(
            f"`similarity={config.similarity}`",
            f"be of the {len(class_names)} classes of the data in their order",
            f"{relations.num_classes}{start}",
            "See: simsmooth data NAME",
        )
    return {"similarity_sha256": relations.sha256}


def refuse_relation(config: RelationConfig, num_classes: int) -> None:
    """Refuses options of the relation labels out of range."""
    values = dataclasses.asdict(config)
    values = {key: values[key] for key in values if key not in ("similarity", "center")}
    rules.refuse_options("relation labels", num_classes, **values)
    if config.rule == "literal" and config.center:
        raise InputError(
            "`center`",
            "not be given with `rule=literal`",
            "both",
            "Centred columns sum to 0, so that some cosine is negative: use `rule=clip`.",
        )
