"""How commands print where there may be several ranks: a result once, a message with the rank that says it."""

import os
import sys


def print_on_rank_0(text: str) -> None:
    """Prints once, however many ranks there are."""
    from sclgan.distributed import rank

    if rank() == 0:
        print(text)


def say(text: str) -> None:
    """Prints one line on stderr, with escapes for what a terminal would obey; of several ranks each says who it is."""
    from sclgan.data.printable import printable

    who = f"sclgan, rank {os.environ['RANK']}" if "RANK" in os.environ else "sclgan"
    print(f"{who}: {printable(' '.join(text.splitlines()))}\n", end="", file=sys.stderr, flush=True)
