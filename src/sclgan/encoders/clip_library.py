"""open_clip, an optional dependency.

Ilharco et al. 2021, "OpenCLIP".
"""

import importlib
from typing import Any


def open_clip() -> Any:
    """The library.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"CLIP needs the package open_clip_torch ({error}): pip install 'sclgan[clip]'"
        ) from error
