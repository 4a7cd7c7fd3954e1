"""Arguments that commands of several modules take."""

from typing import Annotated

from tyro.conf import arg

Checkpoint = Annotated[str, arg(metavar="NAME", help="last, best (of the evaluations in training) or a step.")]
Workers = Annotated[int, arg(metavar="N", help="Processes that prepare batches beside the training.")]
