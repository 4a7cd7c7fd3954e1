"""A folder of shards: its `dataset.json` and its index, written and read.

dataset.json            name, splits with their label names, shards and checksums, how the pictures were made
index/SPLIT/            see `index.py`
*.tar                   the shards, anywhere below the folder
"""

import hashlib
import json
import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sclgan.data.packs.index import FILES, Index, IndexWriter
from sclgan.data.packs.notes import copy_notes, label_notes
from sclgan.data.packs.processes import in_order
from sclgan.data.packs.shards import Scan, scan
from sclgan.data.printable import printable
from sclgan.files import read_json, replaced, write_atomically

log = logging.getLogger(__name__)

DATASET = "dataset.json"
PACKING = "packing"  # the folder of a pack that is not finished
FORMAT = 1
Damaged = Literal["fail", "skip"]


def index_folder(
    root: Path, *, name: str, test: str | None = None, damaged: Damaged = "fail", num_workers: int = 0
) -> list[str]:
    """Indexes the shards of a folder in place: they are only read.

    Shards that match the pattern `test` are the split "test", all others "train"; without a pattern those whose name,
    or whose folder's name, begins with "test" or "val". Labels are numbered in order, numbers before names.

    Returns what was left out, one line each.

    Raises:
        FileNotFoundError: there are no shards.
        ValueError: a shard is damaged, or with damaged="fail" a sample; the folder is a pack, which has its index
            already, or holds something else under the names of the index.
    """
    shards, left_out = _shards_below(root)
    if not shards:
        seen = "".join(f"; {line}" for line in left_out[:3])
        raise FileNotFoundError(f"{root} holds no shards (*.tar): name the folder that holds them{seen}")
    if (root / PACKING / "plan.json").is_file():
        raise ValueError(f"{root} is an unfinished pack: repeat `sclgan data pack`, which writes its index")
    if (root / DATASET).exists() and "packed" in read_dataset(root):
        raise ValueError(f"{root} is a pack and has its index: `sclgan data verify {root}` checks it")
    splits: dict[str, list[Path]] = {"train": [], "test": []}
    for shard in shards:
        splits["test" if _is_test(shard.relative_to(root), test) else "train"].append(shard)
    if not splits["train"] or (test is not None and not splits["test"]):
        count = f"{len(splits['test'])} of {len(shards)} shards in {root} are for tests"
        raise ValueError(f"{count}: give a pattern --test that matches some of them, not all")
    with_shards = {split: files for split, files in splits.items() if files}
    return write_folder(root, with_shards, {"name": name, "left_out": left_out}, None, damaged, num_workers)


