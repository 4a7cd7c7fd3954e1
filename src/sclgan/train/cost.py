"""What a recipe costs before it is trained: parameters, operations, memory, and time on this machine."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sclgan import distributed
from sclgan.data.types import Batch, Captions, View
from sclgan.encoders.base import Encoders
from sclgan.gans.base import TextToImageGAN
from sclgan.recipe import Pretraining, Recipe, Training
from sclgan.recipe_fields import override
from sclgan.runs.encoders import encoders_class
from sclgan.train.batches import image_size_of
from sclgan.train.gan_parts import gan_phase
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretended import pretend, pretending, shapes_alone
from sclgan.train.pretraining_phase import PretrainingPhase
from sclgan.train.schedule import weights_at
from sclgan.train.training import with_feature_discriminator

Phase = PretrainingPhase | GANPhase
Settings = Pretraining | Training

STAND_IN_WORDS, STAND_IN_LABELS = 5450, 200
"""The vocabulary and the labels of CUB, where the recipe's data cannot be opened."""


@dataclass(frozen=True)
class DataSizes:
    """What networks need to know of the data; `note` says where a number is a stand-in, and why."""

    num_tokens: int
    num_labels: int
    note: str | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a step in one process, by what they hold."""

    weights: int
    """Of all networks, the frozen encoders among them."""
    averaged: int
    """Of the averaged generator."""
    optimizers: int
    gradients: int
    activations: int
    """All else: the batch, what the backward pass needs, buffers on the way; not what kernels take for themselves."""

    @property
    def total(self) -> int:
        return self.weights + self.averaged + self.optimizers + self.gradients + self.activations


@dataclass(frozen=True)
class StepCost:
    """An optimizer step of a phase, averaged over the steps of its schedule; memory is that of the largest one."""

    operations: int
    memory: Memory


def data_sizes(recipe: Recipe) -> DataSizes:
    """The sizes of the recipe's data, or stand-ins where they are not on this machine."""
    tokenizer = encoders_class(recipe).tokenizer
    try:
        source = recipe.source("train")
        captions, num_labels = source.captions(), len(source.label_names)
        return DataSizes(tokenizer.of(captions, max_words=recipe.max_words).num_tokens, num_labels)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        why = f"the data cannot be opened ({type(error).__name__})"
    words = (f"word{i}" for i in range(STAND_IN_WORDS - 1))  # and padding
    num_tokens = tokenizer.of(words, max_words=recipe.max_words).num_tokens
    note = f"{why}: {num_tokens:,} tokens and {STAND_IN_LABELS} labels are assumed"
    return DataSizes(num_tokens, STAND_IN_LABELS, note)


def parameters(recipe: Recipe, sizes: DataSizes) -> dict[str, int]:
    """The number of parameters of every network; of the encoders also those that pre-training changes."""
    with shapes_alone():
        encoders = build_encoders(recipe, sizes)
        gan = _gan(recipe, encoders)
    return {
        "generator": _number(gan.generator.parameters()),
        "discriminator": _number(gan.discriminator.parameters()),
        "encoders": _number(encoders.parameters()),
        "of the encoders, pre-trained": _number(encoders.trainable_parameters()),
    }


def step_cost(recipe: Recipe, settings: Settings, sizes: DataSizes) -> StepCost:
    """The cost of an optimizer step of the phase that `settings` is of, on pretended tensors.

    Raises:
        ValueError: a network cannot be built.
    """
    with shapes_alone():
        encoders = build_encoders(recipe, sizes)
        gan = _gan(recipe, encoders) if isinstance(settings, Training) else None
    networks = [encoders, *([gan.generator, gan.discriminator] if gan else [])]
    with pretending(recipe.max_words) as tally:
        for network in networks:
            pretend(network)
        phase = _phase(recipe, settings, encoders, gan)
        averaged = [phase.averaged.average] if isinstance(phase, GANPhase) else []
        for network in averaged:
            pretend(network)  # copies of pretended tensors belong to no mode
        trained = _with_states(phase)
        batch = synthetic_batch(recipe, settings, sizes)
        operations, peak = 0.0, 0
        for step, share in kinds_of_steps(settings):
            tally.reset()
            phase.step(batch, step)
            operations, peak = operations + share * tally.operations, max(peak, tally.peak)
        states = [x for opt in phase.optimizers.values() for state in opt.state.values() for x in state.values()]
        held = Memory(_bytes(_tensors(networks)), _bytes(_tensors(averaged)), _bytes(states), _bytes(trained), 0)
    return StepCost(round(operations), replace(held, activations=peak - held.total))


