"""A user's own Flax module, by the name of a function: imported, called, held against the data.

Nothing here is called with a name that a file holds: it is what the user has typed.
"""

import difflib
import importlib
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.training.models.head_module import at, head_module

LAST_LAYER = 'End with nn.Dense(num_classes, name="head").'
COLLECTIONS = ("params", "batch_stats")


def find_function(name: str) -> Callable[[int], Any]:
    """The function that `MODULE:FUNCTION` names; the module may be in the current directory.

    Raises:
      InputError: the name is of another form, the module cannot be imported, or has no such
        function.
    """
    module, _, function = name.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name) or module.endswith(".py"):
        dotted = re.sub(r"\.py$", "", module).strip("./").replace("/", ".").replace("-", "_")
        raise InputError(
            "`model`",
            "be MODULE:FUNCTION, as Python imports them",
            name,
            f"Try `model={dotted or 'mymodels'}:{function or 'vit'}`.",
        )
    here = os.getcwd()
    if here not in sys.path:  # as `python -m` has it; an installed program starts without
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and (module == missing or module.startswith(f"{missing}.")):
            raise InputError(
                "`model`",
                "name a module that can be imported",
                f"{name}, and no module {missing} in {here} or installed",
                "Start where it lies, or set PYTHONPATH.",
            ) from error
        _refuse(name, "its module", "be imported without an error", error, "Mend it there.")
    if not callable(getattr(found, function, None)):
        own = [n for n, value in vars(found).items() if callable(value) and n[0] != "_"]
        near = difflib.get_close_matches(function, own, 1)
        raise InputError(
            "`model`",
            f"name a function in {found.__file__ or module}",
            f"{name}, which it has not",
            f"Did you mean `model={module}:{near[0]}`?" if near else "Define it there.",
        )
    return getattr(found, function)


def build_own(name: str, num_classes: int) -> nn.Module:
    """The module that the function returns for so many classes.

    Raises:
      InputError: it fails, or returns anything else.
    """
    function = find_function(name)
    try:
        model = function(num_classes)
    except (Exception, SystemExit) as error:
        must = f"take the number of classes, {num_classes}"
        _refuse(name, "the function", must, error, "Its only argument is that.")
    if not isinstance(model, nn.Module):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        is_nnx = ".nnx." in f"{type(model).__module__}."
        _refuse(
            name,
            "the function",
            "return a Flax Linen module",
            f"{got} of {type(model).__module__}" if is_nnx else got,
            "Write it with flax.linen." if is_nnx else "Return one, as nn.Sequential is.",
        )
    return model


def refuse_unfit(name: str, model: nn.Module, shape: tuple[int, ...], num_classes: int) -> None:
    """Refuses a module that no training here can use; nothing is computed for it.

    Args:
      name: as the user has typed it.
      model: what the function has returned.
      shape: height, width and channels of the images.
      num_classes: K.

    Raises:
      InputError: the module does not take `(images, train)`, needs another collection than
        `params` and `batch_stats` or other random numbers than dropout's, changes anything in
        evaluation, returns no logits `[B, K]`, or its head is not found.
    """
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        inspect.signature(model.__call__).bind(images, train=True)
    except TypeError as error:
        then = f"Write def __call__(self, images, train); here {first_line(error)}."
        shown = inspect.signature(model.__call__)
        _refuse(name, "the module's __call__", "take (images, train)", shown, then)
    what = f"float32 images {list(images.shape)}"
    init = partial(model.init, train=True)
    variables = _traced(name, f"take {what} with train=True", init, key, images)
    if other := sorted(set(variables) - set(COLLECTIONS)):
        must = f"have no other collections than {' and '.join(COLLECTIONS)}"
        _refuse(name, "the module", must, ", ".join(other), "Keep no other state in it.")
    _refuse_params(name, variables.get("params", {}), num_classes)

    train = partial(model.apply, train=True, mutable=["batch_stats"])
    must = f"take {what} with train=True and the random numbers of dropout alone"
    logits, updated = _traced(
        name, must, lambda v, x, k: train(v, x, rngs={"dropout": k}), variables, images, key
    )
    _refuse_logits(name, logits, num_classes)
    kept = variables.get("batch_stats", {})
    if _kinds(updated.get("batch_stats", {})) != _kinds(kept):
        must = "keep the names, shapes and dtypes of batch_stats"
        _refuse(name, "the module", must, "others after a step", "Look at what it writes there.")

    must = f"take {what} with train=False, draw no random numbers and change nothing"
    logits = _traced(name, must, partial(model.apply, train=False), variables, images)
    _refuse_logits(name, logits, num_classes)


def _refuse_params(name: str, params: Any, num_classes: int) -> None:
    for path, kind in _kinds(params).items():
        if not jnp.issubdtype(kind[1], jnp.floating):
            _refuse(
                name,
                f"its parameter {path}",
                "be floating-point",
                kind[1].name,
                "Integers are not trained.",
            )
    try:
        kernel = at(params, head_module(params))["kernel"]
    except InputError as error:
        who = error.who.removeprefix("head_kernel: ")
        _refuse(name, f"in its parameters {who}", error.must, error.got, LAST_LAYER)
    shape = jax.tree.leaves(kernel)[0].shape
    if shape[1] != num_classes:
        must = f"have shape [N, {num_classes}], a column for each class"
        _refuse(name, "the kernel of the head", must, list(shape), LAST_LAYER)


def _refuse_logits(name: str, logits: Any, num_classes: int) -> None:
    must, shape = f"return floating-point logits [2, {num_classes}]", getattr(logits, "shape", None)
    if shape is None:
        _refuse(name, "the module", f"{must} of two images", type(logits).__name__, LAST_LAYER)
    if shape != (2, num_classes) or not jnp.issubdtype(logits.dtype, jnp.floating):
        got = f"{logits.dtype}{list(shape)}"
        _refuse(name, "the module", f"{must} of two images", got, LAST_LAYER)


def _traced(name: str, must: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:
        then = "Look at what it does there."
        if isinstance(error, flax.errors.InvalidRngError):
            then = "Draw with nn.Dropout(rate, deterministic=not train)."
        if isinstance(error, flax.errors.ModifyScopeVariableError):
            then = "Write nn.BatchNorm(use_running_average=not train)."
        _refuse(name, "the module", must, error, then)


def _kinds(tree: Any) -> dict[str, tuple[Any, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(keys, simple=True, separator="/"): (leaf.shape, leaf.dtype)
        for keys, leaf in leaves
    }


def _refuse(name: str, who: str, must: str, got: object, then: str) -> NoReturn:
    cause = got if isinstance(got, BaseException) else None
    shown = got
    if cause is not None:
        said = cause.msg if isinstance(cause, SyntaxError) else first_line(cause)
        said = re.sub(r"\.? \(https://\S+\)", "", said)  # Flax's page on it
        shown = f"{type(cause).__name__}: {said}{_place(cause)}"
    raise InputError(f"`model={name}`: {who}", must, shown, then) from cause


def _place(error: BaseException) -> str:
    """The last line of the user's own that an error went through, where there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    others = (sysconfig.get_path("stdlib"), os.path.dirname(os.path.dirname(__file__)), "<")
    lines = [
        f" ({frame.filename}, line {frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(others)
    ]
    return lines[-1] if lines else ""
