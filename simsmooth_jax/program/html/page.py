"""The parts of a page, and the files that it becomes: report.html and its tables as CSV."""

import base64
import csv
import dataclasses
import importlib.resources
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from simsmooth_jax.errors import escaped
from simsmooth_jax.machine.files.disks import make_directory
from simsmooth_jax.machine.files.ledger import claim
from simsmooth_jax.machine.files.writing import write_atomically
from simsmooth_jax.program.html.svg import minus
from simsmooth_jax.program.run_directory import PAGE, TABLES


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of texts under a head; `name` is that of its file.

    `file_rows` stand in the file where more fits into it, under `file_head`. `colours` are those of
    the rows, `settings` a line under each of their names. Where `narrow` is false the last column
    holds long texts.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    colours: Sequence[str] = ()
    settings: Sequence[str] = ()
    file_head: Sequence[str] = ()
    file_rows: Sequence[Sequence[str]] = ()
    narrow: bool = True

    def csv(self) -> str:
        """As a file for other programs: UTF-8, lines as RFC 4180 has them."""
        file = io.StringIO()
        writer = csv.writer(file)
        for row in (self.file_head or self.head, *(self.file_rows or self.rows)):
            writer.writerow(map(escaped, row))
        return file.getvalue()

    @property
    def link(self) -> str:
        """The file within the page."""
        return (
            "data:text/csv;charset=utf-8;base64," + base64.b64encode(self.csv().encode()).decode()
        )


class Picture(NamedTuple):
    """A chart, with a title and a line about it where it is one of several."""

    svg: Markup
    title: str = ""
    line: str = ""
    colour: str = "inherit"


@dataclasses.dataclass(frozen=True)
class Figure:
    """Charts of one subject, what they show, and the table beside them."""

    name: str
    title: str
    words: Sequence[str]
    pictures: Sequence[Picture]
    table: Table | None


class Said(NamedTuple):
    """A sentence of the result, with its verdict in one word."""

    verdict: str
    kind: str  # better, worse, same or open
    sentence: str


@dataclasses.dataclass(frozen=True)
class Page:
    """All that a page shows, from its top to its end; `explorer` is what explorer.py gives."""

    title: str
    compared: Sequence[str]
    said: Sequence[Said]
    notes: Sequence[str]
    results: Table
    figures: Sequence[Figure]
    explorer: Any = None
    settings: Sequence[tuple[str, str]] = ()

    @property
    def tables(self) -> list[Table]:
        """Every table, each of which becomes a file."""
        held = [figure.table for figure in self.figures if figure.table is not None]
        return [self.results, *held, *([self.explorer.table] if self.explorer else [])]


def write_page(page: Page, directory: Path) -> Path:
    """Writes the tables, then the page; each is whole or not there."""
    files = [f"{TABLES}/{table.name}.csv" for table in page.tables]
    claim(directory, PAGE, f"{TABLES}/", *files)
    folder = directory / TABLES
    make_directory(folder)
    for table in page.tables:
        write_atomically(folder / f"{table.name}.csv", table.csv().encode())
    write_atomically(directory / PAGE, render(page).encode())
    return directory / PAGE


def render(page: Page) -> str:
    """The page as HTML: every text in it is escaped, style and script stand inside."""
    files = jinja2.FunctionLoader(_package_file)
    environment = jinja2.Environment(
        loader=files,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda shown: escaped(shown) if type(shown) is str else shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = minus
    inline = {name: Markup(_package_file(f"page.{name}")) for name in ("css", "js")}
    return environment.get_template("page.html").render(page=page, **inline)


def _package_file(name: str) -> str:
    return (
        importlib.resources.files("simsmooth_jax.program.html")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )
