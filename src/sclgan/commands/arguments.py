"""Options that commands of several modules share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Checkpoint = Annotated[
    str, arg(metavar="NAME", help="Checkpoint to use: last, best (by the evaluations in training) or a step.")
]
Workers = Annotated[
    int | None,
    arg(metavar="N", help="Number of processes that prepare batches; without it none, or by the cores for a GPU."),
]
RunFolder = Annotated[
    Positional[Path],
    arg(metavar="RUN", help="Run folder, or name of a model in the package or, as USER/NAME, on the Hugging Face Hub."),
]
