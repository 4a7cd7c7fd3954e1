"""Pickle files of the published data sets, such as captions.pickle, read without running what they ask for.

A pickle may name any function to call. This reader admits plain containers, text, numbers, and numpy's numbers and
arrays of numbers, also as Python 2 wrote them; a file that names anything else is refused before it is called.
"""

import pickle
import pickletools
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NUMERIC = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


def load(path: Path) -> object:
    """The object of a pickle file. Python 2's strings are read as Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it names something that is not plain data (the message says what), or is not a whole pickle file.
    """
    try:
        _check_memo(path)
        with path.open("rb") as file:
            found: object = _PlainUnpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise ValueError(f"{path} {error}") from None
    except FileNotFoundError:
        raise
    except Exception as error:  # pickle promises no kind: bad bytes end in almost any
        raise ValueError(
            f"{path} is not a whole pickle file ({type(error).__name__}: {error}): get it again, or unpack its archive"
        ) from error
    return found


def _check_memo(path: Path) -> None:
    """Refuses numbers of remembered objects beyond the file's length, as memory is taken for as many at once."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        for operation, argument, _ in pickletools.genops(file):
            if operation.name in ("PUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= num_bytes:
                raise _RefusedError(f"claims {argument:,} objects in {num_bytes:,} bytes: it is damaged, or hostile")


class _RefusedError(ValueError):
    pass


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The admitted class or function of this name; any other is refused."""
        if (module, name) not in ADMITTED:
            raise _RefusedError(
                f"asks for {module}.{name}, which is not plain data: it is not loaded. Expected are lists, "
                "dictionaries, text and numbers, as the authors of the data publish; do not trust this copy"
            )
        return ADMITTED[module, name]


# numpy's own functions trust the state that a file gives them; these replace them and check it.


class _Dtype:
    def __init__(self, code: Any, *_: Any) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not NUMERIC.fullmatch(code):
            raise _RefusedError(f"has a numpy array of type {code!r}: only arrays of numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order: Any = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        checked: Any = (1, shape, _dtype(kind), bool(fortran), _bytes(data))
        super().__setstate__(checked)


def _reconstruct(*_: Any) -> Any:
    return np.ndarray.__new__(_Array, (0,))


def _scalar(kind: Any, data: Any) -> Any:
    return np.frombuffer(_bytes(data), _dtype(kind), count=1)[0]


def _dtype(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Dtype):
        raise _RefusedError(f"has a numpy array of type {kind!r}: only arrays of numbers are read")
    return kind.dtype


def _bytes(data: Any) -> bytes:
    """Python 2 wrote bytes as a string; an array of objects would be a list here."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes):
        raise _RefusedError(f"has a numpy array made from {type(data).__name__}: only numbers are read")
    return data


def _encode(text: Any = "", codec: Any = "latin1") -> bytes:
    """Python 3 writes bytes so in protocols up to 2."""
    if codec != "latin1" or not isinstance(text, str):
        raise ValueError(f"bytes by way of {codec!r}")
    return text.encode("latin1")


CONTAINERS: tuple[Callable[..., Any], ...] = (OrderedDict, defaultdict)
BUILTINS: tuple[Callable[..., Any], ...] = (list, dict, tuple, set, frozenset, int, float, bool, complex, str)
ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    **{("collections", kind.__name__): kind for kind in CONTAINERS},
    **{(module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in BUILTINS},
    ("__builtin__", "long"): int,
    ("__builtin__", "unicode"): str,
    **{(module, "bytes"): _encode for module in ("__builtin__", "builtins")},  # bytes(10**12) would take all memory
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("scalar", _scalar), ("_reconstruct", _reconstruct))
    },
}
