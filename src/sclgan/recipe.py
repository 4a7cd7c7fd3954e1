"""A recipe is one row of an experiment table: everything that decides a run, as one frozen value.

Networks and data are named by their constructors, as `functools.partial` without the arguments that only the run
knows: an editor jumps to them, and a type checker checks their keywords. Numbers are annotated with their ranges, which
`sclgan.recipe_fields.check_ranges` checks.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from typing import Annotated, Literal, Protocol, TypeVar, runtime_checkable

from annotated_types import Ge, Gt, Interval

from sclgan.data.labels import LabelRule
from sclgan.data.needed import Needed, NeedsFiles
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders
from sclgan.gans.augmentation import Name as Augmentation
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.feature_discriminator import FeatureDiscriminator
from sclgan.losses.contrastive import Pairs

TermWeights = Mapping[str, Annotated[float, Ge(0)]]
"""Factor of every term of an objective."""
Rate = Annotated[float, Gt(0)]
Beta = Annotated[float, Interval(ge=0, lt=1)]
AtLeast0 = Annotated[int, Ge(0)]
AtLeast1 = Annotated[int, Ge(1)]
BatchSize = Annotated[int, Ge(2)]
"""Anchors: one alone has no rivals, no mismatched caption and no batch statistics."""


@runtime_checkable
class GANConstructor(Protocol):
    """Builds a GAN on the encoders of a run, such as `partial(SSAGAN, nf=64)`."""

    def __call__(self, encoders: Encoders, *, image_size: int) -> TextToImageGAN: ...


@dataclass(frozen=True)
class Row:
    """The place of a recipe in the experiment tables."""

    gan: str
    """Name of the method, such as "ssagan"."""
    data: str
    """Name of the data set, such as "emoji"."""
    variant: str = ""
    """The change of the plain recipe, such as "scl"; empty for the plain recipe."""
    difference: str = ""
    """The change of an ablation against its variant, such as "temperature0.5"; empty elsewhere."""

    @property
    def ending(self) -> str:
        """VARIANT, or VARIANT-DIFFERENCE, which distinguishes the rows of one GAN on one data set."""
        return "-".join(part for part in (self.variant, self.difference) if part)

    @property
    def name(self) -> str:
        """The name of the recipe: GAN_DATA, or GAN_DATA_ENDING."""
        return "_".join(part for part in (self.gan, self.data, self.ending) if part)

    def with_variant(self, variant: str) -> "Row":
        """The row with one more change."""
        return replace(self, variant=f"{self.variant}_{variant}" if self.variant else variant)

    @classmethod
    def parse(cls, name: str) -> "Row":
        """The row of a recipe that was saved with its name alone."""
        gan, _, rest = name.partition("_")
        data, _, ending = rest.partition("_")
        variant, _, difference = ending.partition("-")
        return cls(gan, data, variant, difference)


@dataclass(frozen=True)
class Pretraining:
    """Phase 1: the encoders. The defaults are DAMSM's (Xu et al. 2018) where it has them."""

    steps: AtLeast0
    """Optimizer steps; 0 leaves the encoders as they are built, such as CLIP as published."""
    objective: TermWeights = field(default_factory=lambda: {"words": 1.0, "sentence": 1.0})
    """Factor of every term of the objective, each summed over the views; 'contrast' is the method's."""
    num_views: AtLeast1 = 1
    """Pairs of one label per step and anchor; 2 is the method."""
    batch_size: BatchSize = 48
    """Anchors per step, over all ranks."""
    image_size: AtLeast1 | None = None
    """Side of the pictures in pixels; None takes the recipe's."""
    learning_rate: Rate = 0.002
    learning_rate_decay: Annotated[float, Interval(gt=0, le=1)] = 0.98
    """Factor of the learning rate per epoch. An epoch ends whenever as many pictures were seen, in all views, as there
    are, so that rows with two views and rows with twice the batch decay alike."""
    minimal_learning_rate: Annotated[float, Ge(0)] = 0.0002
    warmup_steps: AtLeast0 = 0
    """Steps over which the learning rate rises from 0 in proportion; transformers from random weights need some."""
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decay of matrices, decoupled from the gradient (AdamW); gains and biases have none."""
    clip_text_gradient: Rate | None = 0.25
    """Largest gradient norm of the text encoder; None does not clip."""
    temperature: Annotated[float, Gt(0)] = 0.1
    """Temperature of the contrast."""
    pairs: Pairs = "all"
    """Which codes the contrast compares."""
    projection: AtLeast1 | None = None
    """Width of a head between codes and contrast, in both phases; None contrasts the codes themselves."""
    checkpoint_every: AtLeast0 = 500
    """Steps between checkpoints; 0 writes the last one alone."""
    log_every: AtLeast1 = 20
    """Steps that one record of the metrics averages."""


@dataclass(frozen=True)
class Training:
    """Phase 2: the GAN."""

    steps: AtLeast1
    """Optimizer steps of the generator."""
    generator_objective: TermWeights
    """Factor of every term of the generator's objective; 'contrast' is the method's."""
    discriminator_objectives: tuple[TermWeights, ...]
    """The same for the discriminator: one table for each of its optimizer steps, in order."""
    num_views: AtLeast1 = 1
    """Pairs of one label per step and anchor; 2 is the method."""
    batch_size: BatchSize = 24
    """Anchors per step, over all ranks."""
    accumulate: AtLeast1 = 1
    """Parts of the batch that go through the networks one after the other, so that a step needs their memory alone;
    exact where no network holds batch statistics, see `sclgan.train.gan_parts`."""
    penalty_parts: AtLeast1 = 1
    """Parts of each of these parts, or of the batch, for D's steps with a gradient penalty, which need the most
    memory; as exact."""
    generator_learning_rate: Rate = 1e-4
    discriminator_learning_rate: Rate = 4e-4
    betas: tuple[Beta, Beta] = (0.0, 0.9)
    temperature: Annotated[float, Gt(0)] = 0.1
    """Temperature of the contrast."""
    pairs: Pairs = "all"
    """Which codes the contrast compares."""
    contrast_reals: bool = False
    """Whether the codes of the real pictures join the contrast, as further images of its labels."""
    noise: Literal["independent", "shared"] = "independent"
    """Whether the views of an anchor draw their own noise."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the networks' forward passes; weights, losses, gradient penalty and text encoder stay in float32."""
    tf32: bool = False
    """Whether a GPU multiplies float32 with the 10 bits of TF32 in the steps: faster, and no longer the reference
    codes' numbers. Has no effect on a CPU."""
    cudnn_benchmark: bool = False
    """Whether a GPU tries all algorithms for each convolution and keeps the fastest, which may differ from run to run:
    the last bits of a run that is repeated or continued then differ. Has no effect on a CPU."""
    augment: tuple[Augmentation, ...] = ()
    """Random changes of every picture that D sees, real or generated: translation, cutout, colour; none by default.
    Leave colour out where captions name colours."""
    every: Mapping[str, AtLeast1] = field(default_factory=dict)
    """Terms that are taken every k-th step only, with k times their weight: term -> k (Karras et al. 2020, "Analyzing
    and Improving the Image Quality of StyleGAN", section 3.1, lazy regularisation)."""
    ramps: Mapping[str, tuple[AtLeast0, AtLeast0]] = field(default_factory=dict)
    """Terms that come later: term -> (steps without it, steps over which its weight then rises)."""
    ema_decay: Beta = 0.0
    """Decay per step of the averaged generator that samples and evaluations use; 0 does not average."""
    ema_images: AtLeast0 = 0
    """The same as a half-life in pictures, at most a twentieth of those seen so far; excludes `ema_decay`."""
    checkpoint_every: AtLeast0 = 1000
    """Steps between checkpoints; 0 writes the last one alone."""
    grid_every: AtLeast0 = 1000
    """Steps between sample grids; 0 draws none."""
    evaluate_every: AtLeast0 = 2000
    """Steps between evaluations; 0 makes none."""
    evaluate_protocols: tuple[str, ...] = ("fd_lite0", "kid_lite0")
    """The protocols that they measure; the best checkpoint by the first one is kept."""
    evaluate_images: Annotated[int, Ge(2)] = 1000
    """Pictures that each evaluation draws."""
    log_every: AtLeast1 = 20
    """Steps that one record of the metrics averages."""


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    row: Row
    about: str
    """One line for the list of recipes."""
    source: Callable[[str], Source]
    """Opens a split of the data."""
    image_size: AtLeast1
    """Side of the training pictures in pixels."""
    max_words: AtLeast1
    """Words of a caption that the text encoder reads; for CLIP the tokens, both signs included."""
    encoders: Callable[[int], Encoders]
    """Builds the encoders for a number of tokens."""
    pretraining: Pretraining
    gan: GANConstructor
    training: Training
    feature_discriminator: Callable[[Encoders], FeatureDiscriminator] | None = None
    """A second D on the features of the encoders' frozen trunk, such as `partial(FeatureDiscriminator, width=64)`; its
    terms are then part of the objectives."""
    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Seed of all random numbers: data order, augmentation, initial weights, noise."""
    label_rule: LabelRule = "shared"
    """Which rows are pairs of one label, where rows have several; see `sclgan.data.labels`."""
    long_captions: Literal["thin", "truncate"] = "truncate"
    """The words that training reads of captions with more than `max_words`: a random subset in order, or the first."""

    @property
    def name(self) -> str:
        """The name of its row."""
        return self.row.name


T = TypeVar("T")


def class_of(constructor: Callable[..., T]) -> type[T]:
    """The class that a recipe's constructor builds.

    Raises:
        TypeError: it is a function.
    """
    found = constructor.func if isinstance(constructor, partial) else constructor
    if not isinstance(found, type):
        raise TypeError(f"{found} is not a class: a recipe names its networks and data by functools.partial of a class")
    return found


def needed_files(recipe: Recipe) -> list[str]:
    """The files that the recipe's data and networks need from elsewhere, one line each."""
    parts = (recipe.source, recipe.encoders, recipe.gan)
    return [str(file) for part in parts for file in _needed_files(part)]


def _needed_files(constructor: object) -> Iterator[Needed]:
    if not isinstance(constructor, partial):
        return
    if isinstance(constructor.func, NeedsFiles):
        listing, given = constructor.func.needed_files, constructor.keywords
        yield from listing(**{name: given[name] for name in signature(listing).parameters if name in given})
    for value in constructor.keywords.values():
        yield from _needed_files(value)
