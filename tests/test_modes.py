"""Public functions under modes of JAX: the strictest here, each of them in the heavy part."""

import subprocess
import sys

import jax
import mode_cases
import modes
import pytest
from program import LIMIT, REPOSITORY, environment

import simsmooth_jax as ss

pytestmark = pytest.mark.slow
HERE = ("all four", "Explicit, jit", "shard_map, Explicit")
CELLS = [
    pytest.param(name, mode, marks=() if mode in HERE else pytest.mark.heavy, id=f"{mode}-{name}")
    for name, mode in modes.cells()
]


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_values_are_those_of_the_plain_call(name, mode):
    modes.check(name, mode)


@pytest.mark.parametrize("mode", ["all four", "debug nans"])
def test_the_diagnosis_under_the_modes_of_the_host(mode):
    expected = ss.diagnose(mode_cases.KERNELS[0])
    with modes.all_four() if mode == "all four" else jax.debug_nans(True):
        assert str(ss.diagnose(mode_cases.KERNELS[0])) == str(expected)


@pytest.mark.parametrize(
    "modes", [["jit"], pytest.param([], marks=pytest.mark.heavy)], ids=["jit", "all"]
)
def test_the_signatures_hold_under_the_import_hook(modes):
    script = REPOSITORY / "tests" / "under_beartype.py"
    command = [sys.executable, script, *modes]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.stdout == "0 wrong\n", done.stdout + done.stderr


def test_every_public_array_function_is_asked():
    asked = " ".join(mode_cases.FUNCTIONS)
    others = {"Head", "Diagnosis", "TopKLabels", "FactoredLabels", "InputError", "onehot_labels"}
    others |= {"restore_head", "restore_head_kernel", "save_labels", "load_labels", "SavedLabels"}
    losses = {
        "softmax_cross_entropy_with_label_table": "softmax loss",
        "linear_cross_entropy_with_label_table": "linear loss",
        "objectives": "max_suppression",
    }
    for name in set(dir(ss)) - others:
        if not name.startswith("_"):
            assert losses.get(name, name) in asked, name
