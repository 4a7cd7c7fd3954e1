"""Recipes to and from JSON, as run folders keep them."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from inspect import signature
from typing import Any, TypeVar

from sclgan.recipe import Pretraining, Recipe, Row, Training
from sclgan.recipe_fields import check_kinds, check_ranges

T = TypeVar("T")

MOVED = {
    "sclgan.data.emoji": "sclgan.data.sets.emoji",
    "sclgan.data.scenes": "sclgan.data.sets.scenes",
    "sclgan.data.cub": "sclgan.data.sets.cub",
    "sclgan.data.coco": "sclgan.data.sets.coco",
    "sclgan.data.folder": "sclgan.data.sets.own.source",
    "sclgan.data.packed": "sclgan.data.packs.read",
}
"""Modules whose classes saved recipes name, and where they are now: run folders outlive a move."""


RENAMED = {
    "pretraining": {"weights": "objective"},
    "training": {"generator_weights": "generator_objective", "discriminator_weights": "discriminator_objectives"},
}
"""Fields of the phases whose names saved recipes may still have, and their names now."""


@dataclass(frozen=True)
class _Place:
    """A field of a recipe that names a class: those that it may name, and the arguments that the run adds to it."""

    classes: tuple[str, ...]
    num_positional: int
    keywords: tuple[str, ...] = ()


PLACES = {
    "source": _Place(
        (
            "sclgan.data.sets.emoji.Emoji",
            "sclgan.data.sets.scenes.Scenes",
            "sclgan.data.sets.cub.Cub",
            "sclgan.data.sets.coco.Coco",
            "sclgan.data.sets.own.source.Folder",
            "sclgan.data.packs.read.Packed",
        ),
        num_positional=1,
    ),
    "encoders": _Place(("sclgan.encoders.damsm.DAMSM", "sclgan.encoders.clip.CLIP"), num_positional=1),
    "backbone": _Place(
        ("sclgan.encoders.lite0.Lite0", "sclgan.encoders.inception.InceptionTrunk"),
        num_positional=0,
    ),
    "gan": _Place(
        (
            "sclgan.gans.attngan.AttnGAN",
            "sclgan.gans.dmgan.DMGAN",
            "sclgan.gans.ssagan.SSAGAN",
            "sclgan.gans.galip.GALIP",
        ),
        num_positional=1,
        keywords=("image_size",),
    ),
    "feature_discriminator": _Place(
        ("sclgan.gans.feature_discriminator.FeatureDiscriminator",),
        num_positional=1,
    ),
}
"""Field -> the classes that a saved recipe may name there: run folders come from strangers too."""


def to_json(recipe: Recipe) -> str:
    """The resolved recipe as JSON; constructors become {"call": "module.name", arguments}."""
    return json.dumps({"name": recipe.name} | _plain(recipe), indent=2)


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
    """The recipe that `to_json` wrote. One of before rows were saved has a name, which tells its row.

    Raises:
        ValueError: the text is not such a recipe, or names a class out of its place (`PLACES`).
    """
    try:
        content = json.loads(text)
        name = content.pop("name")
        for phase, renamed in RENAMED.items():
            content[phase] = {renamed.get(field, field): value for field, value in content[phase].items()}
        row = _built(Row, content.pop("row"), "row") if "row" in content else Row.parse(name)
        if row.name != name:
            raise ValueError(f"its name is {name!r}, its row is that of {row.name!r}")
        values = {name: _restored(value, name) for name, value in content.items()}
        values["pretraining"] = _built(Pretraining, values["pretraining"], "pretraining")
        values["training"] = _built(Training, values["training"], "training")
        recipe = _built(Recipe, {**values, "row": row})
        check_ranges(recipe, within=PLACES)  # of networks; a run of before other fields had ranges still opens
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        problem = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"not a recipe of this version of sclgan: {problem}") from error
    return recipe


def _built(kind: type[T], values: Mapping[str, Any], path: str = "") -> T:
    check_kinds(kind, values, path)
    return kind(**values)


def _restored(value: Any, place: str) -> Any:
    if place in PLACES and value is not None:
        return _constructor(value, place)
    if isinstance(value, dict):
        return {name: _restored(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(_restored(item, "") for item in value)
    return value


def _constructor(value: Any, place: str) -> partial[Any]:
    allowed = PLACES[place]
    module, _, name = str(value["call"]).rpartition(".")
    path = f"{MOVED.get(module, module)}.{name}"
    if path not in allowed.classes:
        raise ValueError(f"{value['call']!r} is not loaded as {place}, which is one of {', '.join(allowed.classes)}")
    found = getattr(importlib.import_module(path.rpartition(".")[0]), name)
    given = {key: _restored(item, key) for key, item in value.items() if key != "call"}
    try:
        signature(found).bind(*[None] * allowed.num_positional, **dict.fromkeys(allowed.keywords), **given)
    except TypeError as error:
        raise ValueError(f"{place} is not a {name}: {error}") from error
    return partial(found, **given)
