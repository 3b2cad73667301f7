"""The rows of a study on the disk: torn lines, several shards, damage; and parts of a directory."""

from pathlib import Path

import pytest

from simsmooth_jax.errors import InputError
from simsmooth_jax.machine.files.ledger import claim
from simsmooth_jax.program.run_directory import is_in_use, open_directory
from simsmooth_jax.study.comparison.rows import Key, Rows, Shard

KEYS = [Key("tune", "onehot", point, seed) for point in (0, 1) for seed in (10, 11)]
FILE = "rows-1-of-2.jsonl"


def filled(directory: Path) -> Rows:
    rows = Rows(directory, Shard(1, 2))
    for number, key in enumerate(KEYS):
        rows.add(key, {"validation": {"accuracy": number / 7}})
    return rows


def test_rows_are_read_again_to_the_last_digit(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Rows(tmp_path, Shard(1, 1))
    assert [row["validation"]["accuracy"] for row in again] == [0, 1 / 7, 2 / 7, 3 / 7]
    assert all(key in again for key in KEYS)
    assert Key("test", *KEYS[0][1:]) not in again
    assert again[KEYS[2]]["point"] == 1


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_line_is_dropped_and_done_again(tmp_path: Path, cut: int) -> None:
    filled(tmp_path)
    file = tmp_path / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    torn = Rows(tmp_path, Shard(1, 2))
    assert [key in torn for key in KEYS] == [True, True, True, False]
    torn.add(KEYS[3], {"validation": {"accuracy": 3 / 7}})
    assert file.read_bytes() == whole


def test_another_shards_torn_line_is_left_alone(tmp_path: Path) -> None:
    """It may be being written."""
    filled(tmp_path)
    file = tmp_path / FILE
    torn = file.read_bytes()[:-5]
    file.write_bytes(torn)
    other = Rows(tmp_path, Shard(2, 2))
    assert [key in other for key in KEYS] == [True, True, True, False]
    assert file.read_bytes() == torn
    other.add(KEYS[3], {})
    other.read()
    assert KEYS[3] in other
    assert len((tmp_path / "rows-2-of-2.jsonl").read_text().splitlines()) == 1


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / FILE
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n")
    with pytest.raises(InputError) as error:
        Rows(tmp_path, Shard())
    assert str(error.value) == (
        f"{file}: every line must be JSON, and as it was written, got Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1). Delete that line: its training "
        "is done again."
    )


def test_rows_of_another_study_are_refused(tmp_path: Path) -> None:
    rows = Rows(tmp_path, Shard(), "a" * 64)
    rows.add(KEYS[0], {"nll": 1.0})
    assert [row["nll"] for row in Rows(tmp_path, Shard(), "a" * 64)] == [1.0]
    assert [*Rows(tmp_path, Shard())] == [*rows]  # of any study, to look at
    with pytest.raises(InputError) as error:
        Rows(tmp_path, Shard(), "b" * 64)
    assert str(error.value) == (
        f"{tmp_path / 'rows-1-of-1.jsonl'}: every line must be of this study, SHA-256 "
        "bbbbbbbbbbbbbbbb…, got line 1 of another one, aaaaaaaaaaaaaaaa…. Put its own rows back, "
        "or move it away: its trainings are done again."
    )


def test_a_training_has_one_row_however_often_it_is_brought(tmp_path: Path) -> None:
    rows = filled(tmp_path)
    (tmp_path / "rows-2-of-2.jsonl").write_bytes((tmp_path / FILE).read_bytes())
    assert [*Rows(tmp_path, Shard())] == [*rows]
    (tmp_path / "elsewhere").mkdir()
    Rows(tmp_path / "elsewhere", Shard(2, 2)).add(KEYS[1], {"validation": {"accuracy": 0.5}})
    brought = (tmp_path / "elsewhere" / "rows-2-of-2.jsonl").rename(tmp_path / "rows-2-of-2.jsonl")
    with pytest.raises(InputError) as error:
        Rows(tmp_path, Shard())
    assert str(error.value) == (
        f"{brought}: every line must be the only one of its training, got line 1, another one of "
        "onehot, seed 11, point 0, phase tune. Delete one of the two."
    )


def test_rows_without_a_number_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Rows(tmp_path, Shard()).add(KEYS[0], {"nll": float("nan")})
    assert not (tmp_path / "rows-1-of-1.jsonl").exists()


def test_shards_are_numbered_from_1() -> None:
    assert Shard.of(None) == Shard(1, 1)
    assert Shard.of("2/3") == Shard(2, 3)
    assert str(Shard(2, 3)) == "2-of-3"
    for text, must in (
        ("2", "be as 1/2"),
        ("a/2", "be as 1/2"),
        ("1/2/3", "be as 1/2"),
        ("0/2", "be from 1/2 to 2/2"),
        ("3/2", "be from 1/2 to 2/2"),
    ):
        with pytest.raises(InputError) as error:
            Shard.of(text)
        assert str(error.value) == f"`shard` must {must}, got {text!r}. Number the parts from 1."


def test_a_directory_is_emptied_by_none_while_another_part_is_written(tmp_path: Path) -> None:
    path = tmp_path / "study"
    with open_directory(path, {"a": 1}, False, part="-1-of-2"):
        claim(path, "study.json")
        (path / "study.json").write_text("{}")
        assert is_in_use(path, "-1-of-2")
        assert not is_in_use(path, "-2-of-2")
        with open_directory(path, {"a": 1}, False, part="-2-of-2"):
            pass
        with (
            pytest.raises(InputError) as error,
            open_directory(path, {"a": 2}, True, part="-1-of-1"),
        ):
            pass
        assert str(error.value) == (
            f"--out {path} must not be in use, got a lock held for 1-of-2. Wait for that process."
        )
        assert (path / "study.json").exists()
    with open_directory(path, {"a": 2}, True, part="-1-of-1"):
        assert not (path / "study.json").exists()
        assert is_in_use(path, "-1-of-1")  # its own lock outlives what is deleted
    assert not is_in_use(path, "-1-of-1")
