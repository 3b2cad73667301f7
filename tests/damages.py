"""What can happen to a file or a directory that a command has made, and is looked at again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import tiny_runs

Damage = Callable[[Path, Path], object]  # of a path, and of the same one in another run


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _rewrite(change: Callable[[bytes], bytes]) -> Damage:
    return lambda path, _: path.write_bytes(change(path.read_bytes()))


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    return _rewrite(lambda whole: b"".join(change(whole.splitlines(keepends=True))))


def _other(path: Path, other: Path) -> None:
    remove(path)
    shutil.copytree(other, path) if other.is_dir() else shutil.copy(other, path)


def _by_directory(path: Path, _: Path) -> None:
    remove(path)
    path.mkdir()


def _by_link(path: Path, other: Path) -> None:
    remove(path)
    path.symlink_to(other)


def _by_endless(path: Path, _: Path) -> None:
    remove(path)
    path.symlink_to("/dev/zero")


def _by_pipe(path: Path, _: Path) -> None:
    remove(path)
    os.mkfifo(path)


def _by_file(path: Path, _: Path) -> None:
    remove(path)
    path.write_bytes(b"no directory")


def _by_dead_link(path: Path, _: Path) -> None:
    remove(path)
    path.symlink_to("nowhere")


def _emptied(path: Path, _: Path) -> None:
    remove(path)
    path.mkdir()


def _renamed(path: Path, _: Path) -> None:
    path.rename(path.with_name(f"{path.name}0"))


def unreadable(path: Path, _: Path) -> None:
    """For everyone but root, who is somebody else in the tests."""
    path.chmod(0)


def _flip(path: Path, byte: int) -> None:
    if path.stat().st_size:
        tiny_runs.flip(path, 8 * byte + 1)


def swap(one: Path, two: Path) -> None:
    """Each has the other's name."""
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def copy_over(one: Path, two: Path) -> None:
    """The second is what the first is."""
    _other(two, one)


OF_FILES: dict[str, Damage] = {
    "removed": lambda path, _: remove(path),
    "emptied": _rewrite(lambda whole: b""),
    "cut in half": _rewrite(lambda whole: whole[: len(whole) // 2]),
    "without its last byte": _rewrite(lambda whole: whole[:-1]),
    "a bit flipped": lambda path, _: _flip(path, path.stat().st_size // 2),
    "its first bit flipped": lambda path, _: _flip(path, 0),
    "another run's": _other,
    "a directory": _by_directory,
    "a link to another run's": _by_link,
    "a link to /dev/zero": _by_endless,
    "a link to nothing": _by_dead_link,
    "a pipe": _by_pipe,
    "unreadable": unreadable,
    "zeros added": _rewrite(lambda whole: whole + bytes(100)),
}
OF_LINES: dict[str, Damage] = {
    "a line twice": _lines(lambda lines: [lines[0], *lines]),
    "all lines twice": _lines(lambda lines: lines + lines),
    "a line less": _lines(lambda lines: lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]),
    "the last line gone": _lines(lambda lines: lines[:-1]),
    "lines in another order": _lines(lambda lines: lines[::-1]),
    "half a line added": _lines(lambda lines: [*lines, lines[0][: len(lines[0]) // 2]]),
    "no UTF-8 added": _rewrite(lambda whole: whole + b"\xff\xfe\n"),
    "null added": _rewrite(lambda whole: whole + b"null\n"),
}
OF_DIRECTORIES: dict[str, Damage] = {
    "removed": lambda path, _: remove(path),
    "made empty": _emptied,
    "another run's": _other,
    "a file": _by_file,
    "a link to another run's": _by_link,
    "a link to nothing": _by_dead_link,
    "a pipe": _by_pipe,
    "renamed": _renamed,
    "unreadable": unreadable,
}
