"""Models on the Hugging Face Hub: fetched by name into its cache, and read from there like any other folder.

Only the files of a model are fetched, and none of them is code.
"""

import importlib
import re
from functools import partial
from pathlib import Path
from typing import Any

from sclgan.data.needed import optional_library

FILES = ("config.json", "recipe.json", "model.safetensors", "vocabulary.json", "tokenizer.json", "README.md")
"""Everything that is fetched."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


library = partial(
    optional_library,
    "huggingface_hub",
    package="huggingface_hub",
    what="the Hugging Face Hub",
    install="'sclgan[hub]'",
)


def may_be_name(text: str) -> bool:
    """Whether this is USER/NAME or USER/NAME@REVISION and no path here: there is no folder USER."""
    name = text.partition("@")[0]
    return bool(NAME.fullmatch(name)) and not Path(name.partition("/")[0]).exists()


def fetched(text: str, missing: str) -> Path:
    """The folder in the cache that holds the model USER/NAME, or a revision of it; only what is new is fetched.

    `missing` says why this is nothing else; messages begin with it.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        FileNotFoundError: there is no such model or revision, or it may not be read.
        OSError: the Hub cannot be reached.
    """
    name, _, revision = text.partition("@")
    try:
        hub = library()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{missing}; {error}") from error
    errors: Any = importlib.import_module("huggingface_hub.errors")
    try:
        found = hub.snapshot_download(name, revision=revision or None, allow_patterns=list(FILES))
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise FileNotFoundError(
            f"{missing}; the Hugging Face Hub has no model {text} that you may read: check the name, or log in with "
            "`hf auth login` if it is private"
        ) from error
    except Exception as error:  # a network fails in many ways, with errors of several libraries
        raise OSError(f"{missing}; the Hugging Face Hub did not give {text} ({first_line(error)})") from error
    return Path(found)


def first_line(error: Exception) -> str:
    """What an error says first."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
