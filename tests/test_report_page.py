"""report.html as a text: escaped, self-contained, repeatable, with the figures it was given."""

import base64
import csv
import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from report_pages import page, relations, similarities

from simsmooth_jax.errors import escaped
from simsmooth_jax.machine.files.ledger import LEDGER
from simsmooth_jax.program.html.calibration import Measured, reliability, risk_coverage
from simsmooth_jax.program.html.forest import Compared, forest
from simsmooth_jax.program.html.page import Table, render, write_page
from simsmooth_jax.program.html.strengths import Tried, Tuned, strengths
from simsmooth_jax.program.html.svg import Scale, apart, minus
from simsmooth_jax.program.pictures import dendrogram_order
from simsmooth_jax.study.comparison.inference import difference

HOSTILE = ("</script><b>x", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "<!--", "a,b\n\"c'")
NAMES = (*HOSTILE, *(f"kind {k}" for k in range(len(HOSTILE), 12)))


class Elements(html.parser.HTMLParser):
    """What a page consists of, as a browser would see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags[-1:] == ["script"] else self.texts).append(data)


def svg_values(text: str, pattern: str) -> list[float]:
    return [float(value) for value in re.findall(pattern, text)]


def test_class_names_are_texts_and_nothing_else() -> None:
    text = render(page(relations(12, NAMES), title=HOSTILE[0]))
    plain = render(page(relations(12, tuple(f"k{k}" for k in range(12)))))
    assert Elements(text).tags == Elements(plain).tags
    assert {*map(escaped, HOSTILE)} <= {*Elements(text).texts}
    data = text[text.index('id="relations-data">') :].split(">", 1)[1].split("</script>")[0]
    assert sorted(json.loads(data)["names"]) == sorted(map(escaped, NAMES))


def test_nothing_comes_from_outside() -> None:
    text = render(page(relations(12, NAMES)))
    links = Elements(text).links
    assert len(links) > 4
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\((?!#)|@import|https?://", text)


def test_the_same_input_gives_the_same_bytes_in_whole_files(tmp_path: Path) -> None:
    paths = [write_page(page(relations(12, NAMES)), tmp_path) for _ in range(2)]
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "tables", LEDGER}
    first = paths[0].read_bytes()
    assert write_page(page(relations(12, NAMES)), tmp_path).read_bytes() == first
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"results.csv", "nearest.csv"}


@pytest.mark.parametrize("positive", [False, True])
def test_picture_holds_the_mean_similarity_in_dendrogram_order(positive: bool) -> None:
    """By all colours: as far on both sides of 0, or over what is there where none is negative."""
    mean = np.mean(similarities(40), axis=0)
    mean = (3 + mean) / 4 if positive else mean
    order = dendrogram_order(mean)[1]
    shown = relations(40, positive=positive)
    assert list(shown.names) == [f"a class of things, number {k}" for k in order]
    pixels = Image.open(io.BytesIO(base64.b64decode(shown.picture.split(",")[1])))
    assert (pixels.mode, pixels.size) == ("L", (40, 40))
    levels = np.asarray(pixels).astype(float)
    assert (np.diag(levels) == 0).all()
    off = ~np.eye(40, dtype=bool)
    least, greatest = mean[off].min(), mean[off].max()
    most = max(-least, greatest)
    assert (least > 0) == positive
    expected = (least, greatest) if positive else (-most, most)
    np.testing.assert_allclose((shown.low, shown.high), expected, rtol=1e-12)
    np.testing.assert_allclose((shown.data["low"], shown.data["high"]), expected, rtol=1e-12)
    read = shown.low + (shown.high - shown.low) * (levels - 1) / 254
    error = np.abs(read - mean[np.ix_(order, order)])[off]
    assert error.max() <= (shown.high - shown.low) / 508 + 1e-12
    key = re.findall(r"<span>([+−][^<]*)</span>", render(page(shown)))
    assert key == [f"{end:+.2f}".replace("-", "−") for end in expected]


def test_deviation_of_each_pair_is_kept_to_half_a_step() -> None:
    given = np.stack(similarities(40))
    shown = relations(40)
    order = dendrogram_order(given.mean(axis=0))[1]
    deviation = given.std(axis=0, ddof=1)[np.ix_(order, order)]
    picture = Image.open(io.BytesIO(base64.b64decode(shown.data["deviation"].split(",")[1])))
    pairs = np.triu(np.ones((40, 40), bool), 1)
    read = np.asarray(picture)[pairs] * shown.data["most"]
    assert np.abs(read - deviation[pairs]).max() <= shown.data["most"] / 2 + 1e-12
    assert not np.asarray(picture)[~pairs].any()


def test_nearest_are_listed_and_filed() -> None:
    shown = relations(30)
    mean = np.mean(similarities(30), axis=0) - 9 * np.eye(30)
    rows = list(csv.reader(io.StringIO(shown.table.csv())))
    assert rows[0][:3] == ["class", "nearest 1", "cosine 1"]
    assert len(rows) == 31
    for name, *pairs in rows[1:]:
        own = int(name.split()[-1])
        order = np.argsort(-mean[own], kind="stable")[:20]
        assert [int(other.split()[-1]) for other in pairs[::2]] == order.tolist()
        np.testing.assert_allclose(np.array(pairs[1::2], float), mean[own][order], atol=6e-4)


def test_a_table_is_a_file_that_programs_read() -> None:
    table = Table("t", "A caption.", ("name", "x"), [('a,"b"', "-1.5"), ("é\n", "2")])
    assert list(csv.reader(io.StringIO(table.csv()))) == [
        ["name", "x"],
        ['a,"b"', "-1.5"],
        ["é\\n", "2"],  # no terminal acts on a name
    ]
    assert base64.b64decode(table.link.split(",")[1]).decode() == table.csv()


def test_minus_signs_stand_before_numbers_alone() -> None:
    assert minus("-1.5 (-2 to +3), 7.8e-04, one-hot - x") == "−1.5 (−2 to +3), 7.8e-04, one-hot - x"


def test_forest_plot_is_to_scale() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0]), np.zeros(4)
    found = difference("a", "b", *values, margin=0.5)
    one = Compared("a − b", "#123456", found, values[0].tolist(), True)
    figure = forest([one, one._replace(named=False)], 0.5)
    text = str(figure.pictures[0].svg)
    seeds = svg_values(text, r'cx="([\d.]+)"[^>]*class="arm dot faint"')[:4]
    width = (seeds[2] - seeds[0]) / 3  # of a point
    np.testing.assert_allclose(seeds, seeds[0] + width * np.array([0, 1, 3, 2]), atol=0.1)
    mean = svg_values(text, r'cx="([\d.]+)" cy="[\d.]+" r="5.0"')
    np.testing.assert_allclose(mean, [seeds[0] + 1.5 * width] * 2, atol=0.1)
    low = float(re.findall(r'points="([\d.]+),', text)[0])
    np.testing.assert_allclose(low, seeds[0] + width * (found.low - 1), atol=0.1)
    band = svg_values(text, r'<rect x="[\d.]+" y="4" width="([\d.]+)"')
    np.testing.assert_allclose(band, [width], atol=0.2)  # from -0.5 to +0.5
    assert figure.table is not None
    assert figure.table.rows[0][1:4] == ("+2.50", f"{found.low:+.2f}", f"{found.high:+.2f}")
    assert figure.table.head[6] == "p of none beyond 0.5, after Holm"
    assert [row[6] for row in figure.table.rows] == [f"{found.p_equivalent:.3g}", ""]
    assert "two one-sided tests" in figure.words[0]
    assert "Explored afterwards" in text


def measured(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    count = random.integers(1, 50, size=15)
    bins = {
        "count": count.tolist(),
        "confidence_sum": (count * (np.arange(15) + 0.5) / 15).tolist(),
        "correct_sum": random.binomial(count, 0.6).tolist(),
    }
    return {"bins": bins, "bins_at_temperature": bins, "risk": np.linspace(0.1, 0.4, 20).tolist()}


def test_reliability_is_that_of_all_seeds_together() -> None:
    tests = [measured(seed) for seed in range(3)]
    figure = reliability([Measured("an arm", "#123456", tests)])
    count, sure, right = (
        np.sum([test["bins"][key] for test in tests], axis=0)
        for key in ("count", "confidence_sum", "correct_sum")
    )
    error = np.abs(sure - right).sum() / count.sum()
    assert figure.pictures[0].line == f"ECE {error:.1%} → {error:.1%}"
    assert figure.table is not None
    rows = [row for row in figure.table.rows if row[1] == "raw"]
    np.testing.assert_allclose([float(row[3]) for row in rows], count)
    np.testing.assert_allclose([float(row[5]) for row in rows], 100 * right / count, atol=0.01)
    text = str(figure.pictures[0].svg)
    heights = svg_values(text, r'cy="([\d.]+)" r="[\d.]+" class="arm dot "')
    y = Scale(0, 1, 186, 22)
    np.testing.assert_allclose(heights, [y(value) for value in right / count], atol=0.06)


def test_a_report_without_temperatures_shows_what_it_has() -> None:
    old = [{"bins": measured(0)["bins"]}]
    assert (
        "temperatures are not in this report" in reliability([Measured("a", "#111", old)]).words[1]
    )
    assert risk_coverage([Measured("a", "#111", old)]) is None


def test_risk_is_the_mean_over_the_seeds() -> None:
    figure = risk_coverage([Measured("an arm", "#123456", [measured(0), measured(1)])])
    assert figure is not None
    assert figure.table is not None
    assert figure.table.rows[0][-1] == "40.00"
    assert figure.table.head[-1] == "100%"


def test_the_best_of_each_tenth_is_joined_and_the_chosen_one_ringed() -> None:
    hard = Tuned("one-hot", "#111111", [Tried(1e-3, None, None, 0.5, 2.0, True)])
    points = [(0.11, 0.5), (0.14, 0.6), (0.55, 0.7), (0.58, 0.4)]
    tried = [Tried(1e-3, s, None, a, 2.0, a == 0.7) for s, a in points]
    figure = strengths([hard, Tuned("an arm", "#222222", tried)], hard, 2)
    assert figure is not None
    (picture,) = figure.pictures
    assert picture.line == "best 70.0% at ε 0.55"
    joined = re.findall(r'<polyline points="([^"]+)"', str(picture.svg))[0].split()
    assert len(joined) == 2
    assert str(picture.svg).count("dot ring") == 1
    assert strengths([hard], hard, 2) is None


@given(
    st.lists(st.floats(-50, 250), min_size=1, max_size=12),
    st.sampled_from([5.0, 14.0]),
)
def test_labels_are_apart_in_order_and_inside(places: list[float], gap: float) -> None:
    found = apart(places, gap, 0, 200)
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(found)[order]) >= gap - 0.11).all()
    assert min(found) >= 0
    assert max(found) <= 200.1


@pytest.mark.parametrize("classes", [2, 3])
def test_very_few_classes_make_a_page(classes: int) -> None:
    assert "Class relations" in render(page(relations(classes, seeds=1)))
