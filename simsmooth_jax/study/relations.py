"""Where the similarity of the classes comes from: a kernel, features, predictions or a file."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from simsmooth_jax.config.labels import OF_CLASSIFIER, USUAL_EPSILON, RelationConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import array_sha256
from simsmooth_jax.formats.similarity_files import read_class_vectors, read_similarity
from simsmooth_jax.formats.stores import class_names
from simsmooth_jax.machine.memory import refuse_dense_table
from simsmooth_jax.method.heads.head_kernel import head_kernel
from simsmooth_jax.method.labels.dense_labels import relation_labels
from simsmooth_jax.method.labels.top_k_labels import top_k_labels
from simsmooth_jax.method.relations import rule_options
from simsmooth_jax.method.relations.diagnosis import Diagnosis, diagnose
from simsmooth_jax.method.relations.similarity import cosine_similarity
from simsmooth_jax.method.tables.forms import LabelTable, as_table
from simsmooth_jax.method.tables.top_k import TopKLabels
from simsmooth_jax.study import arms, neighbours
from simsmooth_jax.study.empty_classes import Kept, kept_classes
from simsmooth_jax.study.neighbours import Neighbours
from simsmooth_jax.training.classifier import Classifier

NO_LABEL_OPTIONS = ("similarity", "center", "empty_classes")  # what the labels are made of
COMPACT = "Keep the most related classes: `top_k=32`, which takes {compact:.2f} GiB."


@dataclasses.dataclass(frozen=True)
class Relations:
    """Class vectors `[D, k]`, with their diagnosis, or a finished similarity `[k, k]`.

    They are of the kept classes, all K or those that have training images. `class_names` are those
    that a file has told.
    """

    config: RelationConfig
    sha256: str
    kept: Kept
    vectors: Any = None
    table: Any = None
    diagnosis: Diagnosis | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def num_classes(self) -> int:
        """K."""
        return self.kept.num_classes

    @property
    def similarity(self) -> Float[Array, "classes classes"]:
        """The whole of it, which not every number of classes has room for."""
        return as_table(self.kept.among_all(self._of_kept)).to_dense()

    def neighbours(self, count: int) -> Neighbours:
        """The classes most related to another, from what the labels were made of."""
        labels, center = self._labels_of_kept, self.config.center
        if not isinstance(labels, TopKLabels):
            return self.kept.shown(neighbours.of_similarity(self._of_kept, count))
        if labels.indices.shape[1] == 1:  # it keeps no other class
            labels = top_k_labels(self.vectors, 2, center=center)
        return self.kept.shown(neighbours.of_top_k(self.vectors, labels, center, count))

    def labels(self) -> LabelTable:
        """Relation labels, of many classes with `top_k` in the form that keeps nothing else."""
        return self.kept.among_all(self._labels_of_kept)

    @functools.cached_property
    def _labels_of_kept(self) -> LabelTable:
        options = dataclasses.asdict(self.config)
        rule, center = options.pop("rule"), options.pop("center")
        del options["similarity"], options["empty_classes"]
        if rule == "mean":
            return self._mean_rows(**options)
        top_k = options["top_k"]
        if self.vectors is None or top_k is None or self.num_classes < arms.MANY_CLASSES:
            return relation_labels(self._of_kept, rule, **options)
        del options["top_k"]
        return top_k_labels(self.vectors, top_k, rule, center=center, **options)

    def _mean_rows(
        self, epsilon: float, top_k: int | None, include_self: bool, **_: Any
    ) -> LabelTable:
        """Mean predictions of the kept classes are relation rows, but for their sums."""
        options: dict[str, Any] = {"epsilon": epsilon, "top_k": top_k}
        try:
            rows = self.vectors[self.kept.places].T
            return relation_labels(rows, "literal", include_self=include_self, **options)
        except InputError as error:
            if "largest at its own class" not in error.must:
                raise error.under("`rule=mean`") from error
            must = "leave each class on top of its own label"
            got, then = f"{epsilon} and so {error.got}", f"Try {USUAL_EPSILON}."
            raise InputError("`epsilon`", must, got, then) from error

    @functools.cached_property
    def _of_kept(self) -> Float[Array, "kept kept"]:
        if self.vectors is None:
            return jnp.asarray(self.table)
        return cosine_similarity(self.vectors, center=self.config.center)


def of_vectors(
    vectors: Any,
    config: RelationConfig,
    kept: Kept | None = None,
    names: tuple[str, ...] | None = None,
) -> Relations:
    """The cosines of class vectors `[D, K]`, as of a kernel, of all classes or the kept ones."""
    kept = kept or Kept.all_of(vectors.shape[1])
    refuse_relation(config, len(kept.places))
    if config.top_k is None:
        refuse_dense_table("relation labels", vectors.shape[1], advice=COMPACT)
    columns = kept.columns(vectors)
    sharpness = {"temperature": config.temperature} if config.rule == "softmax" else {}
    sharpness |= {"perplexity": config.perplexity}
    diagnosis = None  # of rows that are predictions: it is about cosines
    if config.rule != "mean":
        diagnosis = diagnose(columns, center=config.center, **sharpness)
    return Relations(config, array_sha256(vectors), kept, columns, None, diagnosis, names)


def find_relations(classifier: Classifier, config: RelationConfig) -> Relations:
    """What `similarity` asks of a trained classifier, or of a file."""
    dataset, counts = classifier.dataset, classifier.dataset.train_counts()
    vectors = None  # of a file
    if config.similarity == "kernel":
        vectors = head_kernel(classifier.params)
    elif config.similarity == "features":
        vectors, counts = classifier.mean_features()
    elif config.similarity == "predictions":
        temperature = config.temperature if config.rule == "mean" else None
        vectors, counts = classifier.mean_predictions(temperature or 1.0)
    kept = kept_classes(config, counts, dataset.class_names, f"data {dataset.name}")
    with class_names.called_by_name(dataset.class_names, kept.places):
        return of_file(config, kept) if vectors is None else of_vectors(vectors, config, kept)


def of_file(config: RelationConfig, kept: Kept | None = None) -> Relations:
    """What a `similarity` of `vectors:FILE` or `table:FILE` holds."""
    if config.source.startswith("vectors:"):
        vectors, names = read_class_vectors(config.source)
        try:
            with class_names.called_by_name(names or ()):
                return of_vectors(vectors, config, kept, names)
        except InputError as error:
            raise error.under(f"`similarity={config.similarity}`") from error
    if not config.source.startswith("table:"):
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
    similarity, names = read_similarity(config.source)
    kept, sha256 = kept or Kept.all_of(len(similarity)), array_sha256(similarity)
    refuse_relation(config, len(kept.places))
    return Relations(config, sha256, kept, table=kept.square(similarity), class_names=names)


def file_identity(config: RelationConfig, names: tuple[str, ...]) -> dict[str, str]:
    """What says that a similarity's file is still the same; refused if not of these classes."""
    if config.similarity in OF_CLASSIFIER:
        return {}
    relations = of_file(config)
    found = relations.class_names or names
    start = f" that start with {found[:3]}" if relations.class_names else ""
    if relations.num_classes != len(names) or found != names:
        raise InputError(
            f"`similarity={config.similarity}`",
            f"be of the {len(names)} classes of the data in their order",
            f"{relations.num_classes}{start}",
            "See: simsmooth data NAME",
        )
    return {"similarity_sha256": relations.sha256}


