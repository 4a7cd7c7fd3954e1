"""The command that serves runs to browsers."""

import importlib.util
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sclgan.commands.arguments import Checkpoint


def serve(
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="RUN", help="Run folders, or names of models in the package. Without one, the model emoji."),
    ] = (),
    *,
    checkpoint: Checkpoint = "last",
    host: Annotated[
        str, arg(help="Address to listen on; others than loopback let the network in, without a password.")
    ] = "127.0.0.1",
    port: Annotated[int, arg(metavar="N", help="Port to listen on; 0 is any free one.")] = 8000,
    max_images: Annotated[int, arg(metavar="N", help="The most pictures of one request.")] = 16,
    max_caption: Annotated[int, arg(metavar="N", help="The most characters of a caption.")] = 500,
    queue: Annotated[int, arg(metavar="N", help="The most requests that wait for the model.")] = 32,
    deadline: Annotated[float, arg(metavar="SECONDS", help="The longest time from a request to its answer.")] = 30.0,
) -> None:
    """Serve a page on which one types a sentence and sees pictures, and the API behind it.

    Example: sclgan serve runs/plain runs/scl --port 8001
    """
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"`sclgan serve` needs the package {package}: pip install 'sclgan[serve]'")

    from sclgan import models

    names = models.names()
    if not runs and not names:
        raise ValueError("this version of sclgan comes with no model: name a run folder, as in `sclgan serve runs/scl`")
    chosen = runs or (Path("emoji" if "emoji" in names else names[0]),)
    for run in chosen:
        models.find_run(run)  # before torch is imported: a wrong name is an error at once

    from sclgan.serving.limits import Limits
    from sclgan.serving.server import serve as run_server

    limits = Limits(max_caption, max_images, queue, deadline)
    run_server(chosen, checkpoint=checkpoint, host=host, port=port, limits=limits)
