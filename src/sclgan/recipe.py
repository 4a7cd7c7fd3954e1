"""A recipe is one row of an experiment table: everything that decides a run, as one frozen value.

Networks and data are named by their constructors, as `functools.partial` without the arguments that only the run
knows: an editor jumps to them, a type checker checks their keywords, and `construct` calls them.
"""

import difflib
import importlib
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from inspect import signature
from typing import Any, Literal

from sclgan.data.labels import LabelRule
from sclgan.gans.augmentation import Name as Augmentation
from sclgan.losses.contrastive import Pairs

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Pretraining:
    """Phase 1: the encoders. The defaults are DAMSM's (Xu et al. 2018) where it has them."""

    steps: int
    """Optimizer steps; 0 leaves the encoders as they are built, such as CLIP as published."""
    weights: Weights = field(default_factory=lambda: {"words": 1.0, "sentence": 1.0})
    """Weight of every term of the objective, each summed over the views; 'contrast' is the method's."""
    num_views: int = 1
    """Pairs of one label a step and anchor; 2 is the method."""
    batch_size: int = 48
    """Anchors a step, over all ranks."""
    image_size: int | None = None
    """Side of the pictures in pixels; None is the recipe's."""
    learning_rate: float = 0.002
    learning_rate_decay: float = 0.98
    """Factor of the learning rate an epoch: each time that as many pictures were seen, in all views, as there are. So
    rows with two views and rows with twice the batch decay alike."""
    minimal_learning_rate: float = 0.0002
    warmup_steps: int = 0
    """Steps over which the learning rate rises from 0 in proportion; transformers from random weights need some."""
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    """Of matrices, decoupled from the gradient (AdamW); gains and biases have none."""
    clip_text_gradient: float | None = 0.25
    """Largest gradient norm of the text encoder; None does not clip."""
    temperature: float = 0.1
    """Of the contrast."""
    pairs: Pairs = "all"
    """Which codes the contrast compares."""
    projection: int | None = None
    """Width of a head between codes and contrast, in both phases; None contrasts the codes themselves."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps that one record of the metrics averages."""


@dataclass(frozen=True)
class Training:
    """Phase 2: the GAN."""

    steps: int
    """Optimizer steps of the generator."""
    generator_weights: Weights
    """Weight of every term of the generator's objective; 'contrast' is the method's."""
    discriminator_weights: tuple[Weights, ...]
    """The same for the discriminator: one table for each of its optimizer steps, in order."""
    num_views: int = 1
    """Pairs of one label a step and anchor; 2 is the method."""
    batch_size: int = 24
    """Anchors a step, over all ranks."""
    generator_learning_rate: float = 1e-4
    discriminator_learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.9)
    temperature: float = 0.1
    """Of the contrast."""
    pairs: Pairs = "all"
    """Which codes the contrast compares."""
    noise: Literal["independent", "shared"] = "independent"
    """Whether the views of an anchor draw their own noise."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' forward passes; weights, losses, the gradient penalty and the text encoder stay in float32."""
    augment: tuple[Augmentation, ...] = ()
    """What is done to every picture that D sees, real or generated: translation, cutout, colour; none at all by
    default. Leave colour out where captions name colours."""
    every: Mapping[str, int] = field(default_factory=dict)
    """Terms that are taken every k-th step only, with k times their weight: term -> k (Karras et al. 2020, "Analyzing
    and Improving the Image Quality of StyleGAN", section 3.1, lazy regularisation)."""
    ramps: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Terms that come later: term -> (steps without it, steps over which its weight then rises)."""
    ema_decay: float = 0.0
    """Decay per step of the averaged generator that samples and evaluations use; 0 is no averaging."""
    ema_images: int = 0
    """The same as a half-life in pictures, at most a twentieth of those seen so far; excludes `ema_decay`."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    grid_every: int = 1000
    """Steps between sample grids."""
    evaluate_every: int = 2000
    """Steps between evaluations; 0 is none."""
    evaluate_protocols: tuple[str, ...] = ("fd_lite0", "kid_lite0")
    """What they measure; by the first the best checkpoint is kept."""
    evaluate_images: int = 1000
    """Pictures that each of them draws."""
    log_every: int = 20
    """Steps that one record of the metrics averages."""