def _shards_below(root: Path) -> tuple[list[Path], list[str]]:
    """The shards below a folder, and a line for each linked folder or possible shard that is not read."""
    shards, left_out = [], []
    for path in sorted(root.rglob("*")):
        name, reason = path.name.lower(), ""
        relative = str(path.relative_to(root))
        if not _is_utf8(relative):
            reason = "its name is not text in UTF-8: rename it" if name.endswith(".tar") else ""
        elif path.is_dir():
            reason = "it is a link to a folder, which is not followed" if path.is_symlink() else ""
        elif name.endswith(".tar") and path.is_file() and not name.startswith("."):
            shards.append(path)
        elif name.endswith(".tar"):
            reason = "it is hidden, or not a file"
        elif name.endswith((".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")):
            reason = "it is compressed: unpack it to .tar"
        if reason:
            left_out.append(f"{printable(relative)}: {reason}")
    return shards, left_out


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    """Writes the index of each split and, last, `dataset.json` with `about` and the contents of the shards.

    `label_names` are those of each split where the shards' labels are numbers of them; without them the labels that
    occur in any split are numbered anew. Returns what was left out, one line each, with that of `about`.

    Raises:
        ValueError: a shard is damaged, or a sample; the folder holds an `index` that is not one of these.
    """
    check_own_index(root)
    left_out: list[str] = list(about.get("left_out", []))
    number_of: dict[int | str, int] = {}
    digests: dict[str, array[int]] = {split: array("Q") for split in splits}
    described: dict[str, Any] = {}
    with replaced(root / "index") as folder, ExitStack() as stack:
        writers = {split: stack.enter_context(closing(IndexWriter(folder / split))) for split in splits}
        for split, shards in splits.items():
            listed: list[dict[str, Any]] = []
            for shard, one in zip(shards, in_order(_scan, None, shards, num_workers), strict=True):
                if one.problems and damaged == "fail":
                    raise ValueError(f"{one.problems[0]} ({len(one.problems)} such); --damaged skip leaves them out")
                left_out += [*one.problems, *one.notes]
                for row in one.rows:
                    numbers = [number_of.setdefault(label, len(number_of)) for label in row.labels]
                    writers[split].add(len(listed), row, numbers)
                    digests[split].append(row.digest)
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
            described[split] |= {"label_names": names, "index_sha256": index_checksum(folder / split)}
        notes = copy_notes(digests, {split: Index(folder / split).keys for split in splits})
        if label_names is None:
            labels = Counter(label for writer in writers.values() for label in writer.labels)
            notes += label_notes({label: labels[number] for label, number in number_of.items()})
    for note in notes:
        log.warning("%s", note)
    content = {"format": FORMAT, **about, "splits": described, "left_out": left_out, "notes": notes}
    write_atomically(root / DATASET, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return left_out


def check_own_index(root: Path) -> None:
    """Refuses a folder whose `index` was not written by `write_folder`, since a new index replaces it as a whole.

    An index is known by its files: no others are in it, and `dataset.json` names its splits or they can be opened.

    Raises:
        ValueError: the folder holds something else under that name, or a `dataset.json` that is not one of these.
    """
    folder = root / "index"
    known = set(read_dataset(root)["splits"]) if (root / DATASET).exists() else set()
    if not folder.exists() and not folder.is_symlink():
        return
    foreign = _foreign_files(folder)
    foreign = foreign or [str(split) for split in folder.iterdir() if split.name not in known and not _opens(split)]
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise ValueError(
            f"{folder} holds what is not an index of sclgan ({shown}), and the index would replace it: "
            "move it elsewhere, or give another folder"
        )


def _foreign_files(folder: Path) -> list[str]:
    """The entries of an `index` folder beside the files of splits, links and folders included."""
    if folder.is_symlink() or not folder.is_dir():
        return [str(folder)]
    return [
        str(path)
        for split in folder.iterdir()
        for path in (split.iterdir() if split.is_dir() and not split.is_symlink() else [split])
        if path == split or path.name not in FILES or path.is_symlink() or not path.is_file()
    ]


def _opens(split: Path) -> bool:
    try:
        Index(split)
    except ValueError:
        return False
    return True


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
    """The content of `dataset.json`, whose fields are checked to be of the types that `write_folder` writes.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is damaged, too large, or of another version or program.
    """
    path = root / DATASET
    if not path.exists():
        is_pack = (root / PACKING).is_dir()
        todo = "packing was interrupted: repeat the command" if is_pack else "index the folder first"
        raise FileNotFoundError(f"{root} has no {DATASET}: `sclgan data pack` or `sclgan data index` makes it; {todo}")
    try:
        content = read_json(path)
        problem = _problem(content)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise ValueError(
            f"{path} is damaged, or not of sclgan: {problem}; move it elsewhere and index or pack the folder again"
        )
    return dict(content)


def _problem(content: Any) -> str:
    """The first error in the content of `dataset.json`, or nothing."""
    if not isinstance(content, dict) or "format" not in content:
        return "it is not an object with a field format"
    if content["format"] != FORMAT:
        return f"its format is {content['format']!r}, expected {FORMAT}"
    splits = content.get("splits")
    if not isinstance(content.get("name"), str) or not isinstance(splits, dict) or not splits:
        return "its name is not a text, or its splits are not an object"
    if not all(_are(content.get(field, []), str) for field in ("left_out", "notes")):
        return "left_out or notes is not a list of texts"
    for split, described in splits.items():
        if not isinstance(described, dict):
            return f"split {split!r} is not an object"
        shards = described.get("shards", [])
        if not _are(shards, dict) or not shards or not _are(described.get("label_names"), str):
            return f"split {split!r} has no list of shards, or of label names"
        if not isinstance(described.get("index_sha256"), str) or not _is_inside(split):
            return f"split {split!r} has no checksum of its index, or a name that leads elsewhere"
        for shard in shards:
            kinds = {"file": str, "num_samples": int, "bytes": int, "sha256": str}
            if any(type(shard.get(field)) is not kind for field, kind in kinds.items()):
                return f"a shard of split {split!r} lacks one of {', '.join(kinds)}"
            if not _is_inside(shard["file"]):
                return f"a shard of split {split!r} is outside of the folder: {shard['file']!r}"
    return ""


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _is_inside(file: str) -> bool:
    """Whether a name stays below the folder that it is relative to."""
    path = Path(file)
    return not path.is_absolute() and ".." not in path.parts


def index_checksum(folder: Path) -> str:
    """The SHA-256 of the files of a split's index, one after the other."""
    checksum = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            parts: Iterable[bytes] = iter(partial(file.read, 2**20), b"")
            for part in parts:
                checksum.update(part)
    return checksum.hexdigest()
