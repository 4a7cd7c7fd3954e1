"""Fields of a recipe by path: `training.steps=100` on the command line."""

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from inspect import signature
from typing import Any, Literal

from sclgan.recipe import Recipe


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with fields replaced by path: `training.steps=100`, `gan.nf=16`, `training.generator_weights.adv=2`.

    Raises:
        ValueError: no such field (the nearest name is given), or a value that is not of the field's type.
    """
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"'{assignment}' sets nothing: write field=value, such as training.steps=100")
        recipe = _replaced(recipe, path.split("."), value, path)
    return recipe


def _replaced(node: Any, path: list[str], value: str, whole: str) -> Any:
    options = children(node)
    name = path[0]
    if name not in options:
        nearest = difflib.get_close_matches(name, options, n=1, cutoff=0)
        known = f"did you mean '{nearest[0]}'? It has: {', '.join(options)}" if options else "it has no fields"
        raise ValueError(f"no field '{name}' in '{whole}': {known}")
    current, kind = options[name]
    if len(path) == 1:
        if isinstance(current, partial) or is_dataclass(current):
            raise ValueError(f"'{whole}' is a group; set one of its fields: {', '.join(children(current))}")
        new: Any = _parsed(value, kind, whole)
    else:
        new = _replaced(current, path[1:], value, whole)
    if isinstance(node, partial):
        return partial(node.func, *node.args, **{**node.keywords, name: new})
    if isinstance(node, Mapping):
        return {**node, name: new}
    if isinstance(node, tuple):
        return tuple(new if str(i) == name else item for i, item in enumerate(node))
    return replace(node, **{name: new})


def children(node: Any) -> dict[str, tuple[Any, Any]]:
    """Name -> (current value, type) of what an assignment can reach below `node`."""
    if is_dataclass(node):
        hints = typing.get_type_hints(type(node))
        return {f.name: (getattr(node, f.name), hints[f.name]) for f in fields(node)}
    if isinstance(node, partial):
        return {
            p.name: (node.keywords.get(p.name, p.default), p.annotation)
            for p in signature(node.func).parameters.values()
            if p.name in node.keywords or p.default is not p.empty
        }
    if isinstance(node, Mapping):
        return {name: (value, type(value)) for name, value in node.items()}
    if isinstance(node, tuple):
        return {str(i): (item, type(item)) for i, item in enumerate(node)}
    return {}


def _parsed(text: str, kind: Any, path: str) -> Any:
    """`text` as a value of the type `kind`: bool, int, float, str, a Literal, an optional or a tuple of these."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin in (typing.Union, types.UnionType):
            if text.lower() == "none" and type(None) in choices:
                return None
            return _parsed(text, next(choice for choice in choices if choice is not type(None)), path)
        if origin is Literal:
            if text in map(str, choices):
                return next(choice for choice in choices if str(choice) == text)
            raise ValueError(f"one of {', '.join(map(str, choices))}")
        if origin is tuple:
            if text.lower() == "none" and choices[1:] == (...,):
                return ()
            items = [item.strip() for item in text.strip("()[]").split(",")]
            kinds = [choices[0]] * len(items) if choices[1:] == (...,) else list(choices)
            if len(items) != len(kinds):
                raise ValueError(f"{len(kinds)} values")
            return tuple(_parsed(item, one, path) for item, one in zip(items, kinds, strict=True))
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float, str):
            return kind(text)
    except (ValueError, KeyError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise ValueError(f"'{path}' takes {error if origin else name}, not '{text}'") from error
    raise ValueError(f"'{path}' cannot be set from the command line; copy the recipe and change it there")


def value_at(node: Any, path: str) -> Any:
    """The value that an assignment to this path of a recipe replaces.

    Raises:
        KeyError: there is no such field: GANs and encoders differ in theirs.
    """
    name, _, rest = path.partition(".")
    value = children(node)[name][0]
    return value_at(value, rest) if rest else value
