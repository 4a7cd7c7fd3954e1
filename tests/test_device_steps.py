"""Training steps on a pretended GPU: nothing is left on the CPU, and the host waits for the device at records alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from phases import Both, both_phases, few
from pretended_gpu import PretendedGPU, pretended_gpu
from sclgan import distributed
from sclgan.data.types import Batch
from sclgan.gans import layers
from sclgan.recipe import Recipe
from sclgan.train import gan_phase, loop
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretraining_phase import PretrainingPhase

GANS = ("attngan", "dmgan", "ssagan", "galip")


@contextmanager
def on_a_pretended_gpu(recipe: Recipe, *, world_size: int = 1) -> Iterator[tuple[PretendedGPU, Both]]:
    """Within it both phases are there."""
    with pretended_gpu(world_size=world_size) as gpu:
        both = both_phases(recipe)
        gpu.waits.clear()
        yield gpu, both


def take_step(phase: PretrainingPhase | GANPhase, batch: Batch) -> None:
    """A step with all that the loop does beside it."""
    phase.step(batch.to(distributed.device()), 1)


def recipes() -> Iterator[object]:
    """Every GAN in both precisions, with one rank and two views, and with two ranks and one view; other variants."""
    for gan in GANS:
        yield pytest.param(f"{gan}_emoji_scl", 1, ("training.augment=colour,translation,cutout",), id=f"{gan}-float32")
        yield pytest.param(f"{gan}_emoji", 2, ("training.precision=bfloat16",), id=f"{gan}-bfloat16-two-ranks")
    for variant in ("ce", "cl"):
        yield pytest.param(f"ssagan_emoji_{variant}", 2, (), id=f"ssagan-{variant}")


@pytest.mark.parametrize(("name", "world_size", "fields"), list(recipes()))
def test_a_step_of_either_phase_is_on_the_device_and_the_host_waits_for_nothing(name, world_size, fields):
    recipe = few(name, *fields, world_size=world_size)
    with on_a_pretended_gpu(recipe, world_size=world_size) as (gpu, both):
        for phase, batches in both.in_turn:
            gpu.operators.clear()
            batch = batches[0]
            if phase is both.training:
                both.freeze()
            take_step(phase, batch)
            assert gpu.waits == []
            assert {"_fused_adam_", "_fused_adamw_"} & gpu.operators
            parameters = [p for module in phase.modules.values() for p in module.parameters()]
            assert {p.device.type for p in parameters} == {"cuda"}
            assert {p.grad.device.type for p in parameters if p.grad is not None} == {"cuda"}


@pytest.mark.parametrize("place", ["noise", "sentence"])
def test_what_is_left_on_the_cpu_is_refused(place, monkeypatch):
    recipe = few("ssagan_emoji")
    with on_a_pretended_gpu(recipe) as (_, both):
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
    with on_a_pretended_gpu(recipe) as (gpu, both):
        both.freeze()
        before: list[int] = []
        step = both.training.step
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
