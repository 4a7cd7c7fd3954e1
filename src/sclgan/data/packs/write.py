"""Packing: a data set's pictures, cropped and resized once for a training size, in shards with an index.

OUT/train-000000.tar ...      shards, written by several processes, each whole or absent
OUT/packing/                  the plan, and a record of each shard that is done; removed at the end
"""

import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import PIL

from sclgan.data.images import is_shown_as_stored
from sclgan.data.packs.folder import DATASET, PACKING, Damaged, check_own_index, read_dataset, write_folder
from sclgan.data.packs.processes import in_order
from sclgan.data.packs.shards import is_png, write_shard
from sclgan.data.sets.photographs import decoded, margin, resized
from sclgan.data.types import Sample
from sclgan.files import parts_in, read_json, remove_parts, replaced, write_atomically

log = logging.getLogger(__name__)

QUALITY = 90  # of JPEG; docs/large-data.md compares
_CHROMA = "4:2:0"
_LONGEST_JPEG = 65_500  # pixels per side

NOTES = {
    "cub": "CUB-200-2011: for research and education only, the rights to the photographs are their photographers'; "
    "https://www.vision.caltech.edu/datasets/cub_200_2011/",
    "coco": "COCO: annotations CC-BY-4.0, the photographs under Flickr's terms of use; https://cocodataset.org/#termsofuse",
    "emoji": "drawings under CC-BY-4.0, Apache-2.0 and MIT; EMOJI_ATTRIBUTION.md in the package names their makers",
}
"""Source and licence of the data sets by name; a pack repeats them."""


@runtime_checkable
class Packable(Protocol):
    """A data set whose rows can be read as they are stored; see `Source` for the rest."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def label_names(self) -> Sequence[str]: ...

    @property
    def keys(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Plan:
    """Everything that decides the content of a split's shards; an interrupted packing continues only under its plan."""

    name: str
    split: str
    num_rows: int
    first_key: str
    last_key: str
    image_size: int
    quality: int
    samples_per_shard: int
    damaged: Damaged


def pack(
    sources: Sequence[Packable],
    out: Path,
    *,
    size: int,
    quality: int = QUALITY,
    samples_per_shard: int = 1000,
    damaged: Damaged = "fail",
    num_workers: int = 0,
) -> list[str]:
    """Packs the splits of a data set for training at `size` pixels; an interrupted call is continued.

    A picture is cropped about its bounding box and its shorter side reduced to `margin(size)`, from which training
    crops; it is never enlarged, and a JPEG that needs neither is copied. PNG stays PNG, everything else becomes
    JPEG. Damaged pictures end the packing, or with damaged="skip" are left out; finished shards stay in both cases.

    Returns what was left out, one line each.

    Raises:
        ValueError: a picture is damaged, or the folder holds something else.
    """
    if size < 1 or samples_per_shard < 1 or not 1 <= quality <= 100:
        raise ValueError(
            f"size is {size}, quality {quality}, samples_per_shard {samples_per_shard}: expected at least 1, 1 to 100, "
            "and at least 1"
        )
    plans = [
        Plan(source.name, source.split, len(source), source.keys[0], source.keys[-1], size, quality, samples_per_shard,
             damaged) for source in sources
    ]  # fmt: skip
    described = json.loads(json.dumps([asdict(plan) for plan in plans]))
    if (out / DATASET).exists():
        if read_dataset(out).get("packed") != described:
            raise ValueError(f"{out} holds another pack, or shards indexed in place: give another --out")
        if (out / PACKING / "plan.json").is_file() and _json(out / PACKING / "plan.json") == described:
            _remove_records(out / PACKING)  # killed before it removed them
        log.info("%s is packed already", out)
        return list(read_dataset(out)["left_out"])
    _claim(out, described)
    records = {
        plan.split: _pack_split(source, plan, out, num_workers) for source, plan in zip(sources, plans, strict=True)
    }
    done = [record for of_split in records.values() for record in of_split]
    about = {
        "name": sources[0].name,
        "image_size": size,
        "shorter_side": margin(size),
        "pictures": f"cropped about their boxes, shorter side at most {margin(size)} pixels (bilinear, antialiased), "
        f"JPEG quality {quality} with chroma {_CHROMA}, PNG where the original is PNG; Pillow {PIL.__version__}",
        "source": NOTES.get(sources[0].name, "as the original's"),
        "original_bytes": sum(record["original_bytes"] for record in done),
        "picture_bytes": sum(record["picture_bytes"] for record in done),
        "packed": described,
        "left_out": [line for record in done for line in record["left_out"]],
    }
    shards = {split: [out / record["file"] for record in of_split] for split, of_split in records.items()}
    names = {source.split: source.label_names for source in sources}
    left_out = write_folder(out, shards, about, names, "fail", num_workers)
    _remove_records(out / PACKING)
    return left_out


