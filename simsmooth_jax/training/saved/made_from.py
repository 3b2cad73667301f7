"""What an artefact was made from, which is noted in it and compared where it is used again."""

import hashlib
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from simsmooth_jax.config import stored
from simsmooth_jax.config.training import ModelConfig, TrainingConfig
from simsmooth_jax.data.dataset import Dataset
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.label_files import array_sha256, table_sha256
from simsmooth_jax.machine import randomness
from simsmooth_jax.machine.environment import numerics
from simsmooth_jax.method.objectives.objective import Objective, table_loss
from simsmooth_jax.training.models.computation import computation_sha256

PACKAGES = ("simsmooth_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
EXACT = ("arm", "table_sha256", "objective_sha256", "examples", "random", "class_names")

Noted = dict[str, Any]  # of what JSON can hold


def of_data(dataset: Dataset) -> Noted:
    """Digests of the examples of each part, and the settings of random numbers."""
    digests = {}
    for part in ("train", "validation", "test"):
        digest = hashlib.sha256()
        for content in getattr(dataset, part).identity():
            digest.update(content)
        digests[f"{part}_sha256"] = digest.hexdigest()
    return {"examples": digests, "random": randomness.settings()}


def before(noted: Noted) -> Noted:
    """The same of a run from before it was noted: these data, and JAX's usual settings."""
    return noted | {"random": randomness.USUAL}


def of_objective(objective: Objective) -> Noted:
    """The digest of an objective's table, or of its other constants."""
    if objective.loss is table_loss:
        return {"table_sha256": table_sha256(objective.data)}
    numbers = " ".join(map(array_sha256, jax.tree.leaves(objective.data)))
    return {"objective_sha256": hashlib.sha256(numbers.encode()).hexdigest()}


def of_model(config: ModelConfig, model: nn.Module, shape: tuple[int, ...]) -> Noted:
    """What a user's own module computes; ours change with this package's version alone."""
    return {"model_sha256": computation_sha256(model, shape)} if config.is_own else {}


def versions() -> Noted:
    """The versions of the packages that numbers depend on."""
    return {"versions": {name: metadata.version(name) for name in PACKAGES}}


def devices() -> Noted:
    """What trains and how: of other devices and settings numbers differ by rounding."""
    found = jax.devices()
    kind = found[0].device_kind
    counted = {"count": len(found), "kind": kind, "processes": jax.process_count()}
    return {"devices": counted, "settings": numerics()}


def other_devices(noted: Noted, expected: Noted) -> str:
    """A line where a training goes on with other devices than noted; empty otherwise."""
    was, now = _table(noted, "devices"), expected["devices"]
    if not was or was == now:
        return ""
    before, today = (
        f"{found.get('count')} of kind {found.get('kind')} in {found.get('processes')} "
        f"process{'' if found.get('processes') == 1 else 'es'}"
        for found in (was, now)
    )
    return (
        f"devices: {today}, where the checkpoint was saved on {before}: the same examples in the "
        "same order, numbers differ by rounding"
    )


def other_settings(noted: Noted, expected: Noted) -> str:
    """A line where JAX or XLA are set otherwise than noted; empty otherwise."""
    was, now = _table(noted, "settings"), expected["settings"]
    differing = [
        f"{name} {_short(now[name]) or 'unset'}, where the checkpoint was saved with "
        f"{_short(was[name]) or 'it unset'}"
        for name in now
        if was.get(name, now[name]) != now[name]
    ]
    return f"settings: {'; '.join(differing)}: numbers differ by rounding" if differing else ""


def warn_of_another_model(checkpoint: Path, noted: Noted, expected: Noted) -> None:
    """Warns of a user's own module that has changed; other versions show the same one otherwise."""
    was, now = (values.get("model_sha256") for values in (noted, expected))
    versions = [
        [_table(values, "versions").get(name) for name in ("jax", "flax")]
        for values in (noted, expected)
    ]
    if was and now and was != now and versions[0] == versions[1]:
        warnings.warn(
            f"the module that `model` names computes something else than when {checkpoint} was "
            f"saved: SHA-256 {_short(now)}, then {_short(was)}. Numbers differ",
            stacklevel=2,
        )


def refuse_other(checkpoint: Path, noted: Noted, expected: Noted) -> None:
    """Refuses a checkpoint that was made from something else, and warns of other code.

    What an older one does not note is not compared. The data's place may be another: their
    content is compared.
    """
    stored_values, values = _flat(noted), _flat(expected)
    for name in values:
        if name.startswith("versions") or name not in stored_values:
            continue
        if stored_values[name] != values[name]:
            raise InputError(
                f"checkpoint {checkpoint}: its {name}",
                f"be {_short(values[name])}",
                _short(stored_values[name]),
                "It is another training's: put its own back, or choose another `out`.",
            )
    warn_of_another_model(checkpoint, noted, expected)
    was, now = _table(noted, "versions"), expected["versions"]
    if differing := [f"{k} {was[k]}, now {now[k]}" for k in now if was.get(k, now[k]) != now[k]]:
        text = f"{checkpoint} was written with {'; '.join(differing)}: numbers may differ in digits"
        warnings.warn(text, stacklevel=2)


def refuse_other_examples(checkpoint: Path, noted: Noted, dataset: Dataset, data: str) -> None:
    """Refuses data of the recorded name that have changed; those of an older one are not known."""
    before = _table(noted, "examples")
    now = of_data(dataset)["examples"] if before else {}
    for name, digest in before.items():
        if digest != now.get(name):
            raise InputError(
                f"data {dataset.name}: its {name.removesuffix('_sha256')} examples",
                f"be those that {checkpoint} has seen, SHA-256 {_short(digest)}",
                _short(now.get(name)),
                f"Restore them, or say that others are meant: `data={data}`.",
            )


def _table(noted: Noted, name: str) -> Noted:
    """What is noted under a name, where it is of the type that it is saved in."""
    found = noted.get(name)
    return found if isinstance(found, dict) else {}


def _flat(noted: Noted) -> Noted:
    """What is compared, by names with dots."""
    found = {name: noted[name] for name in EXACT if name in noted}
    if "training" in noted:
        config = stored.identity(TrainingConfig.from_json(noted["training"]))
        found |= {name: value for name, value in config.items() if name != "data"}
    flat: Noted = {}
    for name, value in found.items():
        inner = value.items() if isinstance(value, dict) else ()
        flat |= {f"{name}.{key}": each for key, each in inner} if inner else {name: value}
    return flat


def _short(value: Any) -> str:
    """A value as a reader can take it in."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
