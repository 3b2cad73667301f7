"""A user's own module: what is refused of it before it is trained, and when it is imported."""

import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from program import REPOSITORY, simsmooth

import simsmooth_jax as ss
from simsmooth_jax.config.training import ModelConfig
from simsmooth_jax.training.models import build_model

SHAPE, K = (8, 8, 1), 10


class Own(nn.Module):
    """Right, and made wrong in one place by each of those below."""

    num_classes: int = K

    def flat(self, images: Any) -> Any:
        return images.reshape(len(images), -1)

    def head(self, x: Any) -> Any:
        return nn.Dense(self.num_classes, name="head")(x)

    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(self.flat(images))


class WithoutTrain(Own):
    @nn.compact
    def __call__(self, images: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.head(self.flat(images))


class Cache(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        self.variable("cache", "count", lambda: jnp.zeros(()))
        return self.head(self.flat(images))


class Noise(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        noise = jax.random.normal(self.make_rng("noise"), (64,)) if train else 0
        return self.head(self.flat(images) + noise)


class AlwaysDropout(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(nn.Dropout(0.5, deterministic=False)(self.flat(images)))


class AlwaysBatch(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(nn.BatchNorm(use_running_average=False)(self.flat(images)))


class Counts(Own):
    """Statistics of another dtype after a step than before it."""

    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros((), jnp.int32))
        if train and not self.is_initializing():
            seen.value = seen.value + images.mean()
        return self.head(self.flat(images))


class Unnamed(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Dense(K)(nn.Dense(4)(self.flat(images)))


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(4, name="head")(x)


class TwoHeads(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(Inner()(self.flat(images)))


class Projection(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Dense(K)(Inner(name="top")(self.flat(images)))


class Convolution(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return nn.Conv(K, (1, 1), name="head")(images).mean(axis=(1, 2))


class Pair(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(self.flat(images)), images


class Pixels(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(images)


class Whole(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        steps = self.param("steps", lambda _: jnp.zeros((), jnp.int32))
        return self.head(self.flat(images)) + steps


class Fails(Own):
    @nn.compact
    def __call__(self, images: Any, train: bool) -> Any:
        return self.head(images.reshape(3, 7))


def two(num_classes: int, width: int) -> nn.Module:
    raise AssertionError


def breaks(num_classes: int) -> nn.Module:
    raise KeyError(num_classes)


def nothing(num_classes: int) -> None:
    return None


def without_call(num_classes: int) -> Any:
    return nn.Dense


def thousand(num_classes: int) -> nn.Module:
    return Own(1000)


class NNX:
    """As NNX has its modules, by the name of the module that they stand in."""

    __module__ = "flax.nnx.nn.linear"

    def __init__(self, num_classes: int) -> None:
        pass


LAST = 'End with nn.Dense(num_classes, name="head").'
WRONG = {
    "two": "the function must take the number of classes, 10, got TypeError: two() missing 1",
    "breaks": "the number of classes, 10, got KeyError: 10 ({file}, line {line}). Its only argume",
    "nothing": "must return a Flax Linen module, got NoneType. Return one, as nn.Sequential is.",
    "without_call": "must return a Flax Linen module, got the class Dense. Return one",
    "NNX": "module, got NNX of flax.nnx.nn.linear. Write it with flax.linen.",
    "WithoutTrain": "__call__ must take (images, train), got (images: Any) -> Any. Write def __c",
    "Cache": "must have no other collections than params and batch_stats, got cache. Keep no",
    "Noise": "with train=True and the random numbers of dropout alone, got InvalidRngError: ",
    "AlwaysDropout": 'Dropout_0 needs PRNG for "dropout" (',
    "AlwaysBatch": "). Write nn.BatchNorm(use_running_average=not train).",
    "Counts": "must keep the names, shapes and dtypes of batch_stats, got others after a step.",
    "Unnamed": f"got none of: Dense_0/kernel [4, 10], Dense_1/kernel [64, 4]. {LAST}",
    "TwoHeads": f"got 2: head/kernel [4, 10], Inner_0/head/kernel [64, 4]. {LAST}",
    "Projection": "the head must have shape [N, 10], a column for each class, got [64, 4].",
    "Convolution": f"the head must be a Dense layer, got a 1x1 convolution. {LAST}",
    "Pair": f"must return floating-point logits [2, 10] of two images, got tuple. {LAST}",
    "Pixels": "logits [2, 10] of two images, got float32[2, 8, 8, 10].",
    "thousand": "the head must have shape [N, 10], a column for each class, got [64, 1000].",
    "Whole": "its parameter steps must be floating-point, got int32. Integers are not trained.",
    "Fails": "float32 images [2, 8, 8, 1] with train=True, got TypeError: cannot reshape array of",
}


def refused(name: str, **sizes: Any) -> str:
    with pytest.raises(ss.InputError) as caught:
        build_model(ModelConfig(name, **sizes), K, SHAPE)
    text = str(caught.value)
    assert "\n" not in text
    assert "https://" not in text
    return text


def test_a_module_that_is_right_is_taken() -> None:
    assert build_model(ModelConfig(f"{__name__}:Own"), K, SHAPE) == Own(K)


@pytest.mark.parametrize("function", WRONG)
def test_a_module_that_no_training_can_use(function: str) -> None:
    text = refused(f"{__name__}:{function}")
    assert text.startswith(f"`model={__name__}:{function}`: ")
    line = next(
        number
        for number, code in enumerate(Path(__file__).read_text().splitlines(), 1)
        if "raise KeyError(num_classes)" in code
    )
    assert WRONG[function].format(file=__file__, line=line) in text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with modules in it; a program that is installed does not look here."""
    files = {
        "own_needs": "import of_nobody\n",
        "own_syntax": "def vit(:\n",
        "own_script": "import sys\nsys.exit('usage')\n",
        "own_right": "from pathlib import Path\nPath('imported').touch()\nvit = size = print\n",
    }
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in files:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit9",
            "`model` must be cnn, mlp, resnet, resnet18 or MODULE:FUNCTION, got 'vit9'. Try c",
        ),
        ("own_right.py:vit", "got own_right.py:vit. Try `model=own_right:vit`."),
        ("./my-own/models.py:vit", "Try `model=my_own.models:vit`."),
        ("own_right:", "`model` must be MODULE:FUNCTION, as Python imports them, got own_right:. "),
        (":vit", "got :vit. Try `model=mymodels:vit`."),
        ("of_nobody:vit", "name a module that can be imported, got of_nobody:vit, and no module"),
        ("own_right.vit:vit", "got own_right.vit:vit, and no module own_right.vit in "),
        ("own_needs:vit", "got ModuleNotFoundError: No module named 'of_nobody' ({here}/own_needs"),
        ("own_syntax:vit", "without an error, got SyntaxError: invalid syntax ({here}/own_syntax"),
        ("own_script:vit", "got SystemExit: usage ({here}/own_script.py, line 2). Mend it there."),
        (
            "own_right:vitt",
            "got own_right:vitt, which it has not. Did you mean `model=own_right:vit",
        ),
        ("own_right:zzz", "name a function in {here}/own_right.py, got own_right:zzz, which it ha"),
    ],
)
def test_a_name_that_leads_to_no_function(here: Path, name: str, message: str) -> None:
    assert message.format(here=here) in refused(name)


def test_sizes_of_our_models_are_left_out_with_an_own_one(here: Path) -> None:
    for option, value in (("width", 3), ("depth", 2), ("dtype", "bfloat16")):
        text = refused("own_right:vit", **{option: value})
        assert f"`{option}` must be left out for own_right:vit, got {value}. Set it in" in text
    assert not (here / "imported").exists()


def test_what_is_frozen_must_come_from_somewhere() -> None:
    assert "`freeze` must be given with `init`, got none, and so a model" in refused(
        "cnn", freeze=True
    )


TINY = ("--epochs", 1, "--batch-size", 500, "--optimizer", "adamw", "--learning-rate", 0.01)


@pytest.mark.slow
def test_a_file_that_names_a_module_imports_none(tmp_path: Path) -> None:
    """The installed program, which does not look in the current directory of its own."""
    code = (REPOSITORY / "tests" / "small_vit.py").read_text()
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('imported').touch()\n" + code)
    own = ("--model", "mine:vit")
    assert "a: finished" in simsmooth("train", *own, *TINY, "--out", "a", cwd=tmp_path).stdout
    (tmp_path / "imported").unlink()
    error = simsmooth("evaluate", "a", cwd=tmp_path, status=2).stderr
    assert error == (
        "simsmooth: --model must be given again for a, got none: it was trained with mine:vit, "
        "which no file may have imported. Add --model mine:vit.\n"
    )
    features = ("labels", "a", "--similarity", "features")
    assert "Add --model mine:vit." in simsmooth(*features, cwd=tmp_path, status=2).stderr
    simsmooth("inspect", "a", cwd=tmp_path)
    assert not (tmp_path / "imported").exists()
    shown = simsmooth("evaluate", "a", *own, cwd=tmp_path).stdout
    assert "test split, 500 images" in shown
    assert (tmp_path / "imported").exists()
    shutil.move(tmp_path / "mine.py", tmp_path / "moved.py")
    assert simsmooth("evaluate", "a", "--model", "moved:vit", cwd=tmp_path).stdout == shown
    other = code.replace("nn.Dense(8)", "nn.Dense(9)")
    (tmp_path / "mine.py").write_text(other)
    error = simsmooth("evaluate", "a", *own, cwd=tmp_path, status=2).stderr
    assert error.startswith(
        "simsmooth: --model mine:vit: params/Block_0/Dense_0/bias must be float32[8] as in a, got "
        "float32[9]. Name the model"
    )
    assert "--model cnn: batch_stats/BatchNorm_0/mean must be float32[4] as in a, got nothing" in (
        simsmooth("evaluate", "a", "--model", "cnn", cwd=tmp_path, status=2).stderr
    )
