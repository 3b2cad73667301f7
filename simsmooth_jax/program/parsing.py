"""What was typed, as a command with its options; every mistake in it is said in one line."""

import contextlib
import difflib
import io
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import tyro

from simsmooth_jax.config.commands import Command
from simsmooth_jax.errors import InputError
from simsmooth_jax.program.wording import POSITIONAL, fields_of, in_order

DESCRIPTION = """Class-similarity label smoothing: the classifier's own final layer says which \
classes are alike, and a second classifier is trained on labels that know it.

Start with `simsmooth run`: it trains on real digits in under a minute and shows a table.
Its steps are commands too: train, labels, train --labels labels.npz, evaluate."""
CONFIG = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.HelptextFromCommentsOff,
)
HELP = ("-h", "--help")
COMMANDS = {get_args(kind)[1].name: get_args(kind)[0] for kind in get_args(Command)}


def parse(arguments: Sequence[str]) -> Any:
    """The command that was typed, with its options.

    Raises:
      InputError: it is none; all mistakes of a kind stand in one line.
      SystemExit: help was asked for, and shown.
    """
    _refuse_bytes(arguments)
    _refuse_command(arguments)
    _refuse_options(arguments)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), _unwrapped(arguments):
            parsed, left_over = tyro.cli(
                Command,
                prog="simsmooth",
                description=DESCRIPTION,
                args=arguments,
                config=CONFIG,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            sys.stdout.flush()
            raise
        raise _reworded(_unframed(errors.getvalue()), arguments) from stop
    if left_over:
        raise _left_over(left_over, arguments)
    return parsed


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Refuses what no file of results could name: bytes that are no UTF-8, and zeros."""
    for place, argument in enumerate(arguments):
        try:
            if "\0" not in argument:
                argument.encode()
                continue
        except UnicodeEncodeError:
            pass
        option = arguments[place - 1] if place and arguments[place - 1][:2] == "--" else "a value"
        raise InputError(
            option, "be a text in UTF-8", repr(os.fsencode(argument)), "Rename what it names."
        )


def _refuse_command(arguments: Sequence[str]) -> None:
    name = arguments[0] if arguments else ""
    if name in COMMANDS or name in HELP or name.replace("_", "-").startswith("--tyro-"):
        return
    near = difflib.get_close_matches(name, COMMANDS, 1)
    then = f"Did you mean simsmooth {near[0]}?" if near else "See simsmooth --help."
    raise InputError(
        "simsmooth", f"be given one of {', '.join(COMMANDS)} first", _shown(name), then
    )


@contextlib.contextmanager
def _unwrapped(arguments: Sequence[str]) -> Iterator[None]:
    """No line of an error is broken, however narrow the terminal is; help fits into it.

    Of less than 20 columns tyro makes none: it takes all memory.
    """
    before, width = os.environ.get("COLUMNS"), shutil.get_terminal_size().columns
    os.environ["COLUMNS"] = str(max(20, width) if {*HELP} & {*arguments} else 10**6)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def _refuse_options(arguments: Sequence[str]) -> None:
    """Refuses options that the command has not."""
    if not {*HELP} & {*arguments} and arguments[0] in COMMANDS:
        known = {*_spelled(arguments[0])}
        names = [_name(word) for word in arguments[1:] if word[:2] == "--" and word != "--"]
        if unknown := [name for name in dict.fromkeys(names) if name not in known]:
            raise _no_options(unknown, arguments[0])


def _no_options(names: Sequence[str], command: str) -> InputError:
    known = [option[2:] for option in _spelled(command)]
    typed = [_name(name).lstrip("-").lower() for name in names]
    near = [one for name in typed for one in difflib.get_close_matches(name, known, 1)]
    meant = ", ".join(f"--{one}" for one in dict.fromkeys(near))
    others = (other for other in COMMANDS if {*names} <= {*_spelled(other)})
    if other := next(others, ""):
        then = f"simsmooth {other} has {'it' if len(names) == 1 else 'them'}."
    else:
        then = f"Did you mean {meant}? " * bool(meant) + _see(command)
    who = f"simsmooth {command}"
    return InputError(who, "be given options that it has", ", ".join(names), then)


def _left_over(words: Sequence[str], arguments: Sequence[str]) -> InputError:
    """Names what begins with one dash, or else values that belong to no option."""
    if names := [word for word in words if word[:1] == "-"]:
        return _no_options(names, arguments[0])
    option = next((before for before, word in _pairs(arguments) if word == words[0]), "")
    after = f" after {option}" if option.startswith("--") and option != "--" else ""
    got = ", ".join(map(_shown, words)) + after
    who = f"simsmooth {arguments[0]}"
    return InputError(who, "be given values only where it takes them", got, _see(arguments[0]))


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every word with what stands before it, as `--flip` before `True`, and in `--flip=True`."""
    yield from itertools.pairwise(arguments)
    yield from (word.split("=", 1) for word in arguments if "=" in word)  # type: ignore[misc]


def _name(word: str) -> str:
    """An option as the help spells it."""
    return word.split("=")[0].replace("_", "-")


def _spelled(command: str) -> Iterator[str]:
    """Every option of a command as it is typed."""
    for field in fields_of(COMMANDS[command]):
        if field.name not in POSITIONAL:
            name = field.name.replace("_", "-")
            yield f"--{name}" if field.default is not True else f"--no-{name}"


def _see(command: str) -> str:
    return f"See simsmooth {command} --help."


def _shown(text: str) -> str:
    return repr(text) if text else "nothing"


def _unframed(message: str) -> str:
    """The sections of a framed message as sentences: no frame, no title, no help text."""
    lines = [line.strip("│╰╯| ") for line in message.strip().splitlines()[1:]]
    text = " ".join("\n" if not line.strip("─-") else line for line in lines)
    sections = [" ".join(section.split()) for section in text.split("\n")]
    said = (s.rstrip(".") for s in sections if s and not s.startswith("Argument helptext"))
    return OF_SEVERAL_TYPES.sub("", ". ".join(said))


def _reworded(message: str, arguments: Sequence[str]) -> InputError:
    """What tyro says of a value, in the words of all other errors."""
    see = _see(arguments[0])
    if found := NO_CHOICE.match(message):
        got, option, choices = found.groups()
        known = in_order(option, re.findall(r"'([^']*)'", choices))
        near = difflib.get_close_matches(got.strip("'").lower(), known, 1)
        then = f"Did you mean {near[0]}? {see}" if near else see
        return InputError(option, f"be one of {', '.join(known)}", got, then)
    if found := NO_NUMBER.match(message):
        option, whole, got = found.groups()
        return InputError(option, f"be a {'whole ' if whole else ''}number", got, see)
    if (found := NO_VALUE.match(message)) and found[1].startswith("-"):
        option = found[1]
        place = max(i for i, word in enumerate(arguments) if _name(word) == option)
        after = arguments[place + 1 : place + 2]
        then = f"For a value that begins with a dash: {option}={after[0]}. {see}" if after else see
        return InputError(option, "have a value", _shown("".join(after)), then)
    if found := MISSING.match(message):
        return InputError(found[1], "be given", "nothing", see)
    if found := NO_INTEGER.match(message):
        return InputError(found[1], "be a whole number", "one of thousands of digits", see)
    if words := [word for word in arguments if word[:1] == "-" and word[:2] != "--"]:
        return _no_options(words, arguments[0])  # tyro says something else where some are left out
    return InputError(f"simsmooth {arguments[0]}", "be given what its help says", message, see)


FOOT = r"\. For full helptext"
NO_CHOICE = re.compile(f"invalid choice (.*) for argument '(\\S+)'\\. Expected one of (.*){FOOT}")
NO_NUMBER = re.compile(
    r"Error parsing (\S+): (?:invalid literal for (int)\(\) with base 10|"
    rf"could not convert string to float): (.*){FOOT}"
)
NO_INTEGER = re.compile(r"Error parsing (\S+): Exceeds the limit")
NO_VALUE = re.compile(r"Missing value for argument '(\S+)'")
MISSING = re.compile(r"Missing from [\w ]+: ([A-Z]+) ")
# Of an option that may be left out, only what is wrong with a value of it.
OF_SEVERAL_TYPES = re.compile(r"no type matching .* Got errors: .*- <class '\w+'>: ")
