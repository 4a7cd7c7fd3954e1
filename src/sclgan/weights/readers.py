"""Weights in files of other programs, read as plain tensors: torch.save, safetensors, TorchScript.

None of them is trusted: nothing that a file names is called, beyond what puts a tensor together.
"""

import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

State = dict[str, Tensor]


def read_states(path: Path) -> list[State]:
    """The state dicts of a weights file: one, or those of a file that nests them, without prefixes of DataParallel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or asks for a class that plain weights do not need.
    """
    try:
        content = _content(path)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"{path} asks for {asked[1]}, which is not a tensor: it is not loaded. Published weights hold tensors "
                "only; do not trust this copy, or have its owner save the state dict alone"
            ) from None
        raise ValueError(f"{path} does not hold weights that torch.save wrote: get the file again") from error
    except Exception as error:  # damaged files end in almost any error
        raise ValueError(
            f"{path} is not a whole file of weights ({type(error).__name__}: {error}): get it again"
        ) from error
    states = _states(content)
    if not states:
        raise ValueError(f"{path} holds no state dict but {type(content).__name__}: give a file of named tensors")
    return states


def _content(path: Path) -> object:
    if path.suffix == ".safetensors":
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return _torchscript_state(archive)
    return torch.load(path, weights_only=True, map_location="cpu")


def _states(content: object) -> list[State]:
    if not isinstance(content, Mapping) or not content:
        return []
    if any(isinstance(value, Mapping) for value in content.values()):
        return [state for value in content.values() for state in _states(value)]
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    while state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return [state] if state else []


# TorchScript archives: a zip with code, a pickled tree of modules (data.pkl), and storages (data/0, data/1, ...).
# torch.jit.load would run the code that the archive brings. The tree alone holds all tensors and their names.


def _torchscript_state(archive: zipfile.ZipFile) -> State:
    """The tensors of a TorchScript archive by the names of their modules; its code is not looked at."""
    folder = next(name for name in archive.namelist() if name.endswith("/constants.pkl")).partition("/")[0]
    with archive.open(f"{folder}/data.pkl") as file:
        return _named_tensors(_ModuleTree(file, archive, folder).load())


class _Module:
    """Stands for any class of an archive's code: attributes, and nothing that runs."""

    def __setstate__(self, attributes: Any) -> None:
        self.attributes = dict(attributes)


def _named_tensors(module: object, prefix: str = "") -> State:
    state: State = {}
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            state[f"{prefix}{name}"] = value
        elif isinstance(value, _Module):
            state |= _named_tensors(value, f"{prefix}{name}.")
    return state


class _ModuleTree(pickle.Unpickler):
    """The unpickler of data.pkl: modules without their code, tensors on the CPU, plain containers."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return _Module
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return ADMITTED[module, name]

    def persistent_load(self, key: Any) -> Tensor:
        """The storage that a tensor is a view of, as a vector."""
        _, kind, name, _, _ = key
        record = self.archive.getinfo(f"{self.folder}/data/{name}")
        if record.compress_type != zipfile.ZIP_STORED:  # torch never compresses; a small file cannot fill the memory
            raise ValueError(f"the storage {name} is compressed")
        content = bytearray(self.archive.read(record))
        return torch.frombuffer(content, dtype=kind.dtype) if content else torch.empty(0, dtype=kind.dtype)


def _rebuilt(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset) if math.prod(size) else storage.new_empty(size)


class _Kind:
    """Stands for a class of storages; a class itself would be called if a file asked for it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


KINDS = {"Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16, "Double": torch.float64}
KINDS |= {"Long": torch.int64, "Int": torch.int32, "Bool": torch.bool}
ADMITTED: dict[tuple[str, str], Callable[..., Any] | _Kind] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("collections", "OrderedDict"): OrderedDict,
    **{("torch", f"{name}Storage"): _Kind(dtype) for name, dtype in KINDS.items()},
    **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool", "tensor")},
    ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
}
