"""Recipes to and from JSON, as run folders keep them."""

import importlib
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from sclgan.recipe import Pretraining, Recipe, Training

MOVED = {
    "sclgan.data.emoji": "sclgan.data.sets.emoji",
    "sclgan.data.scenes": "sclgan.data.sets.scenes",
    "sclgan.data.cub": "sclgan.data.sets.cub",
    "sclgan.data.coco": "sclgan.data.sets.coco",
    "sclgan.data.folder": "sclgan.data.sets.own.source",
    "sclgan.data.packed": "sclgan.data.packs.read",
}
"""Modules whose classes saved recipes name, and where they are now: run folders outlive a move."""


def to_json(recipe: Recipe) -> str:
    """The resolved recipe as JSON; constructors become {"call": "module.name", arguments}."""
    return json.dumps(_plain(recipe), indent=2)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, partial):
        return {"call": f"{value.func.__module__}.{value.func.__qualname__}"} | _plain(value.keywords)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def from_json(text: str) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        ValueError: not such a file, or one that calls something outside this package: run folders come from
            strangers too, and must not choose what is executed.
    """
    try:
        content = json.loads(text)
        content["pretraining"] = _restored(content["pretraining"], Pretraining)
        content["training"] = _restored(content["training"], Training)
        return typing.cast(Recipe, _restored(content, Recipe))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"not a recipe of this version of sclgan: {error}") from error


def _restored(value: Any, kind: type | None = None) -> Any:
    if kind is not None:
        return kind(**{name: _restored(item) for name, item in value.items()})
    if isinstance(value, dict) and "call" in value:
        return partial(_named(value["call"]), **{k: _restored(v) for k, v in value.items() if k != "call"})
    if isinstance(value, dict):
        return {name: _restored(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(_restored(item) for item in value)
    return value


def _named(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    module = MOVED.get(module, module)
    if not module.startswith("sclgan."):
        raise ValueError(f"the recipe calls '{path}', which is not part of sclgan: it is not loaded")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(f"the recipe calls '{path}', which is no class of {module}: it is not loaded")
    return found