def largest_batch(recipe: Recipe, settings: Settings, sizes: DataSizes, cost: StepCost, available: int) -> int:
    """About how many anchors fit into `available` bytes: memory as a line through two batches; 0 where not even 2 do.

    `cost` is that of the recipe's own batch.
    """
    parts = settings.accumulate if isinstance(settings, Training) else 1
    own = settings.batch_size
    other = max(2, own // 4)
    other += -other % parts
    if other >= own:
        other = 2 * own
    of_other = step_cost(recipe, replace(settings, batch_size=other), sizes).memory.total
    per_row = (cost.memory.total - of_other) / (own - other)
    found = own + math.floor((available - cost.memory.total) / per_row)
    found -= found % parts
    return found if found >= max(2, parts) else 0


def seconds_per_step(recipe: Recipe, settings: Settings, sizes: DataSizes) -> float:
    """The time of a real step on this machine with random weights and pictures: the second of two."""
    device, total = distributed.device(), 0.0
    encoders = build_encoders(recipe, sizes).to(device)
    gan = _gan(recipe, encoders) if isinstance(settings, Training) else None
    for network in [gan.generator, gan.discriminator] if gan else []:
        network.to(device)
    phase = _phase(recipe, settings, encoders, gan)
    batch = synthetic_batch(recipe, settings, sizes)
    for step, share in kinds_of_steps(settings):
        for _ in range(2):
            began = time.monotonic()
            phase.step(batch, step)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.monotonic() - began
        total += share * seconds
    return total


def build_encoders(recipe: Recipe, sizes: DataSizes) -> Encoders:
    """The encoders with the heads that pre-training would add, from random weights where these are not in a package."""
    for path in ("encoders.weights", "encoders.backbone.weights"):
        with suppress(ValueError):  # no such field, or a choice among a package's own
            recipe = override(recipe, [f"{path}=none"])
    encoders = recipe.encoders(sizes.num_tokens)
    if "cross_entropy" in recipe.pretraining.objective:
        encoders.add_label_classifier(sizes.num_labels)
    if recipe.pretraining.projection is not None:
        encoders.add_projection(recipe.pretraining.projection)
    return encoders


def synthetic_batch(recipe: Recipe, settings: Settings, sizes: DataSizes) -> Batch:
    """A batch of the shapes of the recipe's, on the device: grey pictures, captions of full length."""
    rows, side, device = settings.batch_size, image_size_of(recipe, settings), distributed.device()
    captions = Captions(torch.ones(rows, recipe.max_words, dtype=torch.long), torch.tensor([recipe.max_words] * rows))
    views = [View(torch.rand(rows, 3, side, side) * 2 - 1, captions) for _ in range(settings.num_views)]
    label_sets = None
    if recipe.label_rule in ("weighted", "attributes"):
        label_sets = torch.zeros(settings.num_views, rows, sizes.num_labels, dtype=torch.bool)
        label_sets[:, :, 0] = True
    labels = torch.arange(rows) % sizes.num_labels
    return Batch(tuple(views), labels, torch.ones(rows, dtype=torch.bool), label_sets).to(device)


def kinds_of_steps(settings: Settings) -> Iterator[tuple[int, float]]:
    """A step for each set of terms that are due at once when all ramps have risen, and its share of all steps."""
    if isinstance(settings, Pretraining):
        yield 1, 1.0
        return
    risen = max((start + rise for start, rise in settings.ramps.values()), default=0)
    cycle = math.lcm(*settings.every.values())
    kinds: dict[tuple[frozenset[str], ...], list[int]] = {}
    for step in range(risen + 1, risen + cycle + 1):
        tables = (settings.generator_objective, *settings.discriminator_objectives)
        due = tuple(frozenset(weights_at(step, table, settings)) for table in tables)
        kinds.setdefault(due, []).append(step)
    for steps in kinds.values():
        yield steps[0], len(steps) / cycle


def _gan(recipe: Recipe, encoders: Encoders) -> TextToImageGAN:
    return with_feature_discriminator(recipe.gan(encoders, image_size=recipe.image_size), recipe, encoders)


def _phase(recipe: Recipe, settings: Settings, encoders: Encoders, gan: TextToImageGAN | None) -> Phase:
    if isinstance(settings, Pretraining):
        return PretrainingPhase(encoders.train(), settings, steps_per_epoch=1)
    assert gan is not None
    gan.generator.train()
    gan.discriminator.train()
    return gan_phase(gan, encoders.requires_grad_(False).eval(), settings, seed=recipe.seed)


def _with_states(phase: Phase) -> list[nn.Parameter]:
    """The parameters that the phase trains, after a first step of its optimizers has made their states."""
    trained = [p for opt in phase.optimizers.values() for group in opt.param_groups for p in group["params"]]
    for p in trained:
        p.grad = torch.empty_like(p)
    for optimizer in phase.optimizers.values():
        optimizer.step()
    return trained


def _tensors(modules: Iterable[nn.Module]) -> list[Tensor]:
    return [x for module in modules for x in (*module.parameters(), *module.buffers())]


def _bytes(tensors: Iterable[Tensor]) -> int:
    """The bytes of tensors that share no memory but are themselves."""
    return sum(x.numel() * x.element_size() for x in {id(x): x for x in tensors}.values())


def _number(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