def refuse_dataset(config: RelationConfig, dataset: Dataset) -> None:
    """Refuses, before anything is trained, what the classes of the data make impossible."""
    counts, names = dataset.train_counts(), dataset.class_names
    if counts is None and config.similarity in ("features", "predictions"):
        counts = np.ones(len(names))  # their images are counted when they are averaged
    kept = kept_classes(config, counts, names, f"data {dataset.name}")
    refuse_relation(config, len(kept.places))


def refuse_relation(config: RelationConfig, num_classes: int) -> None:
    """Refuses options of the relation labels out of range."""
    values = dataclasses.asdict(config)
    values = {key: values[key] for key in values if key not in NO_LABEL_OPTIONS}
    if (config.temperature is not None) != (config.rule in ("softmax", "mean")):
        raise InputError(
            "`temperature`",
            "be given with `rule=softmax`, may be with `rule=mean`, and not with others",
            f"temperature={config.temperature} with rule {config.rule!r}",
            "Set both, as softmax with 0.2 for 10 classes or 0.1 for 100, or neither.",
        )
    kept = config.top_k or num_classes  # of which the others share what the own class leaves
    most, epsilon = (kept - 1) / kept, config.epsilon or 0.0
    if 0 < most <= epsilon and (config.rule == "neighbours" or not config.include_self):
        must = f"be below {most:.3g} where the relation row has no own class"
        raise InputError("`epsilon`", must, epsilon, f"Try {USUAL_EPSILON}.")
    if (config.perplexity is not None) != (config.rule == "neighbours"):
        got = f"perplexity={config.perplexity} with rule {config.rule!r}"
        must = "be given with `rule=neighbours` and with no other"
        raise InputError("`perplexity`", must, got, "Set both, as 20, or neither.")
    if config.rule == "mean":
        values |= {"rule": "literal", "temperature": None}  # which is what makes its rows
        if config.center:
            must = "be given with a rule of cosines"
            raise InputError("`center`", must, "rule 'mean'", "Choose another `rule`, as clip.")
        if config.similarity != "predictions":
            must, then = "be predictions with `rule=mean`", "Choose another `rule`, as clip."
            raise InputError("`similarity`", must, config.similarity, then)
    try:
        rule_options.checked_options("relation labels", num_classes, **values)
    except InputError as error:
        name = error.who.rpartition(": ")[2]  # an option of the program
        raise InputError(f"`{name}`", error.must, error.got, error.then) from error
    if config.rule == "literal" and config.center:
        raise InputError(
            "`center`",
            "not be given with `rule=literal`",
            "both",
            "Centred columns sum to 0, so that some cosine is negative: use `rule=clip`.",
        )
