"""Options that commands of several modules share."""

from typing import Annotated

from tyro.conf import arg

Checkpoint = Annotated[
    str, arg(metavar="NAME", help="Checkpoint to use: last, best (by the evaluations in training) or a step.")
]
Workers = Annotated[
    int | None,
    arg(metavar="N", help="Number of processes that prepare batches; without it none, or by the cores for a GPU."),
]
