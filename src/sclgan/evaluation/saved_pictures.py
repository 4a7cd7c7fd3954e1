"""Generated pictures as files that `PictureFolder` reads: NUMBER.png, captions and labels in metadata.jsonl."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from sclgan import distributed
from sclgan.data.sets.own.rows import NAMES
from sclgan.evaluation.batches import PictureBatch


def saved(batches: Iterator[PictureBatch], folder: Path) -> Iterator[PictureBatch]:
    """The batches, each also written. The folder appears when the last one is: a part never blocks a repetition.

    Until then the files are in a hidden folder beside it, which is removed on errors, and on the next call where a
    process was killed.

    Raises:
        ValueError: the folder is not empty, or a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: --save-pictures names a new folder")
    unfinished = folder.with_name(f".{folder.name}.pictures.partial")
    distributed.barrier()  # every rank has looked before one writes
    if distributed.rank() == 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
    distributed.barrier()
    try:
        lines: list[tuple[int, dict[str, Any]]] = []
        for batch in batches:
            lines += _written(batch, unfinished)
            yield batch
        every = sorted((line for part in distributed.gather_objects(lines) for line in part), key=lambda line: line[0])
        if distributed.rank() == 0:
            (unfinished / NAMES[0]).write_text("".join(json.dumps(line) + "\n" for _, line in every))
            if folder.exists():
                folder.rmdir()
            unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _written(batch: PictureBatch, folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """Writes the pictures of a batch; the number and the line of metadata of each."""
    pixels = batch.images.permute(0, 2, 3, 1).cpu().numpy()
    rows = zip(batch.indices.tolist(), pixels, batch.captions, batch.labels.tolist(), strict=True)
    lines = []
    for index, picture, caption, label in rows:
        name = f"{index:06d}.png"
        Image.fromarray(picture).save(folder / name)
        lines.append((index, {"file_name": name, "captions": [caption], "label": label}))
    return lines
