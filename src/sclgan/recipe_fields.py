"""Fields of a recipe by path, such as `training.steps=100`: overriding them, and checking their types and ranges."""

import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from inspect import signature
from typing import Annotated, Any, Literal

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MultipleOf

from sclgan.data.names import nearest
from sclgan.recipe import Recipe

UNIONS = (typing.Union, types.UnionType)


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with fields replaced by path: `training.steps=100`, `gan.nf=16`, `training.generator_objective.adv=2`.

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
        known = f"did you mean '{nearest(name, options)}'? It has: {', '.join(options)}" if options else "it has none"
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
        hints = typing.get_type_hints(type(node), include_extras=True)
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
    if origin is Annotated:
        return _parsed(text, choices[0], path)
    try:
        if origin in UNIONS:
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


def check_ranges(recipe: Recipe, *, within: Collection[str] = ()) -> None:
    """Refuses values of another type than their field's, or outside its range; `within` these fields alone, if any.

    Raises:
        ValueError: names every such field with its value and what it takes.
    """
    leaves = (leaf for leaf in _leaves(recipe, Recipe, "") if not within or leaf.path.partition(".")[0] in within)
    _refuse(leaves, lambda leaf: _kind_wanted(leaf) or _range_wanted(leaf))


def check_kinds(kind: type, values: Mapping[str, Any], path: str = "") -> None:
    """Refuses values for the fields of a dataclass, or of the parts below them, that are not of the field's type.

    Raises:
        ValueError: names every such field with its value and what it takes.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    known = [(name, value) for name, value in values.items() if name in hints]
    _refuse((leaf for name, value in known for leaf in _leaves(value, hints[name], _join(path, name))), _kind_wanted)


@dataclass(frozen=True)
class _Leaf:
    """A single value of a recipe, the type that its field declares, and the bounds beside it."""

    path: str
    value: Any
    kind: Any
    bounds: Sequence[Any] = ()


def _refuse(leaves: Iterable[_Leaf], wanted: Callable[[_Leaf], str | None]) -> None:
    problems = [
        f"{leaf.path} must be {what}, not {leaf.value!r}" for leaf in leaves if (what := wanted(leaf)) is not None
    ]
    if problems:
        raise ValueError("; ".join(problems))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _leaves(value: Any, kind: Any, path: str, bounds: Sequence[Any] = ()) -> Iterator[_Leaf]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        yield from _leaves(value, inner[0], path, [*bounds, *_unpacked(inner[1:])])
    elif isinstance(value, partial) or (is_dataclass(value) and isinstance(value, kind)):
        for name, (below, its_kind) in children(value).items():
            yield from _leaves(below, its_kind, _join(path, name))
    elif origin in UNIONS and len(inner) == 2 and type(None) in inner:
        if value is not None:
            yield from _leaves(value, next(one for one in inner if one is not type(None)), path, bounds)
    elif origin is tuple and isinstance(value, tuple) and (inner[1:] == (...,) or len(inner) == len(value)):
        for place, item in enumerate(value):
            yield from _leaves(item, inner[0] if inner[1:] == (...,) else inner[place], f"{path}.{place}", bounds)
    elif origin is Mapping and isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, inner[1], f"{path}.{name}", bounds)
    else:
        yield _Leaf(path, value, kind, bounds)


def _unpacked(bounds: Sequence[Any]) -> Iterator[Any]:
    for one in bounds:
        yield from one if isinstance(one, GroupedMetadata) else [one]


def _kind_wanted(leaf: _Leaf) -> str | None:
    """The type that the value lacks, in words; None where it fits, or where the field is free."""
    kind, value = leaf.kind, leaf.value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in UNIONS:
        each = [_kind_wanted(_Leaf(leaf.path, value, one)) for one in inner]
        return None if None in each else " or ".join(filter(None, each))
    if origin is Literal:
        return None if value in inner else f"one of {', '.join(map(str, inner))}"
    if origin is tuple:
        return "a list of values" if inner[1:] == (...,) else f"a list of {len(inner)} values"
    if origin is Mapping:
        return "a table of names and values"
    if kind is type(None):
        return None if value is None else "null"
    if is_dataclass(kind):
        return "a table of fields"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if kind not in words:
        return None
    fits = isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    return None if fits else words[kind]


def _range_wanted(leaf: _Leaf) -> str | None:
    """The range that the value is outside of, in words; None where it is inside."""
    value = leaf.value
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    tests = {
        Ge: lambda bound: (value >= bound.ge, f"at least {bound.ge}"),
        Gt: lambda bound: (value > bound.gt, f"above {bound.gt}"),
        Le: lambda bound: (value <= bound.le, f"at most {bound.le}"),
        Lt: lambda bound: (value < bound.lt, f"below {bound.lt}"),
        MultipleOf: lambda bound: (value % bound.multiple_of == 0, f"a multiple of {bound.multiple_of}"),
    }
    results = [tests[type(bound)](bound) for bound in leaf.bounds]
    return None if all(holds for holds, _ in results) else " and ".join(words for _, words in results)
