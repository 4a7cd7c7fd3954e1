"""How commands print where there may be several ranks: a result once, a message with the rank that says it."""

import os
import sys


def print_on_rank_0(text: str) -> None:
    """Prints once, however many ranks there are."""
    from sclgan.distributed import rank

    if rank() == 0:
        print(text)


def say(text: str) -> None:
    """One line on stderr; of several ranks each says who it is."""
    who = f"sclgan, rank {os.environ['RANK']}" if "RANK" in os.environ else "sclgan"
    print(f"{who}: {' '.join(text.splitlines())}\n", end="", file=sys.stderr, flush=True)
