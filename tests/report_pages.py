"""Pages of made-up relations, of any number of classes."""

import numpy as np

from simsmooth_jax.program.html.explorer import Explorer, explorer
from simsmooth_jax.program.html.page import Page, Said, Table
from simsmooth_jax.study.agreement import stability


def similarities(classes: int, seeds: int = 3) -> list[np.ndarray]:
    """Cosines of vectors around a few centres, which every seed moves a little."""
    random = np.random.default_rng(classes)
    centres = random.normal(size=(64, max(2, classes // 10)))
    base = centres[:, random.integers(centres.shape[1], size=classes)]
    base = base + random.normal(size=base.shape)
    found = []
    for _ in range(seeds):
        vectors = base + 0.5 * random.normal(size=base.shape)
        vectors /= np.linalg.norm(vectors, axis=0)
        found.append(vectors.T @ vectors)
    return found


def relations(
    classes: int, names: tuple[str, ...] = (), seeds: int = 3, positive: bool = False
) -> Explorer:
    """An explorer with all that can be known: superclasses, and what people confuse."""
    names = names or tuple(f"a class of things, number {k}" for k in range(classes))
    given = similarities(classes, seeds)
    found = stability([(3 + one) / 4 for one in given] if positive else given)
    counts = np.random.default_rng(0).poisson(0.3, size=(classes, classes)) + 50 * np.eye(classes)
    tree = np.arange(classes) // 5
    shown = explorer(found, seeds, names, "Cosines", tree, counts.astype(np.int64))
    assert shown is not None
    return shown


def page(shown: Explorer, title: str = "A page") -> Page:
    """A page of these relations, without figures."""
    results = Table(
        "results", "Means.", ("arm", "top-1 %"), [("one-hot labels", "-1.5")], ["#4c6a92"]
    )
    said = [Said("better", "better", "One is better by -2.00 points.")]
    return Page(title, ["Compared."], said, ["A note."], results, [], shown)
