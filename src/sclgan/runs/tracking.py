"""Records of a training sent to an experiment tracker as well: wandb, or trackio, which has the same functions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from sclgan.data.needed import optional_library

TrackerName = Literal["wandb", "trackio"]
PROJECT = "sclgan"


@runtime_checkable
class Tracker(Protocol):
    """A tracker after its `init`: the module itself."""

    def log(self, values: Mapping[str, float | int], step: int) -> Any: ...

    def finish(self) -> Any: ...


def tracker_library(name: TrackerName) -> Any:
    """The module of that name.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    return optional_library(name, package=name, what=f"--track {name}", install=name)


def started(name: TrackerName, folder: Path) -> Tracker:
    """A run of the project "sclgan" with the name of the folder and its recipe; a continued one is another run."""
    path = folder.resolve()
    title = f"{path.parent.name}/{path.name}" if path.name == "pretraining" else path.name
    library: Any = tracker_library(name)
    library.init(project=PROJECT, name=title, config=json.loads((folder / "recipe.json").read_bytes()))
    tracker: Tracker = library
    return tracker
