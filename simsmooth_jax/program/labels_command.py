"""`simsmooth labels`: a classifier, or a file that says what is similar -> a table of labels."""

from collections.abc import Mapping
from typing import Any

from simsmooth_jax.config.commands import LabelsConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats import class_names
from simsmooth_jax.formats.head import find_head, read_head
from simsmooth_jax.formats.opening import open_stored
from simsmooth_jax.machine.bars import transient_bar
from simsmooth_jax.machine.files import refuse_output
from simsmooth_jax.program import report
from simsmooth_jax.study import pipeline, relations
from simsmooth_jax.study.relations import Relations
from simsmooth_jax.training.classifier import Classifier

SUFFIXES = (".npz", ".safetensors")
USED_BY = dict.fromkeys(("head", "num_classes", "layout"), ("kernel",))
USED_BY |= dict.fromkeys(("data", "data_dir"), ("features", "predictions"))


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
    try:
        with transient_bar() as bar:
            bar.add_task("comparing the classes", total=None)  # no steps to count
            found, metadata = _relations(config)
            names = class_names.of_head(metadata, found.num_classes, config.class_names)
            table = pipeline.make_labels(found, names)
    except pipeline.IllPosedError as error:
        print(error.diagnosis or "")
        raise
    table.save(config.out)
    if found.diagnosis is not None:
        print(found.diagnosis)
    report.console().print(report.nearest_table(found.first_rows(report.MAX_CLASSES), names))
    print(f"labels: {config.out}")


def _relations(config: LabelsConfig) -> tuple[Relations, Mapping[str, Any]]:
    """What the labels are made from, with what is known besides, as the names of the classes."""
    similarity, checkpoint = config.relation.similarity, config.checkpoint
    for option, kinds in USED_BY.items():
        value = getattr(config, option)
        if value is not None and similarity not in kinds:
            raise InputError(
                f"`{option}`",
                f"be given with --similarity {' or '.join(kinds)}",
                f"{value} with {similarity}",
                "Leave it out.",
            )
    if similarity not in relations.OF_CLASSIFIER:
        found = relations.of_file(config.relation)
        if checkpoint is not None:
            raise InputError(
                "CHECKPOINT",
                f"not be given with --similarity {similarity}",
                checkpoint,
                "Leave one of them out.",
            )
        return found, {"class_names": found.class_names and list(found.class_names)}
    if checkpoint is None:
        raise InputError(
            "CHECKPOINT",
            f"be given with --similarity {similarity}",
            "none",
            "A run's classifiers are in its first, uniform and second.",
        )
    if similarity == "kernel":
        stored = open_stored(checkpoint)
        count = config.class_names and class_names.count(config.class_names)
        found = find_head(stored, config.head, config.num_classes, config.layout, count)
        head = read_head(stored, found)
        because = f", {found.because}" if found.because else ""
        print(f"kernel: {head.path} of {stored.path} ({stored.format}){because}")
        return relations.of_vectors(head.kernel, config.relation), stored.metadata
    classifier = Classifier.restore(checkpoint, config.data, config.data_dir)
    names = list(classifier.dataset.class_names)
    return relations.find_relations(classifier, config.relation), {"class_names": names}