@dataclass(frozen=True)
class Recipe:
    """One experiment. `source` is called with a split, `encoders` and `gan` with what the run knows."""

    name: str
    about: str
    """One line for the list of recipes."""
    source: Callable[..., Any]
    image_size: int
    """Side of the training pictures in pixels."""
    max_words: int
    """Words of a caption that the text encoder reads; of CLIP the tokens, both signs among them."""
    encoders: Callable[..., Any]
    pretraining: Pretraining
    gan: Callable[..., Any]
    training: Training
    feature_discriminator: Callable[..., Any] | None = None
    """A second D on the features of the encoders' frozen trunk, such as `partial(FeatureDiscriminator, width=64)`; its
    terms are then part of the objectives. Called with the encoders."""
    seed: int = 0
    """Of everything: data order, augmentation, initial weights, noise."""
    label_rule: LabelRule = "shared"
    """Which rows are pairs of one label, where rows have several; see `sclgan.data.labels`."""
    long_captions: Literal["thin", "truncate"] = "truncate"
    """What training reads of captions with more than `max_words` words: a random subset in order, or the first ones."""


def construct(lazy: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Calls a recipe's constructor, its nested constructors first."""
    if isinstance(lazy, partial):
        given = {
            name: construct(value) if isinstance(value, partial) else value for name, value in lazy.keywords.items()
        }
        return lazy.func(*lazy.args, *args, **(given | keywords))
    return lazy(*args, **keywords)


def class_of(lazy: Callable[..., Any]) -> Any:
    """The class that a recipe's constructor builds."""
    return lazy.func if isinstance(lazy, partial) else lazy


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
    options = _children(node)
    name = path[0]
    if name not in options:
        nearest = difflib.get_close_matches(name, options, n=1, cutoff=0)
        known = f"did you mean '{nearest[0]}'? It has: {', '.join(options)}" if options else "it has no fields"
        raise ValueError(f"no field '{name}' in '{whole}': {known}")
    current, kind = options[name]
    if len(path) == 1:
        if isinstance(current, partial) or is_dataclass(current):
            raise ValueError(f"'{whole}' is a group; set one of its fields: {', '.join(_children(current))}")
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


def _children(node: Any) -> dict[str, tuple[Any, Any]]:
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
    value = _children(node)[name][0]
    return value_at(value, rest) if rest else value


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
    if not module.startswith("sclgan."):
        raise ValueError(f"the recipe calls '{path}', which is not part of sclgan: it is not loaded")
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(f"the recipe calls '{path}', which is no class of {module}: it is not loaded")
    return found


def needed_files(recipe: Recipe) -> list[str]:
    """What the recipe's data and networks need from elsewhere, a line each: whatever has `needed_files` says it."""
    found: list[str] = []
    waiting: list[Any] = [recipe.source, recipe.encoders, recipe.gan]
    while waiting:
        lazy = waiting.pop(0)
        if not isinstance(lazy, partial):
            continue
        waiting += lazy.keywords.values()
        if listing := getattr(lazy.func, "needed_files", None):
            known = {name: lazy.keywords[name] for name in signature(listing).parameters if name in lazy.keywords}
            found += [str(file) for file in listing(**known)]
    return found


TINY = (
    "pretraining.steps=2",
    "pretraining.log_every=1",
    "training.steps=2",
    "training.log_every=1",
    "training.evaluate_every=0",
    "encoders.code_size=16",
    "encoders.embedding_size=16",
    "encoders.backbone.image_size=32",
    "encoders.weights=none",
    "encoders.num_text_blocks=1",
    "encoders.num_text_heads=2",
    "encoders.image_size=32",
    "encoders.patch_size=8",
    "encoders.image_width=16",
    "encoders.num_image_blocks=3",
    "encoders.num_image_heads=2",
    "gan.nf=2",
    "gan.ngf=2",
    "gan.ndf=2",
    "gan.z_dim=8",
    "gan.condition_dim=4",
    "gan.num_residual_blocks=1",
    "gan.mask_channels=4",
    "gan.code_channels=4",
    "gan.mid_channels=4",
    "gan.discriminator_channels=8",
    "gan.head_channels=8",
    "gan.feature_blocks=0,1,2",
    "gan.num_prompts=2",
    "feature_discriminator.width=4",
)
"""The fields that `tiny` sets; those of the GAN and of the encoders where they have them."""


def tiny(recipe: Recipe) -> Recipe:
    """The recipe at a size at which both phases take seconds on a CPU: for tests, and for trying out a set-up."""
    pretraining = replace(recipe.pretraining, batch_size=recipe.pretraining.batch_size // 6)
    training = replace(recipe.training, batch_size=recipe.training.batch_size // 4)
    return override(replace(recipe, pretraining=pretraining, training=training), tiny_assignments(recipe))


def tiny_assignments(recipe: Recipe) -> list[str]:
    """What of `TINY` the recipe has: GANs and encoders differ in their arguments. No steps stay none."""
    sets = [assignment for assignment in TINY if _has(recipe, assignment.partition("=")[0].split("."))]
    return sets if recipe.pretraining.steps else [one for one in sets if not one.startswith("pretraining.steps")]


def _has(node: Any, path: list[str]) -> bool:
    options = _children(node)
    return not path or (path[0] in options and _has(options[path[0]][0], path[1:]))
