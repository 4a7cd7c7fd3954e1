"""`sclgan data verify`: compares a folder of shards with the checksums in its `dataset.json`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sclgan.data.packs.folder import index_checksum, read_dataset
from sclgan.data.packs.index import Index
from sclgan.data.packs.processes import in_order
from sclgan.files import sha256_of


def verify(root: Path, *, num_workers: int = 0) -> Iterator[str]:
    """A line for each shard and index of a folder whose checksum is not the one in its `dataset.json`."""
    content = read_dataset(root)
    for split, described in content["splits"].items():
        shards = described["shards"]
        for shard, problem in zip(shards, in_order(_difference, root, shards, num_workers), strict=True):
            if problem:
                yield f"{root / shard['file']}: {problem}"
        folder = root / "index" / split
        try:
            Index(folder)
            if index_checksum(folder) != described["index_sha256"]:
                yield f"{folder}: its content has changed; index or pack it again"
        except ValueError as error:
            yield str(error)


def _difference(root: Path, shard: Mapping[str, Any]) -> str:
    path = root / shard["file"]
    if not path.is_file():
        return "it is missing: copy it again"
    if path.stat().st_size != shard["bytes"]:
        return f"it has {path.stat().st_size:,} bytes and had {shard['bytes']:,}: copy it again, or pack again"
    return (
        "" if sha256_of(path) == shard["sha256"] else "its content has changed (sha256): copy it again, or pack again"
    )
