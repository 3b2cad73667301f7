"""Frozen features of CIFAR-100 under a small MLP: images per class x wrong labels x arms x seeds.

Command:  python experiments/features.py --data PATH/cifar100_features.npz [CELL ...]
          A cell is IMAGES-NOISE, as 20-0; all nine are done if none is named. `--shard 1/2` and
          `--shard 2/2` share the work; what was done before is kept.
Time:     2 s a training on a free core: 20 to 30 minutes a cell, 2 hours for all arms at 20-0.
Seeds:    3 to choose by (10000 to 10002), then 20 (40 at 20-0) paired ones; the test images are
          looked at once.
Writes:   experiments/results/features/CELL.jsonl, a row for each training.

The features are those of a frozen EfficientNet-Lite0, 256 a picture; 45,000 pictures to draw from,
5,000 to choose by, 10,000 to test on. Every size is trained for about 1,250 steps of 64.
"""

import argparse
import dataclasses
import pathlib

from simsmooth_jax.config.data import DataConfig
from simsmooth_jax.config.study import StudyConfig
from simsmooth_jax.config.training import ModelConfig, OptimizerConfig, TrainingConfig
from simsmooth_jax.program.cli import enable_compilation_cache
from simsmooth_jax.program.study_command import study
from simsmooth_jax.study.comparison.entrants import ENTRANTS

STEPS, BATCH, CLASSES = 1250, 64, 100
CELLS = {
    f"{images}-{round(100 * noise)}": (images, noise)
    for images in (5, 20, 100)
    for noise in (0.0, 0.2, 0.4)
}
CENTRE = "20-0"
MAIN = ("onehot", "uniform", "patent", "neighbours", "neighbours-shuffled", "predictions")
MAIN += ("predictions-shuffled", "self-distillation")
# Named before any of the test images was looked at.
CONTRASTS = ("uniform:onehot", "predictions:uniform", "neighbours:uniform", "patent:uniform")
CONTRASTS += ("neighbours:neighbours-shuffled", "predictions:predictions-shuffled")
RESULTS = pathlib.Path(__file__).parent / "results" / "features"


def place_of(cell: str) -> pathlib.Path:
    """Where a study works, and goes on."""
    return pathlib.Path("runs/features") / cell


def config_of(cell: str, data: str, arms: tuple[str, ...], seeds: int) -> StudyConfig:
    """The study of a cell."""
    images, noise = CELLS[cell]
    steps = images * CLASSES // BATCH
    training = TrainingConfig(
        DataConfig(f"npz:{data}"),
        model=ModelConfig("mlp", width=256, depth=2),
        optimizer=OptimizerConfig(epochs=round(STEPS / steps), batch_size=BATCH),
        steps_per_dispatch=steps if steps < 100 else steps // 3,
    )
    return StudyConfig(
        training,
        arms,
        seeds=seeds,
        points=12,
        tuning_seeds=3,
        images_per_class=images,
        label_noise=noise,
        contrasts=CONTRASTS,
        out=place_of(cell),
    )


def main() -> None:
    """Runs the cells that are named, and keeps their rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("cells", nargs="*", default=list(CELLS), metavar="CELL")
    parser.add_argument("--data", required=True, help="cifar100_features.npz")
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--all-arms", action="store_true", help="every arm, not the main eight")
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    enable_compilation_cache()
    arms = tuple(entrant.name for entrant in ENTRANTS) if options.all_arms else MAIN
    for cell in options.cells:
        config = config_of(cell, options.data, arms, options.seeds)
        _restore(cell)
        study(dataclasses.replace(config, shard=options.shard))
        _keep(cell)


def _restore(cell: str) -> None:
    """Puts rows that were committed where the study finds them."""
    kept, place = RESULTS / f"{cell}.jsonl", place_of(cell) / "rows-0-of-0.jsonl"
    if kept.exists() and not [*place.parent.glob("rows-*.jsonl")]:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(kept.read_text())


def _keep(cell: str) -> None:
    """One file of all rows, in a fixed order."""
    lines = {line for file in place_of(cell).glob("rows-*.jsonl") for line in file.open()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{cell}.jsonl").write_text("".join(sorted(lines)))


if __name__ == "__main__":
    main()
