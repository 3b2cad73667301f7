"""A study that is killed, torn, and done in parts by several processes: the same rows."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import LIMIT, Forked, hears, simsmooth, wait_for

pytestmark = pytest.mark.slow

STUDY = ("study", "--model", "linear", "--epochs", 2, "--batch-size", 50, "--learning-rate", 0.3)
STUDY += ("--images-per-class", 20, "--arms", "onehot", "uniform", "neighbours", "maxsup")
STUDY += ("--points", 2, "--tuning-seeds", 1, "--seeds", 3, "--out", "out")
COUNT = 4 * 2 + 4 * 3


def rows_of(folder: Path) -> dict[tuple[Any, ...], str]:
    """The text of each row, by its key; none is there twice."""
    found: dict[tuple[Any, ...], str] = {}
    for file in (folder / "out").glob("rows-*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            key = tuple(row[name] for name in ("phase", "arm", "point", "seed"))
            assert key not in found
            found[key] = line
    return found


def count_rows(folder: Path) -> int:
    files = (folder / "out").glob("rows-*.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "study.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    printed = simsmooth(*STUDY, cwd=folder)
    assert printed.stdout.endswith("out: finished\n")
    assert printed.stderr == ""
    assert len(rows_of(folder)) == COUNT
    return folder


def test_killed_at_random_places_it_ends_with_the_same_rows(
    undisturbed: Path, tmp_path: Path
) -> None:
    """The first is asked to end, and keeps the row of its training."""
    random = np.random.default_rng()  # elsewhere each time
    for place, least in enumerate(np.sort(random.choice(COUNT - 1, 3, replace=False))):
        process = Forked(*STUDY, cwd=tmp_path)
        wait_for(lambda: hears(process, signal.SIGTERM), process)  # noqa: B023
        deadline = time.monotonic() + LIMIT
        while count_rows(tmp_path) < least:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL if place else signal.SIGTERM)
        errors = process.communicate()[1]
        if not place:
            assert process.returncode == 128 + signal.SIGTERM
            assert "; the same command " in errors
    last = tmp_path / "out" / "rows-1-of-1.jsonl"
    if last.exists():
        with last.open("a") as file:
            file.write('{"phase": "test", "arm": "uni')  # as a kill in the midst of a write
    simsmooth(*STUDY, cwd=tmp_path)
    assert rows_of(tmp_path) == rows_of(undisturbed)
    assert result_of(tmp_path) == result_of(undisturbed)


def test_two_shards_at_once_make_the_rows_of_one_process(undisturbed: Path, tmp_path: Path) -> None:
    both = [Forked(*STUDY, "--shard", f"{n}/2", cwd=tmp_path) for n in (1, 2)]
    printed = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert {file.name for file in (tmp_path / "out").glob("rows-*")} == {
        "rows-1-of-2.jsonl",
        "rows-2-of-2.jsonl",
    }
    assert rows_of(tmp_path) == rows_of(undisturbed)
    assert result_of(tmp_path) == result_of(undisturbed)
    assert all(output.endswith("out: finished\n") for output, _ in printed)


def test_shards_one_after_the_other_say_what_is_missing(undisturbed: Path, tmp_path: Path) -> None:
    """Each does what it can; one alone that is not there is named, whoever else waits."""
    first = simsmooth(*STUDY, "--shard", "1/2", cwd=tmp_path).stdout
    assert first.splitlines()[-1] == (
        "out: 1 training is left to --shard 2/2; start that as well, then this again"
    )
    assert len(rows_of(tmp_path)) == 1
    assert not (tmp_path / "out" / "study.json").exists()
    second = simsmooth(*STUDY, "--shard", "2/2", cwd=tmp_path).stdout
    assert "3 trainings are left to --shard 1/2;" in second
    assert len(rows_of(tmp_path)) == 5
    simsmooth(*STUDY, cwd=tmp_path)  # one process does the rest
    assert rows_of(tmp_path) == rows_of(undisturbed)


def test_two_of_three_shards_do_not_wait_for_ever(tmp_path: Path) -> None:
    both = [Forked(*STUDY, "--shard", f"{n}/3", cwd=tmp_path) for n in (1, 2)]
    for process in both:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "--shard 3/3; start that" in output.splitlines()[-1]  # or of both that it lacks


def test_another_process_of_the_same_part_is_refused(tmp_path: Path) -> None:
    process = Forked(*STUDY, "--seeds", 300, cwd=tmp_path)
    while count_rows(tmp_path) < 1:
        assert process.poll() is None
        time.sleep(0.01)
    refused = simsmooth(*STUDY, cwd=tmp_path, status=2)
    assert "--out out must not be in use, got a lock held by process" in refused.stderr
    process.kill()
    process.wait()


OF_IMAGES = ("study", "--model", "linear", "--epochs", 1, "--arms", "onehot", "uniform")
OF_IMAGES += ("--points", 1, "--tuning-seeds", 1, "--seeds", 2)


def write_images(file: Path, seed: int) -> None:
    random = np.random.RandomState(0)
    labels = np.random.RandomState(seed).randint(0, 3, 200)
    images = random.randint(0, 255, (200, 4, 4)).astype(np.uint8)
    parts = {"train": slice(0, 150), "test": slice(150, None)}
    arrays = {}
    for part, which in parts.items():
        arrays |= {f"{part}_images": images[which], f"{part}_labels": labels[which]}
    np.savez(file, **arrays)


def test_other_data_of_the_same_name_are_refused(tmp_path: Path) -> None:
    options = (*OF_IMAGES, "--data", "npz:images.npz", "--out", "out")
    write_images(tmp_path / "images.npz", 0)
    simsmooth(*options, cwd=tmp_path)
    write_images(tmp_path / "images.npz", 1)
    refused = simsmooth(*options, cwd=tmp_path, status=2)
    assert "data_sha256" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_rows_are_brought_from_other_places_and_from_no_other_study(tmp_path: Path) -> None:
    write_images(tmp_path / "images.npz", 0)
    write_images(tmp_path / "moved.npz", 0)
    simsmooth(*OF_IMAGES, "--data", "npz:images.npz", "--out", "out", cwd=tmp_path)
    rows = (tmp_path / "out" / "rows-1-of-1.jsonl").read_bytes()
    for name in ("again", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows-1-of-2.jsonl").write_bytes(rows)
    again = (*OF_IMAGES, "--data", "npz:moved.npz", "--out")
    simsmooth(*again, "again", cwd=tmp_path)
    assert not (tmp_path / "again" / "rows-1-of-1.jsonl").exists()  # nothing was left to do
    assert result_of(tmp_path) == json.loads((tmp_path / "again" / "study.json").read_text())
    refused = simsmooth(*again, "other", "--label-noise", 0.2, cwd=tmp_path, status=2)
    assert "other/rows-1-of-2.jsonl: every line must be of this study, SHA-256" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (tmp_path / "other" / "rows-1-of-2.jsonl").read_bytes() == rows
