"""The page in a real Chromium without a network: real clicks, keys and taps."""
# pyright: reportMissingImports=false

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import page, relations

from simsmooth_jax.errors import escaped
from simsmooth_jax.program.html.explorer import Explorer
from simsmooth_jax.program.html.page import write_page

pytest.importorskip("selenium")
from chromium import CHROMIUM, DRIVER, chromium, opened
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver"),
]
K = 60
LIMIT_MS = 100
HOSTILE = ("</script><b id=bad>x", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "&lt;", "‮Ω-3")
NAMES = (*HOSTILE, *(f"kind {k}" for k in range(len(HOSTILE), K)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = chromium(1200)
    yield found
    found.quit()


@pytest.fixture(scope="module", params=[False, True], ids=["signed", "positive"])
def shown(request: pytest.FixtureRequest) -> Explorer:
    return relations(K, NAMES, positive=request.param)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, shown: Explorer) -> Path:
    return write_page(page(shown), tmp_path_factory.mktemp("page"))


def text(browser: Any, name: str) -> str:
    """As it stands in the page, shown or not."""
    return browser.find_element(By.ID, name).get_property("textContent")


def pair(shown: Explorer, i: int, j: int) -> str:
    """How the explorer's first line begins."""
    return f"{shown.names[i]} – {shown.names[j]} "


def move_to(browser: Any, i: int, j: int, classes: int) -> None:
    """Moves the pointer onto the middle of a pair's cell."""
    place = browser.find_element(By.ID, "map")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
    size = place.size["width"]
    at = [round(size * ((k + 0.5) / classes - 0.5)) for k in (j, i)]
    ActionChains(browser, duration=0).move_to_element_with_offset(place, *at).perform()


def test_nothing_is_asked_for_and_nothing_is_wrong(browser: Any, path: Path) -> None:
    opened(browser, path)
    requests = [
        line["message"]
        for line in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in line["message"]
    ]
    asked = [line for line in requests if '"url":"data:' not in line and "file://" not in line]
    assert asked == []
    assert len(requests) >= 1
    assert browser.get_log("browser") == []


def test_names_are_texts_whatever_they_hold(browser: Any, path: Path, shown: Explorer) -> None:
    opened(browser, path)
    assert browser.find_elements(By.CSS_SELECTOR, "#bad, img[src=x]") == []
    for name in map(escaped, HOSTILE):  # a page shows what no terminal acts on
        find = browser.find_element(By.ID, "find")
        find.clear()
        find.send_keys(name)
        assert text(browser, "near-title") == f"Nearest of {name}"
    heads = browser.find_elements(By.CSS_SELECTOR, "#relations tbody th")
    assert [head.get_property("textContent") for head in heads] == list(shown.names)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (7, 40), (59, 0)])
def test_hover_names_the_pair_and_its_cosine(
    browser: Any, path: Path, shown: Explorer, i: int, j: int
) -> None:
    opened(browser, path)
    move_to(browser, i, j, K)
    told = text(browser, "pair")
    assert told.startswith(pair(shown, i, j))
    given = float(told.removeprefix(pair(shown, i, j))[:5].replace("−", "-"))
    exact = dict(zip(shown.data["nearest"][i], shown.data["cosines"][i], strict=True)).get(j)
    if exact is not None:
        assert abs(given - exact / 1000) <= 0.005 + (shown.high - shown.low) / 254
    assert "Over 3 seeds ±" in told
    assert "superclass" in told
    assert "People take" in told


def test_keys_walk_over_the_pairs(browser: Any, path: Path, shown: Explorer) -> None:
    opened(browser, path)
    move_to(browser, 20, 30, K)
    place = browser.find_element(By.ID, "map")
    assert place.aria_role == "application"
    browser.execute_script("arguments[0].focus()", place)
    for key, i, j in (
        (Keys.ARROW_DOWN, 21, 30),
        (Keys.ARROW_RIGHT, 21, 31),
        (Keys.ARROW_UP, 20, 31),
        (Keys.ARROW_LEFT, 20, 30),
    ):
        place.send_keys(key)
        assert text(browser, "pair").startswith(pair(shown, i, j))
    place.send_keys(Keys.SHIFT, Keys.ARROW_DOWN)
    assert text(browser, "pair").startswith(pair(shown, 30, 30)[: len(shown.names[30])])
    place.send_keys(Keys.ENTER)
    assert text(browser, "pair").startswith(pair(shown, 30, shown.data["nearest"][30][0]))


