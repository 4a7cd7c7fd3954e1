"""Printing from commands that may run on several ranks: a result once, a message with its rank."""

import os
import sys


def print_on_rank_0(text: str) -> None:
    """Prints once, whatever the number of ranks."""
    from sclgan.distributed import rank

    if rank() == 0:
        print(text)


def say(text: str) -> None:
    """Prints one line on stderr, with the rank if there are several."""
    who = f"sclgan, rank {os.environ['RANK']}" if "RANK" in os.environ else "sclgan"
    print(f"{who}: {' '.join(text.splitlines())}\n", end="", file=sys.stderr, flush=True)
