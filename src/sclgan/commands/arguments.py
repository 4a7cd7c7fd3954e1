"""Options that commands of several modules share."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Checkpoint = Annotated[
    str, arg(metavar="NAME", help="Checkpoint to use: last, best (by the evaluations in training) or a step.")
]
Workers = Annotated[int, arg(metavar="N", help="Number of processes that prepare batches during training.")]
RunFolder = Annotated[
    Positional[Path],
    arg(metavar="RUN", help="Run folder, or name of a model in the package or, as USER/NAME, on the Hugging Face Hub."),
]
