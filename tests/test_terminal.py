"""Names that anyone may have given reach a terminal, a page and pictures as harmless text."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.text import Text

from simsmooth_jax.config.commands import InspectConfig
from simsmooth_jax.errors import InputError, escaped, excerpt, listed
from simsmooth_jax.formats.stores import class_names
from simsmooth_jax.machine.files.writing import write_json
from simsmooth_jax.machine.terminal import say, tell, warn
from simsmooth_jax.program import cli, pictures, report
from simsmooth_jax.program.commands.inspect_command import inspect
from simsmooth_jax.program.html.page import Page, Table, render

# Of a window's title, the colours, a screen that is wiped, an 8-bit control, the order of letters,
# ends of lines, a tab, half of a pair, and what is overwritten.
ATTACKS = ["\x1b]0;owned\x07", "\x1b[31m", "\x1b[2J", "\x9b31m", "\u202egnp.exe", "a\nsimsmooth: b"]
ATTACKS += ["\t", "\ud800", "a\rb", "\x08\x08", "\x7f", "\u2028", "\u2066x", "\x00", "\u200f"]
ALL = "".join(ATTACKS)
HARMLESS = ["déjà vu", "猫", "می‌خواهم", "👩‍🔬", "a b", "\\x1b", "ß-½ #7"]  # with joiners


def unseen(shown: str) -> list[str]:
    """What a terminal would not show, as `str.isprintable` knows it, but ends of lines."""
    return [c for c in shown if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("text", ATTACKS)
def test_each_is_shown_as_python_writes_it(text: str) -> None:
    assert escaped(text).isprintable()
    assert escaped(text) == re.sub(r"[^ -~]", lambda c: ascii(c[0])[1:-1], text)
    assert escaped(escaped(text)) == escaped(text)


def test_other_letters_stay() -> None:
    assert [escaped(text) for text in HARMLESS] == HARMLESS


def test_at_every_door(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"x {ALL}")
    tell(f"x {ALL}")
    print(InputError(f"who {ALL}", f"must {ALL}", ALL, ALL).under(ALL))
    cli._show_warning(f"x {ALL}")
    table = report.Table(title=ALL)
    table.add_column("class")
    table.add_row(ALL)
    table.add_row(Text(ALL, style="bold"))
    report.console().print(table)
    report.console().print(ALL)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn(f"x {ALL}")
        class_names.told_apart(ALL, [ALL, ALL])
    printed = capsys.readouterr()
    shown = [printed.out, printed.err, *(str(one.message) for one in said)]
    assert [unseen(text) for text in shown] == [[], [], [], []]
    assert all("\\x1b]0;owned\\x07" in re.sub(r"\n *", "", text) for text in shown)
    assert printed.err.count("\n") == 2


def test_names_of_arrays_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\x1b[31m\u202e.npz"
    np.savez(path, **{"body\x1b[2J\n": np.eye(3), "\u202ehead": np.ones(2)})
    inspect(InspectConfig(path))
    assert cli.main(["inspect", f"{path}.none"]) == 2
    many: dict[str, Any] = {f"{k}\x1b[2J": np.ones(2) for k in range(50)}
    np.savez(path, **many)
    with pytest.raises(InputError) as error:
        class_names.of_head({}, 3, path)
    printed = capsys.readouterr()
    assert unseen(printed.out) == unseen(printed.err) == unseen(str(error.value)) == []
    assert "body\\x1b[2J\\n" in printed.out
    assert "a\\x1b[31m\\u202e.npz.none" in printed.err


def test_pages_and_pictures(tmp_path: Path) -> None:
    table = Table("results", ALL, ["class"], [[ALL]])
    page = render(Page(f"<b>{ALL}", [ALL], [], [ALL], table, [], settings=[(ALL, ALL)]))
    assert "\\x1b]0;owned\\x07" in page
    assert "<b>\\x1b" not in page
    assert unseen(page) == []
    write_json(tmp_path / "report.json", {"class_names": ATTACKS[:-1]})
    content = (tmp_path / "report.json").read_text()
    assert unseen(content) == []
    assert json.loads(content)["class_names"] == ATTACKS[:-1]
    similarity = np.eye(3, dtype="f") + 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.draw_similarity(similarity, (ALL, "\x1b", "b\nc"), tmp_path / "s.png", ALL)


def test_what_a_file_holds_is_quoted_by_its_beginning() -> None:
    assert excerpt("a" * 100) == "a" * 100
    assert excerpt("a" * 101) == f"{'a' * 99}…"
    assert listed("abc") == "a, b, c"
    assert listed(["x" * 10**6] * 9) == ", ".join([f"{'x' * 49}…"] * 6) + " and 3 more"
    assert len(listed(map(str, range(10**5)))) < 60
