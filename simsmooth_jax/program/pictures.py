"""Pictures of a run: similarity in dendrogram order, reliability diagrams, training curves."""

import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.cluster import hierarchy
from scipy.spatial import distance

from simsmooth_jax.errors import escaped
from simsmooth_jax.machine.files.disks import make_directory
from simsmooth_jax.machine.files.writing import write_atomically
from simsmooth_jax.study.arms import ARM, ARMS

TITLES = {
    "kernel": "Cosine similarity of the classes' weight vectors",
    "features": "Cosine similarity of the classes' mean features",
    "predictions": "Cosine similarity of the classes' mean predictions",
}
DIVERGING, SEQUENTIAL = "RdBu_r", "YlOrRd"  # around 0, and where no similarity is negative
DIAGONAL = "#3b3b3b"
ERROR_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
MAX_NAMES = 60  # more class names than this cannot be read
MAX_LETTERS = 18  # of a name
AS_WRITTEN: Any = {"text.parse_math": False}  # a class may be called $x$
LEAST_RANGE = 1e-3  # of the colours
DRAWN_BY = "simsmooth_jax"  # noted in each picture
SAMPLE_PIXELS = 64  # the longer side of a sample in the sheet, at most
SAMPLE_INCHES = 0.62  # the same on paper


@matplotlib.rc_context(AS_WRITTEN)
def draw_similarity(
    similarity: Float[np.ndarray, "classes classes"],
    class_names: tuple[str, ...],
    path: Path,
    source: str = "kernel",
) -> None:
    """The cosines as a heat map, similar classes side by side, with the dendrogram that says so."""
    tree, order = dendrogram_order(similarity)
    figure = Figure(figsize=(7.0, 7.2), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(hspace=0, h_pad=0.04)
    top, map_axes = figure.subplots(2, 1, height_ratios=(1, 5))
    hierarchy.dendrogram(
        tree, ax=top, no_labels=True, color_threshold=0, above_threshold_color="#777777"
    )
    heights = tree[:, 2]
    top.set_ylim(heights.min() - 0.5 * (np.ptp(heights) + 0.01), heights.max() + 0.005)
    top.set_axis_off()
    top.set_title(TITLES.get(source, f"Similarity of the classes ({_short(source)})"), fontsize=12)

    ordered = similarity[np.ix_(order, order)]
    off_diagonal = ordered[~np.eye(len(ordered), dtype=bool)]
    low, high = colour_ends(off_diagonal)
    shown = np.where(np.eye(len(ordered), dtype=bool), np.nan, ordered)
    map_axes.set_facecolor(DIAGONAL)  # the diagonal is 1 by definition: it would flatten the rest
    image = map_axes.imshow(shown, cmap=_colours(low), vmin=low, vmax=high)
    if len(order) <= MAX_NAMES:
        names = [_short(class_names[i]) for i in order]
        size = 10 if len(order) <= 20 else 6
        map_axes.set_xticks(range(len(order)), names, rotation=90 if _long(names) else 0, size=size)
        map_axes.set_yticks(range(len(order)), names, size=size)
    else:
        map_axes.set_xticks([])
        map_axes.set_yticks([])
    if len(order) <= 12:
        neutral = low if low >= 0 else 0
        for i, j in np.argwhere(~np.isnan(shown)):
            strong = abs(shown[i, j] - neutral) > 0.6 * (high - neutral)
            colour = "white" if strong else "#222222"
            text = f"{shown[i, j]:+.2f}".replace("-", "−")
            map_axes.text(j, i, text, ha="center", va="center", size=7.5, color=colour)
    map_axes.tick_params(length=0)
    figure.colorbar(image, ax=[top, map_axes], shrink=0.6, label="cosine (own class left out)")
    _save(figure, path)


def colour_ends(off_diagonal: Float[np.ndarray, " pairs"]) -> tuple[float, float]:
    """The ends of the colours: as far on both sides of 0, or of what is there if none is below."""
    low, high = float(off_diagonal.min()), float(off_diagonal.max())
    if low < 0:
        high = max(-low, high)
        low = -high
    return low, max(high, low + LEAST_RANGE)


def _colours(low: float) -> str:
    return DIVERGING if low < 0 else SEQUENTIAL


def dendrogram_order(
    similarity: Float[np.ndarray, "classes classes"],
) -> tuple[np.ndarray, list[int]]:
    """SciPy's tree of average linkage, and its leaves with the most similar ones as neighbours."""
    gaps = distance.squareform(np.clip(1 - similarity.astype(np.float64), 0, None), checks=False)
    tree = hierarchy.linkage(gaps, method="average", optimal_ordering=True)
    return tree, hierarchy.leaves_list(tree).tolist()


def draw_reliability(arms: dict[str, dict[str, Any]], path: Path) -> None:
    """Accuracy against confidence in each bin, one panel for each arm, by its name."""
    figure = Figure(figsize=(3.3 * len(arms), 3.8), layout="constrained")
    panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
    for axes, (name, metrics) in zip(panels, arms.items(), strict=True):
        arm = ARM[name]
        bins = {name: np.asarray(values, float) for name, values in metrics["bins"].items()}
        used = bins["count"] > 0
        accuracy = bins["correct_sum"][used] / bins["count"][used]
        confidence = bins["confidence_sum"][used] / bins["count"][used]
        edges = np.arange(len(used)) / len(used)
        axes.bar(
            edges[used], accuracy, 1 / len(used), align="edge", color=arm.colour, alpha=0.35, lw=0
        )
        axes.plot([0, 1], [0, 1], color="#999999", lw=1, ls="--", zorder=1)
        area = 12 + 200 * bins["count"][used] / bins["count"].sum()
        axes.scatter(confidence, accuracy, s=area, color=arm.colour, zorder=3)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", aspect="equal")
        axes.set_title(f"{arm.title}\nECE {metrics['ece']:.1%}", fontsize=10)
        _plain(axes)
    panels[0].set_ylabel("accuracy (area of a dot: share of the images)")
    _save(figure, path)


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Training loss and validation accuracy of every arm against the step."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    for arm in ARMS:
        own = [row for row in rows if row["arm"] == arm.name]
        losses = [(row["step"], row["loss"]) for row in own if "loss" in row]
        validated = [row for row in own if "validation_accuracy" in row]
        if not losses or not validated:
            continue
        steps, values = np.array(losses).T
        loss_axes.plot(steps, values, color=arm.colour, lw=0.6, alpha=0.3)
        loss_axes.plot(steps, _smooth(values), color=arm.colour, lw=1.6, label=arm.title)
        steps = [row["step"] for row in validated]
        errors = [100 * (1 - row["validation_accuracy"]) for row in validated]
        accuracy_axes.plot(steps, np.maximum(errors, 0.1), color=arm.colour, lw=1.6)
    loss_axes.set(xlabel="step", ylabel="training loss (each arm against its own labels)")
    accuracy_axes.set(xlabel="step", ylabel="validation error, %", yscale="log")
    ticks = [
        value for value in ERROR_TICKS if np.prod(np.array(accuracy_axes.get_ylim()) - value) < 0
    ]
    accuracy_axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    accuracy_axes.set_yticks([], minor=True)
    loss_axes.legend(frameon=False, fontsize=9)
    for axes in (loss_axes, accuracy_axes):
        _plain(axes)
    _save(figure, path)


@matplotlib.rc_context(AS_WRITTEN)
def draw_samples(rows: Mapping[str, Iterable[np.ndarray]], path: Path) -> None:
    """Images uint8 `[height, width, channels]` of one shape, one row a class.

    Each is shrunk before the next one is asked for, so that photos need not fit into memory.
    """
    names = list(map(_short, rows))
    shrunk = [[_shrink(image) for image in images] for images in rows.values()]
    columns = max(map(len, shrunk))
    height, width, channels = shrunk[0][0].shape
    side = max(height, width)
    gap = max(1, width // 20)
    cell = max(height + gap, side // 3), width + gap  # a name fits beside a row that is low
    sheet = np.full((len(rows) * cell[0] - gap, columns * cell[1] - gap, channels), 255, np.uint8)
    for row, images in enumerate(shrunk):
        for column, image in enumerate(images):
            top, left = row * cell[0], column * cell[1]
            sheet[top : top + height, left : left + width] = image
    scale = SAMPLE_INCHES / side
    margin = 0.2 + 0.095 * max(map(len, names))
    size = (margin + scale * sheet.shape[1], 0.1 + scale * sheet.shape[0])
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_yticks(np.arange(len(rows)) * cell[0] + height / 2, names, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _save(figure, path, dpi=max(100, 2 * side / SAMPLE_INCHES))  # at most 206: the side is bounded


def is_drawn_here(path: Path) -> bool:
    """Whether a file is a picture of this program, by what it notes near its beginning."""
    with path.open("rb") as file:
        return DRAWN_BY.encode() in file.read(200)


def _shrink(image: np.ndarray) -> np.ndarray:
    """An image of at most 64 pixels a side; a smaller one is left as it is."""
    if max(image.shape[:2]) <= SAMPLE_PIXELS:
        return image
    small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small.thumbnail((SAMPLE_PIXELS, SAMPLE_PIXELS))
    return np.asarray(small).reshape(small.height, small.width, image.shape[-1])


def _smooth(values: np.ndarray, window: int = 9) -> np.ndarray:
    window = min(window, len(values))
    padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, np.ones(window) / window, mode="valid")


def _short(name: str) -> str:
    name = escaped(name)
    return name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}…"


def _long(names: list[str]) -> bool:
    return len(names) > 12 or max(map(len, names)) > 3


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: Path, dpi: float = 100) -> None:
    make_directory(path.parent)
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # class names of any script
    figure.set_dpi(dpi)
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": DRAWN_BY})
    write_atomically(path, content.getvalue())
