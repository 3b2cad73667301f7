"""What goes wrong by the user's input, and what goes wrong in the work; and how it is said."""


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
        super().__init__(who, must, str(got), then)
        self.who, self.must, self.got, self.then = who, must, str(got), then

    def __str__(self) -> str:
        """The line."""
        return f"{self.who} must {self.must}, got {self.got}. {self.then}"

    def under(self, where: str) -> "InputError":
        """The same about a part of something else, as a file that an option names."""
        return type(self)(f"{where}: {self.who}", self.must, self.got, self.then)


def first_line(error: BaseException) -> str:
    """What another library says of an error, as a part of a line: its type where it says none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")


class DivergenceError(RuntimeError):
    """The loss of a training became NaN or infinite; the message names the step."""
