"""Mean and covariance of features, and their files: those of this package, of pytorch-fid and of clean-fid."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sclgan.files import check_own, write_atomically

MOST_FEATURES = 8_192
"""The largest number of features that a file may have; its covariance then takes 512 MiB. Networks here have 2,048."""
MOST_BYTES_OF_A_NOTE = 4_096
NOTES = ("num_samples", "extractor", "weights_sha256")
_MARK = b"extractor.npy"  # no other program writes this note


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of features, with the number of samples and the network as far as they are known."""

    mu: Float64[Tensor, " d"]
    sigma: Float64[Tensor, "d d"]
    num_samples: int | None = None
    extractor: str | None = None
    weights_sha256: str | None = None

    def save(self, path: Path) -> None:
        """Writes an npz with `mu` and `sigma`, which pytorch-fid and clean-fid read, and with what else is known.

        Raises:
            ValueError: see `check_own_statistics`.
        """
        check_own_statistics(path)
        known = {name: np.array(value) for name in NOTES if (value := getattr(self, name)) is not None}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, mu=self.mu.numpy(), sigma=self.sigma.numpy(), **known)
        write_atomically(path, buffer.getvalue())

    @staticmethod
    def load(path: Path) -> "Gaussian":
        """Reads what `save`, pytorch-fid or clean-fid wrote. Sizes are checked in the headers before any array is read.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not an npz, lacks `mu` or `sigma`, holds more than `MOST_FEATURES` features, or
                its arrays are not a mean and a covariance.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                mu, sigma = (
                    _numbers(archive, path, name, dimensions) for name, dimensions in (("mu", 1), ("sigma", 2))
                )
                notes = {name: _note(archive, path, name) for name in NOTES}
            num_samples = notes["num_samples"]
            count = None if num_samples is None else int(num_samples)
        except FileNotFoundError:
            raise
        except _FileError as error:
            raise ValueError(str(error)) from error.__cause__
        except Exception as error:  # damaged archives end in almost any error
            raise ValueError(
                f"{path} is not a whole file of statistics ({type(error).__name__}: {error}); "
                "expected an npz with mu and sigma"
            ) from error
        if sigma.shape != (len(mu), len(mu)):
            raise ValueError(f"{path}: mu is {tuple(mu.shape)} and sigma {tuple(sigma.shape)}; expected d and d x d")
        if not (mu.isfinite().all() and sigma.isfinite().all()):
            raise ValueError(f"{path} holds NaN or infinity: compute the statistics again")
        return Gaussian(mu, sigma, count, notes["extractor"], notes["weights_sha256"])


def check_own_statistics(path: Path) -> None:
    """Refuses to replace a file that is not one of this package's statistics.

    Raises:
        ValueError: see `check_own`.
    """
    check_own(path, _MARK)


class _FileError(ValueError):
    """An error that already names the file and says what to do."""


def _numbers(archive: zipfile.ZipFile, path: Path, name: str, num_dimensions: int) -> Tensor:
    """An array of real numbers with at most `MOST_FEATURES` entries per side, in float64."""
    shape, kind = _header(archive, path, name)
    if len(shape) != num_dimensions or kind.kind not in "fiu":
        raise _FileError(
            f"{path}: {name} is {kind} of shape {shape}; expected real numbers in {num_dimensions} dimensions"
        )
    if max(shape) > MOST_FEATURES:
        raise _FileError(
            f"{path}: {name} claims the shape {shape}; statistics of more than {MOST_FEATURES:,} features are not read"
        )
    return torch.from_numpy(_array(archive, name).astype(np.float64))


def _note(archive: zipfile.ZipFile, path: Path, name: str) -> str | None:
    """A single number or text beside the arrays; None if there is none."""
    if f"{name}.npy" not in archive.namelist():
        return None
    shape, kind = _header(archive, path, name)
    if shape != () or kind.kind not in "iuU" or kind.itemsize > MOST_BYTES_OF_A_NOTE:
        raise _FileError(f"{path}: {name} is {kind} of shape {shape}; expected one number or a short text")
    return str(_array(archive, name))


def _header(archive: zipfile.ZipFile, path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and kind of an array, without reading it."""
    if f"{name}.npy" not in archive.namelist():
        raise _FileError(f"{path} lacks {name}; expected an npz of feature statistics with mu and sigma")
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        return shape, kind


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
