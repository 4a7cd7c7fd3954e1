"""What ranks send in a step: counted for each GAN at its published size, and timed with gloo on this machine.

    python benchmarks/communication.py                     the table for 8 and 64 GPUs
    python benchmarks/communication.py --processes 1,2,4   the share of time, with gloo processes on this machine

Counted: a step of one rank on tensors without memory, whose collectives only note what they are given. A ring sends
2 (w - 1) / w bytes for each byte of a sum over w ranks, and w - 1 for each byte of a gather. The times are on paper:
bytes over the bandwidth, messages times the latency, operations over the speed, all three given as options.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from sclgan import distributed
from sclgan.data.types import Batch, Captions, View
from sclgan.gans import layers
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train import cost
from sclgan.train.gan_parts import gan_phase
from sclgan.train.pretended import pretend, pretending, shapes_alone

NAMES = ("attngan_cub", "dmgan_cub", "ssagan_cub", "galip_cub")
SIZES = cost.DataSizes(cost.STAND_IN_WORDS, cost.STAND_IN_LABELS)


@dataclass
class Sent:
    """The bytes of every collective of a step, as one rank passes them in."""

    sums: list[int] = field(default_factory=list)
    gathers: list[int] = field(default_factory=list)

    def over_ring(self, ranks: int) -> float:
        """Bytes that a rank sends."""
        return 2 * (ranks - 1) / ranks * sum(self.sums) + (ranks - 1) * sum(self.gathers)


@contextmanager
def pretended_ranks(ranks: int) -> Iterator[Sent]:
    """Within it this process takes itself for the first of several ranks, whose collectives move nothing."""
    sent = Sent()

    def all_reduce(x: torch.Tensor) -> None:
        sent.sums.append(x.nbytes)

    def all_gather(parts: Sequence[torch.Tensor], x: torch.Tensor) -> None:
        del parts
        sent.gathers.append(x.nbytes)

    pretended: dict[str, Any] = {"all_reduce": all_reduce, "all_gather": all_gather}
    pretended |= {"is_initialized": lambda: True, "get_rank": lambda: 0, "get_world_size": lambda: ranks}
    # Pieces of the processor's cache would make thousands of calls, and no memory is counted here.
    with patch.multiple(dist, **pretended), patch.object(layers, "PIECE", 2**62):
        yield sent


def counted(name: str, rows: int, ranks: int) -> tuple[Sent, list[int], int]:
    """What one of `ranks` sends in a step with `rows` rows of its own; bytes of G's and D's gradients; operations."""
    made = override(recipe(name), [f"training.batch_size={rows}"])
    with shapes_alone():
        encoders = cost.build_encoders(made, SIZES).requires_grad_(False).eval()
        gan = made.gan(encoders, image_size=made.image_size)
    with pretending(made.max_words) as tally, pretended_ranks(ranks) as sent:
        for network in (encoders, gan.generator, gan.discriminator):
            pretend(network)
        phase = gan_phase(gan, encoders, made.training, seed=0)
        pretend(phase.averaged.average)
        batch = cost.synthetic_batch(made, made.training, SIZES)
        tally.reset()
        phase.step(batch, 1)
    sizes = [sum(p.nbytes for p in network.parameters()) for network in (gan.generator, gan.discriminator)]
    return sent, sizes, tally.operations


def print_table(rows: int, bandwidths: dict[int, float], latency: float, speed: float) -> None:
    """The table for these numbers of GPUs, in the form of the documentation."""
    print("| GAN | GPUs | gradients | other sums | gathers | messages | sent by a GPU | on the wire | arithmetic |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in NAMES:
        for ranks, bandwidth in bandwidths.items():
            sent, sizes, operations = counted(name, rows, ranks)
            gradients = [size for size in sent.sums if size in sizes]
            small = [size for size in sent.sums if size not in sizes]
            messages = len(sent.sums) + len(sent.gathers)
            wire = sent.over_ring(ranks) / bandwidth + messages * latency * math.log2(ranks)
            gan = recipe(name).about.split(" ")[0]
            print(
                f"| {gan} | {ranks} | {sum(gradients) / 1e6:,.0f} MB in {len(gradients)} | "
                f"{sum(small) / 1e6:.2f} MB | {sum(sent.gathers) / 1e6:.2f} MB | {messages} | "
                f"{sent.over_ring(ranks) / 1e6:,.0f} MB | {1000 * wire:.0f} ms | {1000 * operations / speed:.0f} ms |",
                flush=True,
            )


FIELDS = ("gan.nf=16", "training.batch_size=16", "encoders.backbone.image_size=64")


def _rank(rank: int, ranks: int, store: str, steps: int, results: Any) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if ranks > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    made: Recipe = override(recipe("ssagan_emoji_scl"), FIELDS)
    encoders = cost.build_encoders(made, SIZES).requires_grad_(False).eval()
    gan = made.gan(encoders, image_size=made.image_size)
    phase = gan_phase(gan, encoders, made.training, seed=0)
    batch = cost.synthetic_batch(made, made.training, SIZES)
    mine = distributed.own_rows(made.training.batch_size)
    views = tuple(View(v.image[mine], Captions(v.captions.tokens, v.captions.lengths)[mine]) for v in batch.views)
    batch = Batch(views, batch.labels[mine], batch.has_partner[mine])
    spent = [0.0]

    def timed(collective: Any) -> Any:
        def call(*args: Any, **keywords: Any) -> Any:
            began = time.monotonic()
            out = collective(*args, **keywords)
            spent[0] += time.monotonic() - began
            return out

        return call

    with patch.multiple(dist, all_reduce=timed(dist.all_reduce), all_gather=timed(dist.all_gather)):
        phase.step(batch, 1)
        spent[0], began = 0.0, time.monotonic()
        for step in range(2, 2 + steps):
            phase.step(batch, step)
        seconds = time.monotonic() - began
    if rank == 0:
        results.put((seconds / steps, spent[0] / seconds))
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


def print_shares(processes: Sequence[int], steps: int) -> None:
    """Seconds per step and the share of rank 0's time in collectives, waiting for the other ranks included."""
    print(f"ssagan_emoji_scl {' '.join(FIELDS)}, one thread for each process, {os.cpu_count()} cores")
    for ranks in processes:
        context = get_context("spawn")
        results = context.Queue()
        with tempfile.TemporaryDirectory() as folder:
            given = (ranks, str(Path(folder) / "store"), steps, results)
            running = spawn(_rank, args=given, nprocs=ranks, join=False)
            seconds, share = results.get()
            while not running.join():
                pass
        print(f"{ranks} processes: {seconds:.2f} s a step, {share:.0%} in collectives", flush=True)


def main() -> None:
    """Prints what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", help="numbers of gloo processes, such as 1,2,4")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rows", type=int, default=8, help="rows of each GPU")
    parser.add_argument("--inside", type=float, default=200e9, help="bytes per second of a GPU inside a machine of 8")
    parser.add_argument("--between", type=float, default=25e9, help="the same between machines")
    parser.add_argument("--latency", type=float, default=10e-6, help="seconds per message and doubling of the ranks")
    parser.add_argument("--speed", type=float, default=100e12, help="operations per second of a GPU")
    given = parser.parse_args()
    if given.processes:
        print_shares([int(one) for one in given.processes.split(",")], given.steps)
    else:
        print_table(given.rows, {8: given.inside, 64: given.between}, given.latency, given.speed)


if __name__ == "__main__":
    main()
