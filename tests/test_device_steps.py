"""Training steps on a pretended GPU: nothing is left on the CPU, and the host waits for the device at records alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import pytest
import torch

from pretended_gpu import PretendedGPU, pretended_gpu
from runs import small
from sclgan import distributed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch, Source
from sclgan.encoders.base import Tokenizer
from sclgan.gans import layers
from sclgan.recipe import Recipe
from sclgan.recipes import recipe as recipe_named
from sclgan.runs.encoders import encoders_class
from sclgan.train import gan_phase, loop
from sclgan.train.batches import training_batches
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretraining import new_encoders
from sclgan.train.pretraining_phase import PretrainingPhase
from sclgan.train.training import new_phase

GANS = ("attngan", "dmgan", "ssagan", "galip")


@dataclass
class Both:
    """Both phases of a recipe on the device, with a batch for each."""

    gpu: PretendedGPU
    pretraining: PretrainingPhase
    training: GANPhase
    batches: tuple[PairedBatches, PairedBatches]


@cache
def opened(kind: type[Tokenizer], max_words: int) -> tuple[Source, Tokenizer]:
    """The training split of all recipes here, and the tokenizer of its captions."""
    source = recipe_named("ssagan_emoji").source("train")
    return source, kind.of(source.captions(), max_words=max_words)


@contextmanager
def both_phases(recipe: Recipe, *, world_size: int = 1) -> Iterator[Both]:
    """Within it the phases are on a pretended GPU."""
    source, tokenizer = opened(encoders_class(recipe).tokenizer, recipe.max_words)
    first, second = (
        training_batches(recipe, source, tokenizer, phase, None) for phase in (recipe.pretraining, recipe.training)
    )
    assert isinstance(first, PairedBatches)
    assert isinstance(second, PairedBatches)
    with pretended_gpu(world_size=world_size) as gpu:
        encoders = new_encoders(recipe, tokenizer, num_labels=len(source.label_names))
        pretraining = PretrainingPhase(encoders, recipe.pretraining, steps_per_epoch=2)
        training, _ = new_phase(recipe, encoders)
        gpu.waits.clear()
        yield Both(gpu, pretraining, training, (first, second))


def take_step(phase: PretrainingPhase | GANPhase, batch: Batch) -> None:
    """A step with all that the loop does beside it."""
    phase.step(batch.to(distributed.device()), 1)


def recipes() -> Iterator[object]:
    """Every GAN in both precisions, one and two ranks; every variant once."""
    for gan in GANS:
        yield pytest.param(f"{gan}_emoji_scl", 1, ("training.augment=colour,translation,cutout",), id=f"{gan}-float32")
        yield pytest.param(f"{gan}_emoji_scl", 2, ("training.precision=bfloat16",), id=f"{gan}-bfloat16-two-ranks")
    for variant in ("ce", "cl", "unicl", "2x"):
        yield pytest.param(f"ssagan_emoji_{variant}", 2, (), id=f"ssagan-{variant}")


def few(name: str, *fields: str, world_size: int = 1) -> Recipe:
    """The recipe with two pictures for each rank and, where D judges features, one map of them.

    An operator of the pretended device takes as long for two pictures as for a hundred.
    """
    maps = () if "galip" in name else ("feature_discriminator.maps=3",)
    sizes = [f"{phase}.batch_size={2 * world_size}" for phase in ("pretraining", "training")]
    return small(name, *sizes, *maps, *fields)


@pytest.mark.parametrize(("name", "world_size", "fields"), list(recipes()))
def test_a_step_of_either_phase_is_on_the_device_and_the_host_waits_for_nothing(name, world_size, fields):
    recipe = few(name, *fields, world_size=world_size)
    with both_phases(recipe, world_size=world_size) as both:
        for phase, batches in zip((both.pretraining, both.training), both.batches, strict=True):
            both.gpu.operators.clear()
            batch = batches[0]
            if phase is both.training:
                both.pretraining.encoders.requires_grad_(False).eval()
            take_step(phase, batch)
            assert both.gpu.waits == []
            assert {"_fused_adam_", "_fused_adamw_"} & both.gpu.operators
            parameters = [p for module in phase.modules.values() for p in module.parameters()]
            assert {p.device.type for p in parameters} == {"cuda"}
            assert {p.grad.device.type for p in parameters if p.grad is not None} == {"cuda"}


@pytest.mark.parametrize("place", ["noise", "sentence"])
def test_what_is_left_on_the_cpu_is_refused(place, monkeypatch):
    recipe = few("ssagan_emoji")
    with both_phases(recipe) as both:
        if place == "noise":
            monkeypatch.setattr(gan_phase, "copied", lambda x, _: x)
        else:
            both.training.gan.generator.register_forward_pre_hook(lambda _, given: (given[0], given[1].cpu()))
        with pytest.raises(RuntimeError, match=r"two (different )?devices,? c"):
            take_step(both.training, both.batches[1][0])


def test_a_question_of_the_host_is_counted():
    with pretended_gpu() as gpu:
        x = torch.zeros(4).to("cuda")
        assert gpu.waits == ["copy to the device"]
        assert bool((x > 0).any())
        x.cpu(), x.nonzero(), x[torch.tensor([1])]
        x.repeat_interleave((x > 0).long())
        torch.zeros(4).pin_memory().to("cuda", non_blocking=True)
        asked = ["_local_scalar_dense", "copy to the CPU", "nonzero", "index by a tensor of the CPU"]
        assert gpu.waits[1:] == [*asked, "repeat_interleave"]


def test_the_host_waits_at_records_alone(tmp_path, monkeypatch):
    recipe = few("ssagan_emoji")
    with both_phases(recipe) as both:
        both.pretraining.encoders.requires_grad_(False).eval()
        before: list[int] = []
        step, gpu = both.training.step, both.gpu
        monkeypatch.setattr(both.training, "step", lambda *given: (before.append(len(gpu.waits)), step(*given))[1])
        monkeypatch.setattr(loop, "_loader", lambda batches, *_: (batches[n] for n in range(3)))
        saved: list[int] = []
        monkeypatch.setattr(loop, "_save", lambda _, __, step, ___: saved.append(step))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 2**30)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
        (tmp_path / "recipe.json").touch()
        loop.run(
            both.training, both.batches[1], tmp_path, title="x", steps=3, log_every=2, checkpoint_every=0, num_workers=0
        )
        waits = [later - earlier for earlier, later in zip(before, [*before[1:], len(gpu.waits)], strict=True)]
    assert waits[0] == 0
    assert waits[1] > 0  # whether the losses are finite, and their means
    assert waits[2] > 0
    assert saved == [3]


# Code that is written for a CPU


def on_device(*shape: int) -> torch.Tensor:
    return torch.empty(1).to("cuda").expand(*shape).contiguous()


def test_normalisation_and_gated_units_are_not_cut_into_pieces():
    with pretended_gpu(world_size=2) as gpu:
        x = on_device(4, 8, 256, 256).requires_grad_()
        assert len(list(layers._pieces(torch.empty(4, 8, 256, 256)))) == 8
        assert len(list(layers._pieces(x))) == 1
        layers.GlobalBatchNorm2d(8).to("cuda")(x).sum().backward()
        layers.GLU()(x).sum().backward()
        assert "glu_backward" in gpu.operators


def test_convolutions_are_not_made_of_matrices_nor_transposed():
    with pretended_gpu() as gpu:
        wide, doubling = layers.Conv2d(512, 1024, 4), layers.UpsampledConv2d(4, 4)
        few, many = on_device(2, 512, 4, 4), on_device(1, 4, 64, 64)
        wide.to("cuda")(few)
        doubling.to("cuda")(many)
        assert gpu.operators & {"im2col", "convolution", "upsample_nearest2d"} == {"convolution", "upsample_nearest2d"}
        assert "avg_pool2d" not in gpu.operators
