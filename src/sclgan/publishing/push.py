"""A model's folder to the Hugging Face Hub."""

import importlib
from pathlib import Path
from typing import Any

from sclgan import models
from sclgan.models import hub

NEW = {".gitattributes", "README.md"}
"""The files of a repository that was just made on the Hub's page."""


def check_name(name: str) -> None:
    """Refuses what is not USER/NAME.

    Raises:
        ValueError: it is something else.
    """
    if not hub.NAME.fullmatch(name):
        raise ValueError(f"--push takes the name of a repository on the Hub, USER/NAME, not {name!r}")


def push(folder: Path, name: str, *, private: bool) -> str:
    """Uploads the folder's files as one commit of the repository USER/NAME, which is made if needed; returns its page.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        ValueError: the repository holds something other than a model of ours.
        OSError: the Hub refused, or cannot be reached.
    """
    api: Any = hub.library().HfApi(library_name=models.LIBRARY)
    errors: Any = importlib.import_module("huggingface_hub.errors")
    try:
        try:
            found = set(api.list_repo_files(name))
        except errors.RepositoryNotFoundError:
            found = set()
        if found - NEW and not {models.ABOUT, models.WEIGHTS, "recipe.json"} <= found:
            raise ValueError(f"{name} holds other files than a model of sclgan: push to another name")
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=name, folder_path=str(folder), commit_message="Written by sclgan publish")
    except ValueError:
        raise
    except Exception as error:  # a network fails in many ways, with errors of several libraries
        raise OSError(
            f"{folder} is whole, but could not be pushed to {name} ({hub.first_line(error)}): log in with "
            "`hf auth login`, with a token that may write, and repeat the command"
        ) from error
    return str(getattr(done, "commit_url", "") or f"https://huggingface.co/{name}")
