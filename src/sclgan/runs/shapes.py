"""Networks without memory, and the shapes of a recipe's encoders compared with those in a file.

The recipe of a run folder may come from a stranger, and one number in it can ask for any amount of memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.overrides import TorchFunctionMode

from sclgan.encoders.base import Tokenizer
from sclgan.recipe import Recipe, class_of


@contextmanager
def without_memory() -> Iterator[None]:
    """Networks that are built within it have shapes alone, on torch's device "meta", and no initial weights."""
    with torch.device("meta"), _Uninitialised():
        yield


class _Uninitialised(TorchFunctionMode):
    """Skips `torch.nn.init`, which on the device "meta" would import seconds of symbolic algebra."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = dict(keywords or {})
        if getattr(function, "__module__", "") == "torch.nn.init":
            return arguments[0] if arguments else given["tensor"]
        return function(*arguments, **given)


def check_shapes(path: Path, recipe: Recipe, tokenizer: Tokenizer, *, prefix: str = "") -> None:
    """Compares the shapes of the recipe's encoders with those of the tensors in `path` whose names begin with `prefix`.

    Tensors that only one of them has are left to the loader.

    Raises:
        ValueError: shapes differ; names every such tensor. Or the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            given = {name.removeprefix(prefix): tuple(file.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    kind = class_of(recipe.encoders)
    with without_memory():
        own = kind.without_weights(recipe.encoders)(tokenizer.num_tokens).state_dict()
    wrong = [
        f"{name} is {given[name]}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in given and given[name] != tensor.shape
    ]
    if wrong:
        raise ValueError(f"{path} does not fit the {kind.__name__} of the recipe: {'; '.join(wrong)}")
