"""What goes wrong by the user's input, and what goes wrong in the work; and how it is said."""

import re
from collections.abc import Iterable

# What a terminal acts on, or shows in another order: controls, ends of lines, overrides of the
# direction, halves of pairs. Joiners stay, which scripts and emoji need.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
EXCERPT = 100  # characters of a file's content that a message shows
SAID = 240  # of what another library says


def escaped(text: str) -> str:
    """A text for people as one line, in which such characters are shown as Python writes them."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def excerpt(content: object, most: int = EXCERPT) -> str:
    """The beginning of what a file holds, as messages show it."""
    text = str(content)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(contents: Iterable[object], most: int = 6) -> str:
    """The first of several names that a file holds, each by its beginning."""
    names = list(contents)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(excerpt(name, EXCERPT // 2) for name in names[:most]) + more


class InputError(ValueError):
    """An argument has a value that the method cannot work with: `WHO must MUST, got GOT. THEN`.

    One line in four parts. An argument that the command line program has as an option stands in
    backquotes, as `` `epochs` `` or `` `head=PATH` ``: the program shows these as options, prints
    the line without a traceback and exits with status 2.

    Args:
      who: the function and its argument, the option or the file that it is about.
      must: what must hold, as "be from 1 to 10".
      got: what was given.
      then: the next step, one sentence or several.
    """

    def __init__(self, who: str, must: str, got: object, then: str) -> None:
        """Keeps the parts as texts: arguments of an exception go from process to process."""
        who, must, got, then = map(escaped, (who, must, str(got), then))
        super().__init__(who, must, got, then)
        self.who, self.must, self.got, self.then = who, must, got, then

    def __str__(self) -> str:
        """The line."""
        return f"{self.who} must {self.must}, got {self.got}. {self.then}"

    def under(self, where: str) -> "InputError":
        """The same about a part of something else, as a file that an option names."""
        return type(self)(f"{where}: {self.who}", self.must, self.got, self.then)


def first_line(error: BaseException) -> str:
    """What another library says of an error, as a part of a line: its type where it says none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return excerpt(lines[0], SAID).rstrip(". ")


class DivergenceError(RuntimeError):
    """The loss of a training became NaN or infinite; the message names the step."""
