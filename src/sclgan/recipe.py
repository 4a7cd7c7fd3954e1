"""A recipe is one row of an experiment table: everything that decides a run, as one frozen value.

Networks and data are named by their constructors, as `functools.partial` without the arguments that only the run
knows: an editor jumps to them, a type checker checks their keywords, and `construct` calls them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
