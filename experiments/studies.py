"""The studies behind what the README says: frozen features, small networks from scratch, easy sets.

Command:  python experiments/studies.py NAME ... --features features.npz --cifar cifar100.npz
              --fashion fashion.npz
          `--list` shows the names. `--shard 1/2` and `--shard 2/2`, in two processes, share the
          work; stop it and start it again: what was done before is kept.
Time:     on two cores, in two processes: a cell of features (IMAGES-NOISE, 448 trainings) 10 to 12
          minutes, digits 8, fashion 17, network about 120, its undecayed 30, every-arm 37.
Seeds:    some to choose by, from 10000 on, then paired ones from 0 on; the test images are looked
          at once.
Writes:   experiments/results/NAME.jsonl, a row for each training.

features: a frozen EfficientNet-Lite0's view of CIFAR-100, 256 numbers a picture, under an MLP;
about 1,250 steps of 64 whatever the size. every-arm: all arms at 20 images a class. network: a
ResNet-8 from scratch, on 16x16 pictures of CIFAR-100; network-undecayed: the same without weight
decay. resnet18: for a GPU, the whole set at 32x32 for 30 epochs; not done yet. The pictures to
choose by are a fixed tenth of the training pictures.
"""

import argparse
import dataclasses
import pathlib

from simsmooth_jax.config.data import DataConfig, SourceConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import (
    AugmentationConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from simsmooth_jax.program.cli import enable_compilation_cache
from simsmooth_jax.program.commands.study_command import study
from simsmooth_jax.study.comparison.entrants import ENTRANTS

STEPS, BATCH, CLASSES = 1250, 64, 100
MAIN = ("onehot", "uniform", "patent", "neighbours", "neighbours-shuffled", "predictions")
MAIN += ("predictions-shuffled", "self-distillation")
FEW = ("onehot", "uniform", "predictions", "predictions-shuffled")
# Named before any of the test images was looked at.
CONTRASTS = ("uniform:onehot", "predictions:uniform", "neighbours:uniform", "patent:uniform")
CONTRASTS += ("neighbours:neighbours-shuffled", "predictions:predictions-shuffled")
FEW_CONTRASTS = ("uniform:onehot", "predictions:uniform", "predictions:predictions-shuffled")
# Of NLL at T of the network, asked when seeds 0 to 9 had been looked at: of later seeds alone.
LATER_SEEDS, LATER = 10, ("uniform", "onehot", "predictions-shuffled")  # predictions against each
FEATURES, CIFAR, FASHION = (
    "FEATURES",
    "CIFAR",
    "FASHION",
)  # where the data lie, which the command says
RESULTS, WORK = pathlib.Path(__file__).parent / "results", pathlib.Path("runs/studies")


def of_features(images: int, noise: float) -> StudyConfig:
    """A cell of the main study."""
    steps = images * CLASSES // BATCH
    training = TrainingConfig(
        DataConfig(FEATURES),
        model=ModelConfig("mlp", width=256, depth=2),
        optimizer=OptimizerConfig(epochs=round(STEPS / steps), batch_size=BATCH),
        steps_per_dispatch=steps if steps < 100 else steps // 3,
    )
    points = 36 if (images, noise) == (20, 0.0) else 12  # the centre, tuned more closely
    config = StudyConfig(training, MAIN, seeds=20, points=points, tuning_seeds=3)
    drawn = {"images_per_class": images, "label_noise": noise}
    return dataclasses.replace(config, contrasts=CONTRASTS, **drawn)


def of_every_arm() -> StudyConfig:
    """All that `simsmooth study` compares, at the centre."""
    config = of_features(20, 0.0)
    arms = tuple(entrant.name for entrant in ENTRANTS)
    return dataclasses.replace(config, arms=arms, seeds=40, points=12)


def of_network(weight_decay: float | None = None) -> StudyConfig:
    """A ResNet of eight layers on small pictures; of one weight decay, or tuned."""
    optimizer = OptimizerConfig(epochs=30, learning_rate=0.1)
    if weight_decay is not None:
        optimizer = dataclasses.replace(optimizer, weight_decay=weight_decay)
    training = TrainingConfig(
        DataConfig(CIFAR, SourceConfig(image_size="16")),
        model=ModelConfig("resnet", width=16, depth=8),
        optimizer=optimizer,
        augmentation=AugmentationConfig(crop=2, flip=True),
    )
    config = StudyConfig(training, FEW, tuning_seeds=1, contrasts=FEW_CONTRASTS)
    tuned = weight_decay is None
    sizes = {"seeds": 30 if tuned else 5, "points": 8 if tuned else 6, "images_per_class": 50}
    return dataclasses.replace(config, tune_weight_decay=tuned, **sizes)


def of_resnet18() -> StudyConfig:
    """The usual network on the whole set, by a short recipe for one GPU."""
    training = TrainingConfig(
        DataConfig(CIFAR),
        model=ModelConfig("resnet18", dtype="bfloat16"),
        optimizer=OptimizerConfig(epochs=30, batch_size=128, learning_rate=0.1),
        augmentation=AugmentationConfig(crop=4, flip=True),
        steps_per_dispatch=50,
    )
    arms = (*FEW, "self-distillation", "ols", "online", "maxsup")
    config = StudyConfig(training, arms, seeds=10, points=6, tuning_seeds=1)
    return dataclasses.replace(config, contrasts=FEW_CONTRASTS)


def of_easy(data: str, images: int, points: int, tuning_seeds: int) -> StudyConfig:
    """Ten classes, a small CNN, the arms of the main study."""
    source = SourceConfig(image_size="14" if data == FASHION else None)  # halved: 8x8 are digits'
    training = TrainingConfig(DataConfig(data, source), optimizer=OptimizerConfig(epochs=30))
    config = StudyConfig(training, MAIN, seeds=10, points=points, tuning_seeds=tuning_seeds)
    return dataclasses.replace(config, contrasts=CONTRASTS, images_per_class=images)


STUDIES = {
    f"features-{images}-{round(100 * noise)}": of_features(images, noise)
    for images in (20, 100, 5)
    for noise in (0.0, 0.4, 0.2)
}
STUDIES["every-arm"] = of_every_arm()
STUDIES["digits"] = of_easy("digits", 80, 12, 3)  # it has 87 of its rarest class
STUDIES["fashion"] = of_easy(FASHION, 100, 8, 1)
STUDIES["network"], STUDIES["network-undecayed"] = of_network(), of_network(weight_decay=0.0)
STUDIES["resnet18"] = of_resnet18()


def main() -> None:
    """Does the studies that are named, and keeps their rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="show the names")
    parser.add_argument("--features", help="cifar100_features.npz")
    parser.add_argument("--cifar", help="an npz: of the pictures, as docs/data.md describes it")
    parser.add_argument("--fashion", help="the same of Fashion-MNIST")
    parser.add_argument("--shard")
    options = parser.parse_args()
    if options.list:
        print("\n".join(STUDIES))
        return
    enable_compilation_cache()
    files = {FEATURES: options.features, CIFAR: options.cifar, FASHION: options.fashion}
    places = {name: f"npz:{file}" for name, file in files.items()}
    for name in options.names:
        config = at_place(STUDIES[name], places)
        _restore(name)
        study(dataclasses.replace(config, out=WORK / name, shard=options.shard))
        _keep(name)


def at_place(config: StudyConfig, places: dict[str, str]) -> StudyConfig:
    """The study with the file of its data."""
    data = config.training.data
    data = dataclasses.replace(data, data=places.get(data.data, data.data))
    return dataclasses.replace(config, training=dataclasses.replace(config.training, data=data))


def _restore(name: str) -> None:
    """Puts rows that were committed where the study finds them."""
    kept, directory = RESULTS / f"{name}.jsonl", WORK / name
    if kept.exists() and not [*directory.glob("rows-*.jsonl")]:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "rows-0-of-0.jsonl").write_text(kept.read_text())


def _keep(name: str) -> None:
    """One file of all rows, in a fixed order."""
    lines = {line for file in (WORK / name).glob("rows-*.jsonl") for line in file.open()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.jsonl").write_text("".join(sorted(lines)))


if __name__ == "__main__":
    main()
