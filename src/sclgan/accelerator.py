"""What a GPU is fed with, and how it computes: copies that nobody waits for, workers, TF32. A leaf.

Nothing here has an effect on a CPU.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

MOST_WORKERS = 8


def copied(x: Tensor, device: torch.device) -> Tensor:
    """`x` on the device. From the CPU to a GPU it goes through pinned memory, so that the host does not wait.

    A plain copy waits until the GPU has done all that it was given.
    """
    if x.device.type == "cpu" and device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def workers_for(device: torch.device, asked: int | None, *, num_jobs: int = 1) -> int:
    """The processes that prepare batches: as many as were asked for, or, where a GPU would wait for them, by the cores.

    If none was asked for, it is 0 on a CPU, whose cores train. On a GPU it is this process's share of the machine's
    cores, which ranks and `num_jobs` divide among them, less one for itself: 1 to `MOST_WORKERS`.
    """
    if asked is not None:
        return asked
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    num_processes = num_jobs * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_WORKERS, cores // num_processes - 1))


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool = False, cudnn_benchmark: bool = False) -> Iterator[None]:
    """How a GPU computes with float32 within it: exactly as IEEE 754 says, or products with the 10 bits of TF32.

    PyTorch itself takes TF32 for convolutions and not for matrices. `cudnn_benchmark` tries cuDNN's algorithms for each
    new shape and keeps the fastest; which one it is may differ from run to run, and with it the last bits.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    backends: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before, tried_before = [backend.fp32_precision for backend in backends], torch.backends.cudnn.benchmark
    try:
        for backend in backends:
            backend.fp32_precision = "tf32" if tf32 else "ieee"
        torch.backends.cudnn.benchmark = cudnn_benchmark
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
        torch.backends.cudnn.benchmark = tried_before
