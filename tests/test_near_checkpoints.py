"""Whoever names a directory without a checkpoint is told which ones stand there."""

from pathlib import Path

from simsmooth_jax.formats.stores import near_checkpoints
from simsmooth_jax.formats.stores.orbax_steps import TREE


def test_what_stands_there_is_named(tmp_path: Path) -> None:
    assert near_checkpoints.next_step(tmp_path) == near_checkpoints.USUAL
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    assert near_checkpoints.next_step(tmp_path) == near_checkpoints.USUAL
    for name in ("second", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / TREE).touch()
        names = ", ".join(str(path.parent) for path in sorted(tmp_path.glob(f"*/{TREE}")))
        few = "one of " * ("," in names)
        assert near_checkpoints.next_step(tmp_path) == f"Try {few}{names}."
        assert near_checkpoints.next_step(tmp_path / "none") == f"Try {few}{names}."
    assert near_checkpoints.next_step(tmp_path / "none" / "none") == near_checkpoints.USUAL
    assert near_checkpoints.next_step(tmp_path / ("x" * 5000)) == f"Try {few}{names}."


def test_no_more_than_a_few_are_named(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"m{number:02}").mkdir()
        (tmp_path / f"m{number:02}" / TREE).touch()
    assert near_checkpoints.next_step(tmp_path).count("/m") == near_checkpoints.NAMED
