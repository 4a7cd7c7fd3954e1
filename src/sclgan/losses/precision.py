"""Float32 under autocast: half precision is for networks, not for losses and gradient penalties."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def full_precision() -> Iterator[None]:
    """Switches autocast off within it."""
    device = "cuda" if torch.is_autocast_enabled("cuda") else "cpu"
    with torch.autocast(device, enabled=False):
        yield


def in_float32(loss: Callable[P, T]) -> Callable[P, T]:
    """The loss in full precision: the tensors of half precision among its arguments become float32."""

    @wraps(loss)
    def run(*args: P.args, **keywords: P.kwargs) -> T:
        with full_precision():
            given = {name: _as_float32(value) for name, value in keywords.items()}
            return cast(Callable[..., T], loss)(*map(_as_float32, args), **given)

    return run


def as_float32(x: Tensor) -> Tensor:
    """A tensor of half precision as float32; others stay as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _as_float32(value: Any) -> Any:
    return as_float32(value) if isinstance(value, Tensor) else value
