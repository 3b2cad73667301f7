"""Every artefact of every command, damaged in every way: success only with all of it as it was.

`python tests/test_many_exits.py [--every N] [WORDS]` tells of each situation that is not honest.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from exit_room import Room, Situation

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore:Sharding info not provided")]

EVERY = 27


def tried(room: Room, situations: Iterable[Situation]) -> Iterator[str]:
    """Carries out situations, and tells of those that are not honest; at the end of all."""
    count: Counter[str] = Counter()
    for situation in situations:
        wrong, status, _ = room.wrong(situation)
        count.update({"tried": 1, "held": not wrong, f"status {status}"[:9]: 1})
        if wrong:
            yield f"{' '.join(map(str, situation))}: {wrong}"
    print(dict(count), flush=True)


def room_in(name: str) -> Room:
    """A room in a new directory, which somebody else than root may enter too."""
    Path(name).chmod(0o755)
    room = Room(Path(name))
    room.make()
    return room


def test_a_hundred_situations_are_honest() -> None:
    """Evenly from all, which the script carries out."""
    with tempfile.TemporaryDirectory() as name:
        room = room_in(name)
        assert list(tried(room, [*room.situations()][::EVERY])) == []


if __name__ == "__main__":
    import conftest  # noqa: F401  # eight devices and the cache

    words = sys.argv[1:]
    every = int(words.pop(1)) if words[:1] == ["--every"] else 1
    words = words[every > 1 :]
    with tempfile.TemporaryDirectory() as folder:
        here = room_in(folder)
        asked = [s for s in here.situations() if all(w in " ".join(map(str, s)) for w in words)]
        for line in tried(here, asked[::every]):
            print(ascii(line)[:2500].replace("\\n", "\n"), flush=True)