def test_a_class_is_found_and_its_nearest_are_those_of_the_table(
    browser: Any, path: Path, shown: Explorer
) -> None:
    opened(browser, path)
    find = browser.find_element(By.ID, "find")
    find.send_keys("KIND 17")
    row = shown.names.index("kind 17")
    assert text(browser, "near-title") == "Nearest of kind 17"
    buttons = browser.find_elements(By.CSS_SELECTOR, "#near button")
    names = [button.find_element(By.CSS_SELECTOR, "span").text for button in buttons]
    listed = [shown.names[k] for k in shown.data["nearest"][row][:10]]
    assert all(shown.startswith(name) for shown, name in zip(names, listed, strict=True))
    buttons[3].click()
    assert text(browser, "pair").startswith(pair(shown, row, shown.data["nearest"][row][3]))
    find.clear()
    find.send_keys("no such")
    assert text(browser, "pair") == "No such class."


def test_levels_of_the_picture_arrive_as_they_were_written(browser: Any, path: Path) -> None:
    """No colour profile, filter or scale lies between the file and the numbers."""
    opened(browser, path)
    script = """
      const image = document.getElementById('pixels'), canvas = document.createElement('canvas');
      canvas.width = canvas.height = image.naturalWidth;
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      const four = context.getImageData(0, 0, canvas.width, canvas.height).data;
      return [...four].filter((_, k) => k % 4 == 0);
    """
    found = np.array(browser.execute_script(script)).reshape(K, K)
    assert (np.diag(found) == 0).all()
    np.testing.assert_array_equal(found, found.T)
    assert found.max() <= 255
    assert len(np.unique(found)) > 50


def test_a_csv_is_saved_by_a_click(tmp_path: Path, path: Path, shown: Explorer) -> None:
    browser = chromium(1200)
    try:
        given = {"behavior": "allow", "downloadPath": str(tmp_path)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", given)
        opened(browser, path)
        browser.execute_script("document.querySelector('#relations details').open = true")
        browser.find_element(By.LINK_TEXT, "nearest.csv").click()
        saved = tmp_path / "nearest.csv"
        WebDriverWait(browser, 20).until(lambda _: saved.exists() and saved.stat().st_size)
        assert saved.read_bytes() == shown.table.csv().encode()
    finally:
        browser.quit()


def test_on_a_phone_nothing_is_wider_and_a_tap_tells(path: Path, shown: Explorer) -> None:
    browser = chromium(390)
    try:
        opened(browser, path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        place = browser.find_element(By.ID, "map")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", place)
        box = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", place)
        at = {"x": box["left"] + 10.5 / K * box["width"], "y": box["top"] + 3.5 / K * box["height"]}
        for kind, points in (("touchStart", [at]), ("touchEnd", [])):
            browser.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        assert text(browser, "pair").startswith(pair(shown, 3, 10))
    finally:
        browser.quit()


def test_without_javascript_the_page_still_tells(path: Path) -> None:
    browser = chromium(1200, scripts=False)
    try:
        browser.get(path.as_uri())
        assert browser.find_element(By.CSS_SELECTOR, ".plain").is_displayed()
        assert not browser.find_element(By.ID, "find").is_displayed()
        assert browser.find_element(By.ID, "pixels").size["width"] > 300
        browser.find_element(By.CSS_SELECTOR, "#relations summary").click()
        assert browser.find_element(By.CSS_SELECTOR, "#relations td").is_displayed()
    finally:
        browser.quit()


def test_a_thousand_classes_answer_within_a_tenth_of_a_second(
    browser: Any, tmp_path: Path, record_property: Any
) -> None:
    """From the event to the next frame, thirty hovers and thirty keys in the page itself."""
    path = write_page(page(relations(1000)), tmp_path)
    assert path.stat().st_size < 5e6
    opened(browser, path)
    script = """
      const done = arguments[0], map = document.getElementById('map'), times = [];
      map.scrollIntoView({block: 'center'});
      const box = map.getBoundingClientRect();
      const frame = () => new Promise(then => requestAnimationFrame(() => setTimeout(then, 0)));
      (async () => {
        await frame();
        for (let k = 0; k < 60; k++) {
          const at = { clientX: box.left + (0.1 + k / 80) * box.width, bubbles: true,
                       clientY: box.top + (0.9 - k / 80) * box.height };
          const event = k % 2 ? new PointerEvent('pointermove', at)
                              : new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true });
          const before = performance.now();
          map.dispatchEvent(event);
          const work = performance.now() - before;
          await frame();
          times.push([work, performance.now() - before]);
        }
        done(times);
      })();
    """
    times = np.array(browser.execute_async_script(script))
    work, frames = np.median(times, axis=0)
    record_property("work_ms", work)
    print(
        f"K = 1000: work {work:.1f} ms, with the frame {frames:.1f} ms, most {times.max():.1f} ms"
    )
    assert frames < LIMIT_MS
