"""The pages for users, and what stands in them: README, simsmooth_jax/docs, experiments."""

import re
from pathlib import Path

from program import REPOSITORY

DOCS = REPOSITORY / "simsmooth_jax" / "docs"
EXPERIMENTS = REPOSITORY / "experiments"
README = REPOSITORY / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md")), *sorted(EXPERIMENTS.rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in one language."""
    return [code for name, code in FENCE.findall(page.read_text()) if name == language]


def prose(page: Path) -> str:
    """All but the blocks of code."""
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands in single backquotes, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link to one of the page's headings says, by GitHub's rule."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def names(page: Path) -> list[str]:
    """Every `ss.name`, also those with a module between."""
    return re.findall(r"\bss\.(\w+(?:\.\w+)*)", page.read_text())
