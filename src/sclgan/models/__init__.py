"""Trained runs reduced to what drawing needs: the models of the package, those of a folder, those of the Hub.

A model is a folder. `recipe.json` and the tokenizer's file are those of the run, `model.safetensors` holds its averaged
generator and its encoders, `config.json` names the run and the SHA-256 of each file, and `README.md` is the model
card. `sclgan publish` makes it from a run, and `scripts/build_model.py` a smaller one for the package. Nothing here
imports torch.
"""

import json
import logging
from pathlib import Path
from typing import Any

from sclgan.data.names import nearest
from sclgan.files import sha256_of
from sclgan.models import hub

log = logging.getLogger(__name__)

WEIGHTS, ABOUT = "model.safetensors", "config.json"
LIBRARY = "sclgan"
"""The `library_name` in the configurations of our models: other libraries have a config.json too."""


def home() -> Path:
    """The folder of the models of the package, each under its name."""
    return Path(__file__).parent


def names() -> list[str]:
    """The models that come with the package."""
    return sorted(path.parent.name for path in home().glob(f"*/{ABOUT}"))


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model rather than a run."""
    return (folder / ABOUT).is_file()


def find(run: str | Path) -> Path:
    """The folder that RUN means: that of this path, or else the model of this name in the package or on the Hub.

    Raises:
        FileNotFoundError: it is none of them; the message gives the nearest name of a model, and all names.
        OSError: it has the form of a name of the Hub, and cannot be fetched from there.
        ModuleNotFoundError: it has that form, and the extra "hub" is not installed.
    """
    path, known = Path(run), names()
    named = str(run) in known
    if path.is_dir():
        if named:
            log.info("%s is a folder here, and is used instead of the model that comes with sclgan", run)
        return path
    if named:
        return home() / str(run)
    if not known:
        comes = "and this version of sclgan comes with no model"
    else:
        near = nearest(str(run), known)
        comes = f"and no model of sclgan has that name: did you mean '{near}'? They are {', '.join(known)}"
    what = "is a file, not a run folder" if path.exists() else "is not a run folder: there is no such folder"
    missing = f"{run} {what}, {comes}"
    if not hub.may_be_name(str(run)):
        raise FileNotFoundError(missing)
    return hub.fetched(str(run), missing)


def find_run(run: str | Path) -> Path:
    """`find`, where a folder must be a run or a model.

    Raises:
        FileNotFoundError: there is no such folder and no such model, or the folder is something else.
    """
    folder = find(run)
    if not (folder / "recipe.json").exists() and not is_model(folder):
        raise FileNotFoundError(f"{folder} is not a run folder: it has no recipe.json; `sclgan train` makes one")
    return folder


def about(folder: Path) -> dict[str, Any]:
    """The content of a model's `config.json`, after its files were compared with their SHA-256.

    Raises:
        ValueError: a file is missing, or is not the one that was built.
    """
    try:
        content: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        if content.get("library_name") != LIBRARY:
            raise ValueError(f"its library_name is {content.get('library_name')!r}, not {LIBRARY!r}")
        expected, step = content["sha256"], content["step"]
        if not isinstance(expected, dict) or WEIGHTS not in expected or type(step) is not int:
            raise ValueError("'sha256' must name the files, and 'step' be a whole number")
        if any(Path(name).name != name for name in expected):
            raise ValueError("'sha256' names files outside of the folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{_named(folder)} is damaged: {ABOUT} cannot be read ({error!r}): {_cure(folder)}") from error
    for name, digest in expected.items():
        if not (folder / name).is_file():
            raise ValueError(f"{_named(folder)} is damaged: {name} is missing: {_cure(folder)}")
        found = sha256_of(folder / name)
        if found != digest:
            raise ValueError(
                f"{_named(folder)} is damaged: {name} has SHA-256 {found[:12]}, expected {str(digest)[:12]}: "
                f"{_cure(folder)}"
            )
    return content


def comes_with_the_package(folder: Path) -> bool:
    """Whether a folder is one of the models of `names`."""
    return folder.resolve().parent == home().resolve()


def _named(folder: Path) -> str:
    return f"the model '{folder.name}' of sclgan" if comes_with_the_package(folder) else f"the model in {folder}"


def _cure(folder: Path) -> str:
    return "reinstall sclgan" if comes_with_the_package(folder) else "fetch it, or publish its run, again"
