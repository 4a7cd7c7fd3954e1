"""A folder of shards with its index and `dataset.json`: how it is made, and checked.

dataset.json            name, splits with their label names, shards and checksums, how the pictures were made
index/SPLIT/            see `index.py`
*.tar                   the shards, wherever below the folder
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sclgan.data.packs.index import Index, IndexWriter
from sclgan.data.packs.processes import in_order
from sclgan.data.packs.shards import Scan, scan
from sclgan.files import replaced, write_atomically

log = logging.getLogger(__name__)

DATASET = "dataset.json"
FORMAT = 1
Damaged = Literal["fail", "skip"]


def index_folder(
    root: Path, *, name: str, test: str | None = None, damaged: Damaged = "fail", num_workers: int = 0
) -> list[str]:
    """Indexes the shards that lie in a folder, in place: they are read and stay as they are.

    Shards that match the pattern `test` are the split "test", all others "train"; without a pattern those whose name,
    or whose folder's, begins with "test" or "val". Labels are numbered in order, numbers before names.

    Returns what was left out, a line each.

    Raises:
        FileNotFoundError: there are no shards.
        ValueError: a shard is damaged, or with damaged="fail" a sample; or the folder is a pack, which has its index.
    """
    shards = sorted(root.rglob("*.tar"))
    if not shards:
        raise FileNotFoundError(f"{root} holds no shards (*.tar): name the folder that holds them")
    if (root / DATASET).exists() and read_dataset(root).get("packed"):
        raise ValueError(f"{root} is a pack and has its index: `sclgan data verify {root}` checks it")
    splits: dict[str, list[Path]] = {"train": [], "test": []}
    for shard in shards:
        splits["test" if _is_test(shard.relative_to(root), test) else "train"].append(shard)
    if not splits["train"] or (test is not None and not splits["test"]):
        raise ValueError(f"of {len(shards)} shards in {root} {len(splits['test'])} are for tests: give another --test")
    return write_folder(
        root, {split: files for split, files in splits.items() if files}, {"name": name}, None, damaged, num_workers
    )


def _is_test(shard: Path, pattern: str | None) -> bool:
    if pattern is not None:
        return shard.match(pattern)
    return any(part.startswith(("test", "val")) for part in shard.parts)


def write_folder(
    root: Path,
    splits: Mapping[str, Sequence[Path]],
    about: Mapping[str, Any],
    label_names: Mapping[str, Sequence[str]] | None,
    damaged: Damaged,
    num_workers: int,
) -> list[str]:
    """Writes the index of each split and, last, `dataset.json` with `about` and what the shards hold.

    `label_names` are those of each split where the shards' labels are numbers of them; without them the labels that
    occur in any split are numbered anew. Returns what was left out, a line each.
    """
    left_out: list[str] = []
    number_of: dict[int | str, int] = {}
    described: dict[str, Any] = {}
    with replaced(root / "index") as folder, ExitStack() as stack:
        writers = {split: stack.enter_context(closing(IndexWriter(folder / split))) for split in splits}
        for split, shards in splits.items():
            listed: list[dict[str, Any]] = []
            for shard, one in zip(shards, in_order(_scan, None, shards, num_workers), strict=True):
                if one.problems and damaged == "fail":
                    raise ValueError(f"{one.problems[0]} ({len(one.problems)} such); --damaged skip leaves them out")
                left_out += one.problems
                for row in one.rows:
                    numbers = [number_of.setdefault(label, len(number_of)) for label in row.labels]
                    writers[split].add(len(listed), row, numbers)
                listed.append(
                    {"file": str(shard.relative_to(root)), "num_samples": len(one.rows)}
                    | {"bytes": one.num_bytes, "sha256": one.sha256}
                )
                log.info("indexed %s: %d of %d shards", split, len(listed), len(shards))
            if not sum(shard["num_samples"] for shard in listed):
                raise ValueError(f"no sample of the split '{split}' in {root} can be read: {'; '.join(left_out[:3])}")
            described[split] = {"shards": listed}
        for split, writer in writers.items():
            names, final = _numbered(number_of, None if label_names is None else label_names[split])
            writer.finish(final, len(names))
            writer.close()
            described[split] |= {"label_names": names, "index_sha256": _index_checksum(folder / split)}
    content = {"format": FORMAT, **about, "splits": described, "left_out": [*about.get("left_out", []), *left_out]}
    write_atomically(root / DATASET, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return left_out


def _numbered(number_of: Mapping[int | str, int], names: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """The names of the labels, and the final number [labels] of each preliminary one.

    With `names` the labels are numbers of them; without, those that occur are sorted, numbers before names.
    """
    if names is not None:
        return list(names), np.array([label if isinstance(label, int) else -1 for label in number_of], np.int64)
    in_order_of = sorted(number_of, key=lambda label: (isinstance(label, str), label))
    final = {label: number for number, label in enumerate(in_order_of)}
    return [str(label) for label in in_order_of], np.array([final[label] for label in number_of], np.int64)


def _scan(_nothing: None, shard: Path) -> Scan:
    return scan(shard)


def read_dataset(root: Path) -> dict[str, Any]:
    """The content of `dataset.json`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged or of another version.
    """
    path = root / DATASET
    if not path.is_file():
        todo = "packing was interrupted: repeat the command" if (root / "packing").is_dir() else "index it first"
        raise FileNotFoundError(f"{root} has no {DATASET}: `sclgan data pack` or `sclgan data index` makes it; {todo}")
    try:
        content = json.loads(path.read_bytes())
        version = content["format"]
        names = [content["name"], *content["splits"]]
        shards = [shard for split in content["splits"].values() for shard in split["shards"]]
        whole = all(isinstance(name, str) for name in names) and all(_is_inside(shard["file"]) for shard in shards)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): index the folder again") from error
    if version != FORMAT or not whole:
        raise ValueError(f"{path} is of format {version}, this is {FORMAT}, or names files elsewhere: index it again")
    return dict(content)


def _is_inside(file: str) -> bool:
    """Whether a name stays below the folder that it is relative to."""
    path = Path(file)
    return not path.is_absolute() and ".." not in path.parts


def verify(root: Path, *, num_workers: int = 0) -> Iterator[str]:
    """What is wrong with a folder of shards, a line each: checksums of all shards and of the index are compared."""
    content = read_dataset(root)
    for split, described in content["splits"].items():
        shards = described["shards"]
        for shard, problem in zip(shards, in_order(_compared, root, shards, num_workers), strict=True):
            if problem:
                yield f"{root / shard['file']}: {problem}"
        try:
            Index(root / "index" / split)
            if _index_checksum(root / "index" / split) != described["index_sha256"]:
                yield f"{root / 'index' / split}: its content has changed; index or pack it again"
        except ValueError as error:
            yield str(error)


def _compared(root: Path, shard: Mapping[str, Any]) -> str:
    path = root / shard["file"]
    if not path.is_file():
        return "it is missing: copy it again"
    if path.stat().st_size != shard["bytes"]:
        return f"it has {path.stat().st_size:,} bytes and had {shard['bytes']:,}: copy it again, or pack again"
    with path.open("rb") as file:
        same = hashlib.file_digest(file, "sha256").hexdigest() == shard["sha256"]
    return "" if same else "its content has changed (sha256): copy it again, or pack again"


def _index_checksum(folder: Path) -> str:
    checksum = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            for part in iter(partial(file.read, 2**20), b""):
                checksum.update(part)
    return checksum.hexdigest()
