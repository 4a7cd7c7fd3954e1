"""Feature statistics: NumPy, merging, blocks, ranks, files that pytorch-fid reads and writes."""

import io
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import compute_statistics_of_path
from torch import Tensor

from ranks import run_on_ranks
from sclgan.distributed import rank
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import NUM_BLOCKS, PENDING, BlockStatistics, FeatureStatistics


def features(num_samples: int, num_features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator)
    return torch.randn(num_samples, num_features, generator=generator) @ mixing + 3 * torch.rand(1, generator=generator)


def statistics_of(*batches: Tensor) -> FeatureStatistics:
    statistics = FeatureStatistics(batches[0].shape[1])
    for batch in batches:
        statistics.update(batch)
    return statistics


def assert_same(a: FeatureStatistics, b: FeatureStatistics) -> None:
    assert a.num_samples == b.num_samples
    torch.testing.assert_close(a.mu, b.mu, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(a.sigma, b.sigma, rtol=1e-10, atol=1e-10)


def test_mean_and_covariance_are_those_of_numpy() -> None:
    rows = features(50, 7)
    statistics = statistics_of(rows)
    np.testing.assert_allclose(statistics.mu, rows.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.sigma, np.cov(rows.double().numpy(), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_batch_size_does_not_matter(batch_size: int) -> None:
    rows = features(50, 7)
    assert_same(statistics_of(*torch.split(rows, batch_size)), statistics_of(rows))


def test_a_large_mean_costs_no_precision() -> None:
    rows = features(200, 3).double()
    near, far = statistics_of(*torch.split(rows, 10)), statistics_of(*torch.split(rows + 1e6, 10))
    torch.testing.assert_close(near.sigma, far.sigma, rtol=1e-6, atol=1e-6)


def test_merged_parts_are_the_whole() -> None:
    rows = features(50, 7)
    merged = FeatureStatistics(7)
    for part in (rows[:20], rows[20:21], rows[21:]):
        merged.merge(statistics_of(part))
    merged.merge(FeatureStatistics(7))
    assert_same(merged, statistics_of(rows))


def merged_over_ranks(cases: list[list[Tensor]]) -> list[tuple[int, Tensor, Tensor]]:
    wholes = [statistics_of(parts[rank()]).over_ranks() for parts in cases]
    return [(whole.num_samples, whole.mu, whole.sigma) for whole in wholes]


def test_ranks_give_the_statistics_of_one_process() -> None:
    rows = features(40, 5)
    whole = statistics_of(rows)
    for results in run_on_ranks(merged_over_ranks, 2, [[rows[:11], rows[11:]], [rows, rows[:0]]]):
        for num_samples, mu, sigma in results:
            assert num_samples == 40
            torch.testing.assert_close(mu, whole.mu, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(sigma, whole.sigma, rtol=1e-10, atol=1e-10)


def test_blocks_are_parts_of_the_whole_whatever_the_batches() -> None:
    rows, indices = features(40, 5), torch.arange(40)
    blocks = BlockStatistics(5)
    for part in torch.split(torch.randperm(40, generator=torch.Generator().manual_seed(0)), 7):
        blocks.update(rows[part], indices[part])
    assert_same(blocks.whole(), statistics_of(rows))
    for number, block in enumerate(blocks.blocks):
        assert_same(block, statistics_of(rows[number::NUM_BLOCKS]))


def test_more_rows_than_wait_at_once_are_added_in_parts() -> None:
    rows = features(2 * PENDING + 3, 4)
    assert_same(statistics_of(*torch.split(rows, 100)), statistics_of(rows))


def test_saved_statistics_come_back_and_pytorch_fid_reads_them(tmp_path: Path) -> None:
    statistics = statistics_of(features(30, 4))
    path = tmp_path / "new" / "reals.npz"
    replace(statistics.gaussian, extractor="lite0@128", weights_sha256="0" * 64).save(path)
    loaded = Gaussian.load(path)
    assert torch.equal(loaded.mu, statistics.mu)
    assert torch.equal(loaded.sigma, statistics.sigma)
    assert (loaded.num_samples, loaded.extractor, loaded.weights_sha256) == (30, "lite0@128", "0" * 64)
    mu, sigma = compute_statistics_of_path(str(path), model=None, batch_size=1, dims=4, device="cpu")
    np.testing.assert_array_equal(mu, statistics.mu)
    np.testing.assert_array_equal(sigma, statistics.sigma)


def test_statistics_of_pytorch_fid_and_in_single_precision_are_read(tmp_path: Path) -> None:
    rows = features(30, 4).double().numpy()
    np.savez_compressed(tmp_path / "theirs.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    np.savez(tmp_path / "single.npz", mu=rows.mean(0).astype("f4"), sigma=np.cov(rows, rowvar=False).astype("f4"))
    theirs, single = (Gaussian.load(tmp_path / f"{name}.npz") for name in ("theirs", "single"))
    torch.testing.assert_close(theirs.sigma, statistics_of(torch.from_numpy(rows)).sigma)
    assert (theirs.num_samples, theirs.extractor) == (None, None)
    torch.testing.assert_close(single.mu, theirs.mu, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"mu": np.zeros(2)}, "lacks sigma"),
        ({"mu": np.zeros(2), "sigma": np.eye(3)}, "expected d and d x d"),
        ({"mu": np.zeros(2), "sigma": np.full((2, 2), np.nan)}, "NaN or infinity"),
        ({"mu": np.array([{"a": 1}]), "sigma": np.eye(1)}, "expected real numbers"),
        (b"PK no zip", "is not a whole file of statistics"),
        (b"", "is not a whole file of statistics"),
    ],
)
def test_a_file_that_holds_no_statistics_is_named(
    tmp_path: Path, content: bytes | dict[str, Any], expected: str
) -> None:
    path = tmp_path / "x.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(ValueError, match=f"x.npz.* {expected}|x.npz: .*{expected}"):
        Gaussian.load(path)


def test_statistics_refuse_what_they_cannot_use() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        _ = statistics_of(features(1, 4)).sigma
    with pytest.raises(ValueError, match="4 columns"):
        FeatureStatistics(5).update(features(2, 4))
    with pytest.raises(ValueError, match="cannot merge"):
        FeatureStatistics(5).merge(FeatureStatistics(4))
    with pytest.raises(ValueError, match="NaN or infinite"):
        FeatureStatistics(1).update(torch.tensor([[float("nan")]]))


def archive(path: Path, **members: bytes) -> Path:
    """An npz whose members are these bytes, compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def array(shape: tuple[int, ...], content: bytes = b"", kind: str = "<f8") -> bytes:
    """An npy file that claims this shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    ("mu", "sigma", "more", "expected"),
    [
        (
            array((30_000,)),
            array((30_000, 30_000)),
            {},
            r"claims the shape .* more than 8,192",
        ),
        (array((2,), bytes(16)), array((2**40, 1)), {}, "sigma claims the shape"),
        (array((2,), bytes(16)), array((2, 2), bytes(31)), {}, "is not a whole file of statistics"),
        (array((2,), bytes(16)), b"\x93NUMPY", {}, "is not a whole file of statistics"),
        (array((2,), kind="|O"), array((2, 2), bytes(32)), {}, "mu is object of shape"),
        (
            array((2,), bytes(16)),
            array((2, 2), bytes(32)),
            {"num_samples": array((2**40,))},
            "num_samples is float64 of shape",
        ),
        (
            array((2,), bytes(16)),
            array((2, 2), bytes(32)),
            {"extractor": array((), kind="<U100000000")},
            "extractor is <U100000000 of shape",
        ),
    ],
    ids=["7 GB", "8 TiB", "cut", "header cut", "objects", "note of 8 TiB", "note of 4 GB"],
)
def test_sizes_are_checked_in_headers_before_arrays_are_read(
    mu: bytes, sigma: bytes, more: dict[str, bytes], expected: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "reals.npz", mu=mu, sigma=sigma, **more)
    tracemalloc.start()
    with pytest.raises(ValueError, match=expected) as caught:
        Gaussian.load(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert str(path) in str(caught.value)
