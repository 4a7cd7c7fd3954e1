"""How a GPU is fed and how it computes, as far as this can be known without one."""

import os
from typing import Any

import pytest
import torch

from pretended_gpu import pretended_gpu
from sclgan.data.types import Batch, Captions, View
from sclgan.distributed import arithmetic, copied, workers_for

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("cores", "ranks", "jobs", "number"), [(1, 1, 1, 1), (4, 1, 1, 3), (64, 1, 1, 8), (16, 4, 1, 3), (16, 1, 8, 1)]
)
def test_workers_are_the_cores_that_a_process_has_but_one(cores, ranks, jobs, number, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert workers_for(GPU, None, num_jobs=jobs) == number
    assert workers_for(GPU, 0) == 0
    assert workers_for(CPU, None) == 0
    assert workers_for(CPU, 5) == 5


def precisions() -> list[str]:
    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv")]  # noqa: B009 - for mypy
    return [backend.fp32_precision for backend in backends]


def test_float32_is_exact_on_a_gpu_unless_tf32_is_asked_for():
    before = precisions(), torch.backends.cudnn.benchmark
    with arithmetic(GPU):
        assert precisions() == ["ieee", "ieee"]
        with arithmetic(GPU, tf32=True, cudnn_benchmark=True):
            assert precisions() == ["tf32", "tf32"]
            assert torch.backends.cudnn.benchmark
        assert precisions() == ["ieee", "ieee"]
    with arithmetic(CPU, tf32=True, cudnn_benchmark=True):
        assert (precisions(), torch.backends.cudnn.benchmark) == before
    assert (precisions(), torch.backends.cudnn.benchmark) == before


def test_a_batch_goes_to_the_device_in_8_bits_and_without_waiting_but_for_what_the_host_reads():
    image = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    views = (View(image, Captions(torch.ones(2, 3, dtype=torch.long), torch.tensor([3, 1]))),)
    batch = Batch(views, torch.tensor([0, 1]), torch.tensor([True, False]), torch.ones(1, 2, 5, dtype=torch.bool))
    with pretended_gpu() as gpu:
        pinned = batch.pin_memory()
        assert pinned.views[0].image.is_pinned()
        for given in (batch, pinned):
            moved = given.to(GPU)
            on_device = (moved.views[0].image, moved.views[0].captions.tokens, moved.labels, moved.label_sets)
            assert [x is not None and x.device for x in on_device] == [GPU] * 4
            assert moved.views[0].captions.lengths.device == moved.has_partner.device == CPU
            assert moved.views[0].image.dtype == torch.float32
        assert gpu.waits == []
        assert copied(moved.labels, GPU).device == GPU
