"""The data that a run is trained on, in `data.json`, so that a run does not go on with other data unnoticed."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.data.types import Source
from sclgan.encoders.base import Tokenizer
from sclgan.files import sha256_of, write_atomically
from sclgan.runs import checkpoint
from sclgan.runs.differences import differences
from sclgan.runs.divergence import record_changes
from sclgan.runs.json_files import read_object

log = logging.getLogger(__name__)

DATA = "data.json"
OPTION = "--accept-changed-data"
FEWEST_NAMED = 5


def describe_data(splits: Mapping[str, Source], tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """The labels of some splits by name, with a digest of their rows and one of their captions, and the vocabulary.

    `tokenizer` is left out where it is not made from these data.
    """
    first = next(iter(splits.values()))
    content: dict[str, Any] = {
        "source": first.name,
        "label_names": list(first.label_names),
        "splits": {
            name: {
                "rows": _digest(map(json.dumps, _rows(source))),
                "captions": _digest(source.captions()),
            }
            for name, source in splits.items()
        },
    }
    if tokenizer is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / tokenizer.file_name
            tokenizer.save(path)
            content["vocabulary"] = {
                "number": tokenizer.num_tokens,
                "sha256": sha256_of(path),
            }
    return content


def _rows(source: Source) -> Iterable[tuple[str, list[str]]]:
    """The key of every row and the names of its labels, whose numbers may change with labels of other rows."""
    for row in range(len(source)):
        yield source.keys[row], [source.label_names[label] for label in source.labels[row]]


def _digest(lines: Iterable[str]) -> dict[str, Any]:
    number, digest = 0, hashlib.sha256()
    for line in lines:
        number += 1
        digest.update(line.encode(errors="surrogateescape") + b"\n")
    return {"number": number, "sha256": digest.hexdigest()}


def check_data(
    folder: Path,
    splits: Mapping[str, Source],
    *,
    tokenizer: Tokenizer | None = None,
    accept_changes: bool = False,
    numbers_labels: bool = False,
) -> None:
    """Writes data.json, or compares the data with it where the run was begun before; every rank must call it.

    Changes of data are refused unless they are to be accepted. Those that would give words or, where the networks
    number them (`numbers_labels`), labels another meaning are refused in any case.

    Raises:
        ValueError: the data have changed; says how.
    """
    refusal: str | None = None
    if distributed.rank() == 0:
        refusal = _checked(folder, describe_data(splits, tokenizer), accept_changes, numbers_labels)
    if refusal := distributed.gather_objects(refusal)[0]:
        raise ValueError(refusal)


def _checked(folder: Path, now: dict[str, Any], accept_changes: bool, numbers_labels: bool) -> str | None:
    """Why the run may not go on; None where it may, and then data.json says what the data are now."""
    path = folder / DATA
    begun = any(folder.rglob("*.safetensors"))
    if begun and not path.exists():
        log.info(
            "%s was begun by a version of sclgan that did not record its data: whether they have changed since then "
            "is unknown; they are recorded from now on",
            folder,
        )
    elif begun:
        try:
            before = read_object(path, {"source": str, "label_names": list, "splits": dict}, advice="remove this file")
        except ValueError as error:
            return str(error)
        changes = differences([before, now])
        if changes:
            said = (
                f"the data of {folder} have changed since the run began: {'; '.join(_in_words(before, now, changes))}"
            )
            if any(name.startswith("vocabulary") for name in changes):
                return f"{said}. Its words are numbered by the earlier captions: give another --out"
            if numbers_labels and "label_names" in changes:
                return f"{said}. Its networks number the earlier labels: give another --out"
            if not accept_changes:
                return f"{said}. Give another --out, or go on with the data as they are now: {OPTION}"
            log.warning("%s", said)
            step = max(checkpoint.steps(folder / "checkpoints"), default=0)
            record_changes(folder, {f"data.{name}": values for name, values in changes.items()}, step)
    write_atomically(path, (json.dumps(now, indent=1) + "\n").encode())
    return None


def _in_words(before: dict[str, Any], now: dict[str, Any], changes: Mapping[str, Sequence[Any]]) -> list[str]:
    """The changes, one phrase each."""
    lines = [f"{name} was {old}, is {new}" for name, (old, new) in changes.items() if name == "source"]
    if "label_names" in changes:
        lines += changed_labels(before["label_names"], now["label_names"])
    for place in dict.fromkeys(name.rpartition(".")[0] for name in changes if name.endswith((".number", ".sha256"))):
        old, new = (_at(content, place) for content in (before, now))
        what = " ".join(reversed(place.removeprefix("splits.").split("."))).replace("rows", "pictures")
        if old.get("number") != new.get("number"):
            lines.append(f"{what.replace(' ', ' of ', 1)}: {old.get('number')} then, {new.get('number')} now")
        else:
            lines.append(f"{what.replace(' ', ' of ', 1)}: as many, but not the same")
    return lines or [f"{name} was {old}, is {new}" for name, (old, new) in changes.items()]


def _at(content: Any, path: str) -> Mapping[str, Any]:
    for name in path.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def changed_labels(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """How the labels of data differ, in words; nothing where they are the same in the same order."""
    added = [name for name in now if name not in set(before)]
    removed = [name for name in before if name not in set(now)]
    lines = [f"new labels: {_named(added)}"] if added else []
    lines += [f"labels that are gone: {_named(removed)}"] if removed else []
    if not lines and list(before) != list(now):
        lines = ["the labels have other numbers"]
    return lines


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEWEST_NAMED} more" if len(names) > FEWEST_NAMED else ""
    return ", ".join(map(repr, names[:FEWEST_NAMED])) + more
