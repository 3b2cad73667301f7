"""`simsmooth labels`: a classifier, or a file that says what is similar -> a table of labels."""

import dataclasses

from simsmooth_jax.config.commands import LabelsConfig
from simsmooth_jax.config.labels import OF_CLASSIFIER
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.head import find_head, read_head
from simsmooth_jax.formats.label_files import SUFFIXES
from simsmooth_jax.formats.stores import class_names
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.machine.bars import transient_bar
from simsmooth_jax.machine.files.writing import refuse_output
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.program import report
from simsmooth_jax.study import empty_classes, pipeline, relations
from simsmooth_jax.study.relations import Relations
from simsmooth_jax.training.classifier import Classifier

USED_BY = dict.fromkeys(("head", "num_classes", "layout"), ("kernel",))
USED_BY |= dict.fromkeys(("data", "data_dir", "model"), ("features", "predictions"))


def make_label_file(config: LabelsConfig) -> None:
    """Checks everything, writes the table, and shows what it is made from."""
    if config.out.suffix not in SUFFIXES:
        raise InputError(
            "--out",
            f"end with {' or '.join(SUFFIXES)}",
            config.out,
            "Choose the one that your program reads.",
        )
    refuse_output(config.out)
    config = dataclasses.replace(config, relation=config.relation.resolved())
    try:
        with transient_bar() as bar:
            with pipeline.watched(bar, "comparing the classes"):
                found, names = _relations(config)
            with pipeline.watched(bar, "making the labels"):
                table = pipeline.make_labels(found, names)
    except pipeline.IllPosedError as error:
        if error.diagnosis is not None:
            print(error.diagnosis)
        raise
    table.save(config.out)
    if found.diagnosis is not None:
        print(found.diagnosis)
    shown = found.neighbours(report.MAX_CLASSES)
    report.console().print(report.nearest_table(shown, names))
    if hard := report.hard_classes(table.parameters):
        tell(hard)
    tell(f"labels: {config.out}")


def _relations(config: LabelsConfig) -> tuple[Relations, tuple[str, ...]]:
    """What the labels are made from, and the names of the classes."""
    similarity, checkpoint = config.relation.source, config.checkpoint
    for option, kinds in USED_BY.items():
        value = getattr(config, option)
        if value is not None and similarity not in kinds:
            raise InputError(
                f"`{option}`",
                f"be given with --similarity {' or '.join(kinds)}",
                f"{value} with {similarity}",
                "Leave it out.",
            )
    if similarity not in OF_CLASSIFIER:
        found = relations.of_file(config.relation)
        if checkpoint is not None:
            raise InputError(
                "CHECKPOINT",
                f"not be given with --similarity {similarity}",
                checkpoint,
                "Leave one of them out.",
            )
        metadata = {"class_names": found.class_names and list(found.class_names)}
        names = class_names.of_head(metadata, found.num_classes, config.class_names)
        empty_classes.kept_classes(config.relation, None, names, similarity)
        return found, names
    if checkpoint is None:
        raise InputError(
            "CHECKPOINT",
            f"be given with --similarity {similarity}",
            "none",
            "A run's classifiers are in its first, uniform and second.",
        )
    if similarity == "kernel":
        stored = open_stored(checkpoint)
        given = config.class_names and class_names.count(config.class_names)
        place = find_head(stored, config.head, config.num_classes, config.layout, given)
        head = read_head(stored, place)
        because = f", {place.because}" if place.because else ""
        tell(f"kernel: {head.path} of {stored.path} ({stored.format}){because}")
        num_classes = head.kernel.shape[1]
        names = class_names.of_head(stored.metadata, num_classes, config.class_names)
        counts = empty_classes.counts_of_checkpoint(stored.metadata, num_classes)
        where = f"checkpoint {stored.path}"
        kept = empty_classes.kept_classes(config.relation, counts, names, where)
        with class_names.called_by_name(names, kept.places):
            return relations.of_vectors(head.kernel, config.relation, kept), names
    classifier = Classifier.restore(checkpoint, config.data, config.data_dir, config.model)
    metadata = {"class_names": list(classifier.dataset.class_names)}
    found = relations.find_relations(classifier, config.relation)
    return found, class_names.of_head(metadata, found.num_classes, config.class_names)