def _claim(out: Path, described: Sequence[Mapping[str, Any]]) -> None:
    """Makes `out` the folder of these plans, or checks that it is, and removes incomplete files of a killed packing.

    An empty folder, or one in which a packing was killed before it wrote its plan, becomes the folder of these plans.
    """
    path = out / PACKING / "plan.json"
    if path.exists():
        if _json(path) != described:
            raise ValueError(f"{out} holds an unfinished pack of something else: give another --out, or remove it")
    elif out.exists() and (not out.is_dir() or not _is_empty(out)):
        raise ValueError(f"{out} is not empty and does not hold a pack: give another --out")
    for folder in (out, out / PACKING):
        remove_parts(folder)
    check_own_index(out)  # before hours of packing, since the index is written last
    if not path.exists():
        write_atomically(path, json.dumps(described).encode())


def _is_empty(out: Path) -> bool:
    """Whether a folder holds only parts of files that a killed process was writing."""
    inside = [*out.iterdir()]
    if out / PACKING in inside and not (out / PACKING).is_symlink() and (out / PACKING).is_dir():
        inside.remove(out / PACKING)
        inside += (out / PACKING).iterdir()
    parts = {path for folder in (out, out / PACKING) for path, _ in parts_in(folder)}
    return all(path in parts for path in inside)


def _remove_records(folder: Path) -> None:
    """Removes the records of a packing, and their folder unless something else is in it."""
    for path in (*folder.glob("*.tar.json"), folder / "plan.json"):  # the plan last: it says whose the others are
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _json(path: Path) -> Any:
    """The content of a record of a packing.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): remove it and repeat the command") from error


@dataclass(frozen=True)
class _Work:
    """Everything that a process needs to pack any shard."""

    source: Packable
    plan: Plan
    out: Path


def _pack_split(source: Packable, plan: Plan, out: Path, num_workers: int) -> list[dict[str, Any]]:
    """The records of all shards of a split."""
    numbers = range(-(-plan.num_rows // plan.samples_per_shard))
    records = []
    began, num_new = time.monotonic(), 0
    for record in in_order(_pack_shard, _Work(source, plan, out), numbers, num_workers):
        records.append(record)
        num_new += record["num_samples"] if record["is_new"] else 0
        log.info(
            "packed %s, %s: %d of %d shards, %.0f pictures per second",
            *(plan.name, plan.split, len(records), len(numbers), num_new / (time.monotonic() - began)),
        )
    return records


def _pack_shard(work: _Work, number: int) -> dict[str, Any]:
    """Packs a shard, unless it is done, and returns its record."""
    plan, file = work.plan, f"{work.plan.split}-{number:06d}.tar"
    done = work.out / PACKING / f"{file}.json"
    if done.exists():
        record = _json(done)
        path = work.out / file
        if isinstance(record, dict) and path.exists() and path.stat().st_size == record.get("bytes"):
            return record | {"is_new": False}
    rows = range(number * plan.samples_per_shard, min((number + 1) * plan.samples_per_shard, plan.num_rows))
    samples, left_out, original_bytes = [], [], 0
    for row in rows:
        try:
            sample = work.source.sample(row)
            packed = replace(sample, image=_packed_picture(sample, plan), box=None)
        except ValueError as error:
            if plan.damaged == "fail":
                raise ValueError(f"{error}; --damaged skip leaves such pictures out") from error
            left_out.append(str(error))
            continue
        original_bytes += len(sample.image)
        samples.append((row, packed))
    with replaced(work.out / file) as temporary:
        write_shard(temporary, samples)
    record = {
        "file": file,
        "num_samples": len(samples),
        "bytes": (work.out / file).stat().st_size,
        "original_bytes": original_bytes,
        "picture_bytes": sum(len(packed.image) for _, packed in samples),
        "left_out": left_out,
    }
    write_atomically(done, json.dumps(record).encode())
    return record | {"is_new": True}


def _packed_picture(sample: Sample, plan: Plan) -> bytes:
    """The picture of a sample as it is stored in a pack."""
    name = f"{plan.name}, {plan.split}: {sample.key}"
    image = decoded(sample.image, sample.box, name=name, as_stored=sample.as_stored)
    shorter = margin(plan.image_size)
    fits = min(image.size) <= shorter
    png = is_png(sample.image)
    # Packs are decoded as a viewer shows them: a picture that its data set decodes differently is encoded anew.
    as_shown = not sample.as_stored or is_shown_as_stored(sample.image, name=name)
    if fits and sample.box is None and as_shown and (png or sample.image.startswith(b"\xff\xd8")):
        return sample.image
    if not fits:
        image = resized(image, shorter)
    file = io.BytesIO()
    if png or max(image.size) > _LONGEST_JPEG:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=plan.quality, subsampling=_CHROMA, optimize=True)
    return file.getvalue()
