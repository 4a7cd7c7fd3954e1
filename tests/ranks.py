"""Runs a test function in several processes that form one gloo group on this machine.

    results = run_on_ranks(my_function, 2, argument)

`my_function(argument)` runs once on every rank; it stands at the top level of its module so that the other process
can import it. The return values come back in rank order; tensors among them must be detached.
"""

import io
import os
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sclgan.distributed import TIMEOUT


def run_on_ranks(function: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
    """`[function(*args) of rank 0, ... of rank 1, ...]`; a rank that fails makes the test fail with its traceback."""
    call = _pack((function, args))
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        ranks = [_processes(world_size).submit(_run, rank, world_size, store, call) for rank in range(world_size)]
        done, waiting = wait(ranks, return_when=FIRST_EXCEPTION)
        if waiting:  # the ranks left behind end by themselves when their group times out; later tests get new ones
            _processes(world_size).shutdown(wait=False, cancel_futures=True)
            _processes.cache_clear()
            for rank in done:
                rank.result()
        return [_unpack(rank.result()) for rank in ranks]


@cache
def _processes(world_size: int) -> ProcessPoolExecutor:
    """As many processes as ranks, kept for the next test: starting one takes seconds, most of them torch's import."""
    return ProcessPoolExecutor(
        world_size, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    )


def _run(rank: int, world_size: int, store: str, call: bytes) -> bytes:
    function, args = _unpack(call)
    if "GLOO_SOCKET_IFNAME" not in os.environ and any(name == "lo" for _, name in socket.if_nameindex()):
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group(
        "gloo",
        store=dist.distributed_c10d.FileStore(store, world_size),
        rank=rank,
        world_size=world_size,
        timeout=TIMEOUT,
    )
    try:
        dist.barrier()  # none fails and leaves while another still connects
        result = _pack(function(*args))
        dist.barrier()  # none leaves while another still talks
        return result
    finally:
        dist.destroy_process_group()


def _pack(value: Any) -> bytes:
    """Bytes, so that no tensor travels through shared memory."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpack(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=False)
