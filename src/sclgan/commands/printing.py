"""Printing from commands that may run on several ranks: a result once, a message with its rank."""

import os
import sys


def show(text: object) -> None:
    """Prints one line of a result, with escapes for what a terminal would obey."""
    from sclgan.data.printable import printable

    print(printable(text))


def print_on_rank_0(text: object) -> None:
    """`show`, once, whatever the number of ranks."""
    from sclgan.distributed import rank

    if rank() == 0:
        show(text)


def say(text: str) -> None:
    """Prints one line on stderr, with escapes for what a terminal would obey; of several ranks each says who it is."""
    from sclgan.data.printable import printable

    who = f"sclgan, rank {os.environ['RANK']}" if "RANK" in os.environ else "sclgan"
    print(f"{who}: {printable(' '.join(text.splitlines()))}\n", end="", file=sys.stderr, flush=True)
