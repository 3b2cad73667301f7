"""What every page says exists: links, commands, options, functions, files."""

import contextlib
import functools
import io
import re
import shlex
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import tyro
from flax import linen as nn
from flax.training.train_state import TrainState
from pages import DOCS, PAGES, README, anchors, blocks, names, prose, spans
from program import REPOSITORY

import simsmooth_jax as ss
from simsmooth_jax.config.commands import Command
from simsmooth_jax.program.parsing import CONFIG
from simsmooth_jax.study.arms import ARMS

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
NEEDED = {"inspect": ["CHECKPOINT"], "evaluate": ["CHECKPOINT"]}
FOLDERS = [REPOSITORY / name for name in ("simsmooth_jax", "tests", "experiments")]
COMMANDS = ("run", "train", "study", "labels", "inspect", "evaluate", "data")


def accepts(arguments: list[str]) -> bool:
    """Whether the program would begin to work, or show help; nothing is run."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            tyro.cli(Command, prog="simsmooth", args=arguments, config=CONFIG)
        except SystemExit as stop:
            return not stop.code
    return True


@functools.cache
def known_options() -> set[str]:
    shown = io.StringIO()
    for command in COMMANDS:
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
            tyro.cli(Command, prog="simsmooth", args=[command, "--help"], config=CONFIG)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown.getvalue()))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page)) + re.findall(r'src="([^"]+)"', prose(page))
    for link in links:
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_found_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {
            (page.parent / link).resolve()
            for link in re.findall(r"\]\(([^)#\s]+\.md)", prose(page))
        }
        waiting += targets - reached
    assert reached == set(PAGES)


@every_page
def test_commands_and_their_options_are_the_programs(page: Path) -> None:
    joined = [re.sub(r"\\\n *", "", code) for code in blocks(page, "bash")]
    written = [line for code in joined for line in re.split(r"\n|&&", code)]
    written += [line for code in blocks(page, "text") for line in code.splitlines()]
    written = [line.split("  ")[0].strip() for line in written] + spans(page)
    for line in written:
        if line.startswith("simsmooth "):
            arguments = shlex.split(line)[1:]
            if len(arguments) == 1:
                arguments += NEEDED.get(arguments[0], [])
            assert accepts(arguments), line
        elif re.match(r"--[a-z-]+ ", line):  # of any command
            assert any(
                accepts([name, *NEEDED.get(name, []), *shlex.split(line)]) for name in COMMANDS
            ), line
        elif re.fullmatch(r"--[a-z-]+", line):
            assert line in known_options(), line
        elif script := re.match(r"python (\S+\.py)(.*)", line):
            path = next(p for p in (page.parent, REPOSITORY) if (p / script[1]).exists())
            for option in re.findall(r"--[a-z0-9-]+", script[2]):
                assert f'"{option}"' in (path / script[1]).read_text(), line


@every_page
def test_names_and_files_exist(page: Path) -> None:
    for name in names(page):
        functools.reduce(getattr, name.split("."), ss)
    for name in re.findall(r"`([\w./-]+\.(?:py|pyi|md|sh|sbatch|jsonl))`", prose(page)):
        if name not in ("metrics.jsonl", "rows-1-of-1.jsonl"):  # of a run, of a study
            found = (found for folder in FOLDERS for found in folder.rglob(name))
            assert (REPOSITORY / name).exists() or any(found), name
    extras = re.findall(r"'\.\[(\w+)\]'", page.read_text())
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in project for extra in extras), extras


@every_page
def test_lines_are_short_enough_to_be_read(page: Path) -> None:
    """Of a link its text alone."""
    shown = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", page.read_text())
    assert [line for line in shown.splitlines() if len(line) > 120] == []


def test_no_python_is_left_untested() -> None:
    """Here and in test_readme, test_other_frameworks, test_own_training and test_features."""
    names = ("arrays", "data", "many_classes", "label_files", "metrics", "models")
    names += ("objectives", "rules")
    tested = {README, *(DOCS / f"{name}.md" for name in names)}
    assert {page for page in PAGES if blocks(page, "python")} == tested


def test_code_for_arrays_of_64_bits_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(DOCS / "arrays.md", "python")
    exec(code, {"ss": ss})
    kernel = np.array([[1.0, 2, 0], [0, 2, 3]])
    kernel -= kernel.mean(axis=1, keepdims=True)
    unit = kernel / np.linalg.norm(kernel, axis=0)
    assert capsys.readouterr().out == f"{(unit.T @ unit).round(2) + 0.0}\n"


def test_code_for_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    hierarchy, many = blocks(DOCS / "metrics.md", "python")
    batches = [(np.eye(3) * 2, np.array([0, 1, 1])), (np.eye(3) * 2, np.array([0, -1, -1]))]
    exec(hierarchy + many, {"batches": batches})
    first, second = capsys.readouterr().out.splitlines()
    assert float(first) == 1  # 0, 1 and 2
    nll = np.log(np.exp(2) + 2) - 2 * 3 / 4  # three of four labels have logit 2
    assert f"'count': 4, 'correct': 3, 'accuracy': 0.75, 'nll': {nll:.5f}" in second


def test_code_for_many_classes_gives_the_loss_of_the_dense_table() -> None:
    (recipe,) = blocks(DOCS / "many_classes.md", "python")
    random = np.random.RandomState(0)
    kernel, features = random.randn(5, 40).astype("f"), random.randn(6, 5).astype("f")
    labels, bias = np.arange(6), random.randn(40).astype("f")
    given = {"ss": ss, "kernel": kernel, "features": features, "labels": labels, "bias": bias}
    exec(recipe, given)
    table = np.asarray(ss.relation_labels_from_kernel(kernel, "shift"))
    expected = optax.softmax_cross_entropy(features @ kernel + bias, table[labels])
    np.testing.assert_allclose(given["loss"], expected, rtol=1e-5)


def test_code_for_mean_predictions_gives_their_rows() -> None:
    labels = np.arange(60) % 6
    logits = np.random.RandomState(0).randn(60, 6) + 6 * np.eye(6)[labels]
    given: dict[str, Any] = {"jax": jax, "ss": ss, "logits": logits, "labels": labels}
    (code,) = blocks(DOCS / "rules.md", "python")
    exec(code, given)
    soft = scipy.special.softmax(logits / 6, axis=1)
    others = np.stack([soft[labels == k].mean(axis=0) for k in range(6)]) * (1 - np.eye(6))
    expected = 0.8 * np.eye(6) + 0.2 * others / others.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(given["table"], expected, rtol=1e-5)


def test_loop_of_an_objective_ends_with_the_labels_of_its_own_head() -> None:
    """Three classes, four points each; an epoch is 20 steps and the warm-up lasts five of them."""
    (loop,) = blocks(DOCS / "objectives.md", "python")
    assert len([line for line in loop.splitlines() if line]) <= 15
    labels = jnp.arange(12) % 3
    images = (
        jnp.asarray(np.random.RandomState(0).randn(12, 5)).at[:, :3].add(3 * jnp.eye(3)[labels])
    )
    model = nn.Dense(3)
    given = {"ss": ss, "jax": jax, "num_classes": 3, "batches": lambda _: [(images, labels)] * 20}

    def trained(epochs: int) -> dict[str, Any]:
        params = {"head": model.init(jax.random.key(0), images)["params"]}

        def apply(variables: Any, images: jax.Array) -> Any:
            return model.apply({"params": variables["params"]["head"]}, images)

        state = TrainState.create(apply_fn=apply, params=params, tx=optax.sgd(0.1))
        names = given | {"state": state, "epochs": epochs}
        exec(loop, names)
        return names

    np.testing.assert_array_equal(trained(4)["own"], np.eye(3))
    after = trained(8)
    kernel = np.asarray(after["state"].params["head"]["kernel"], np.float64)
    unit = kernel / np.linalg.norm(kernel, axis=0)
    relation = np.maximum(unit.T @ unit, 0)
    relation /= relation.sum(axis=1, keepdims=True)
    assert np.abs(relation - np.eye(3)).max() > 0.01
    np.testing.assert_allclose(after["own"], (np.eye(3) + relation) / 2, atol=1e-5)
    logits = after["state"].apply_fn({"params": after["state"].params}, images)
    np.testing.assert_array_equal(logits.argmax(axis=1), labels)


def test_options_of_objectives_are_those_that_their_arms_take() -> None:
    """The columns of the page's table; an empty one is refused."""
    table = (DOCS / "objectives.md").read_text().split("| option |")[1]
    header, _, *rows = table.split("\n\n")[0].splitlines()
    arms = [cell.strip() for cell in header.strip("|").split("|")[1:]]
    taken = {arm: [] for arm in arms}
    for row in rows:
        option, _, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        name = option.strip("`-").replace("-", "_")
        for arm, cell in zip(arms, cells, strict=True):
            taken[arm] += [name] if cell else []
    assert {arm: sorted(options) for arm, options in taken.items()} == {
        arm.name: sorted(arm.options) for arm in ARMS if arm.options
    }
