"""Where it runs: ranks, rows of every rank, averaged gradients; the device, and how a GPU is fed. A leaf.

Models stay plain modules. Losses see the global batch through `gather_rows`, gradients are averaged after backward
by `average_gradients`; together the ranks then compute the loss and the gradient of one process with the whole batch
(`tests/test_distributed.py`). Everything here is the identity in a single process.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_LOST = (
    *("connection closed by peer", "connection reset by peer", "broken pipe", "timed out"),  # in gloo's messages
    *("remote process exiting prematurely", "remote process exited", "nccl communicator was aborted"),  # in NCCL's
)

MOST_WORKERS = 8
TIMEOUT = timedelta(minutes=10)  # rank 0 evaluates while others wait; a rank that dies is noticed at once


def initialise() -> None:
    """Joins the process group that torchrun describes in the environment; without torchrun it does nothing."""
    if "RANK" in os.environ and not dist.is_initialized():
        if torch.cuda.is_available():
            own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            if own.index >= torch.cuda.device_count():
                raise ValueError(
                    f"rank {os.environ['RANK']} is number {own.index} of this machine, which has "
                    f"{torch.cuda.device_count()} GPUs: start no more processes than GPUs (torchrun --nproc-per-node)"
                )
            torch.cuda.set_device(own)  # before anything allocates: else all ranks begin on the first GPU
            dist.init_process_group("nccl", timeout=TIMEOUT, device_id=own)
        else:
            dist.init_process_group("gloo", timeout=TIMEOUT)


def shut_down() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether a collective failed because another rank is gone or silent, and not by a fault of the call."""
    said = str(error).lower()
    return isinstance(error, dist.DistNetworkError) or any(words in said for words in _LOST)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def device() -> torch.device:
    """The accelerator of this rank, or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def own_rows(num_rows: int) -> slice:
    """Which rows of a global batch of `num_rows` are this rank's.

    Raises:
        ValueError: the rows do not divide evenly among the ranks.
    """
    if num_rows % world_size():
        raise ValueError(
            f"a batch of {num_rows} does not divide among {world_size()} ranks: choose a multiple of {world_size()}"
        )
    share = num_rows // world_size()
    return slice(rank() * share, (rank() + 1) * share)


class _Gather(torch.autograd.Function):
    """All-gather whose backward is the sum over ranks of the gradients of this rank's rows (reduce-scatter)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()  # NCCL moves memory: what is received must be laid out as what is sent
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)  # gloo has no reduce-scatter; the batches of a GAN are small
        return gradient[own_rows(len(gradient))]


def gather_rows(x: Tensor) -> Tensor:
    """The rows of every rank, in rank order, differentiable. Ranks must pass the same shape.

    With per-rank losses that are means over own rows, and gradients averaged over ranks, the result is the exact
    gradient of the loss of one process with the whole batch.
    """
    if world_size() == 1:
        return x
    return _Gather.apply(x)  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    """All-reduce by sum; its backward is the same sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous().clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of `x` over ranks, differentiable."""
    if world_size() == 1:
        return x
    return _Sum.apply(x)  # type: ignore[no-any-return]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over ranks, in one message. A missing gradient counts as zero."""
    if world_size() == 1:
        return
    parameters = [p for p in parameters if p.requires_grad]
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= world_size()
    start = 0
    for p in parameters:
        assert p.grad is not None
        p.grad.copy_(flat[start : start + p.numel()].view_as(p))  # in place: fused optimizers need its memory layout
        start += p.numel()


def broadcast(module: nn.Module) -> None:
    """Gives every rank the parameters and buffers of rank 0."""
    if world_size() == 1:
        return
    for tensor in [*module.parameters(), *module.buffers()]:
        dist.broadcast(tensor.data, 0)


def gather_objects(value: Any) -> list[Any]:
    """`value` of every rank, in rank order. For small things only."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    """Waits for every rank."""
    if world_size() > 1:
        dist.barrier()


# How a GPU is fed and computes; nothing below has an effect on a CPU


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
