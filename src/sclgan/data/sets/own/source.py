"""Pictures of your own: a folder with a table in Hugging Face's convention, or with a caption file beside each picture.

`docs/your-own-data.md` shows how to make one; `folder_files.py` says which layouts are read.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sclgan.data.needed import Needed
from sclgan.data.sets.own.files import read
from sclgan.data.sets.own.table import SPLITS
from sclgan.data.sets.photographs import framed
from sclgan.data.types import Picture, Sample

log = logging.getLogger(__name__)

ROOT = "data/pictures"
EIGHT_BIT = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"})


def needed_files(root: str | Path = ROOT) -> list[Needed]:
    """What `Folder` reads."""
    return [Needed("pictures and their captions", "your own", f"put them into {root}, as docs/your-own-data.md shows")]


class Folder:
    """One split of a user's own pictures, a `Source`.

    A row is one picture with its captions; its labels are in the order in which the row names them, the first being the
    dominant one. `label_names` are those of both splits, names in alphabetical order, numbers by size. Data without
    labels train the plain recipes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: something is wrong in it; `sclgan data check` lists everything.
    """

    name = "folder"
    composes = False
    credits: Sequence[str] = ()
    needed_files = staticmethod(needed_files)

    def __init__(self, split: str, *, root: str | Path = ROOT) -> None:
        if split not in SPLITS:
            raise ValueError(f"folder has no split {split!r}; take one of {', '.join(SPLITS)}")
        self.split, self.root = split, Path(root)
        contents = read(self.root)
        if errors := contents.errors:
            more = f", and {len(errors) - 1} more are wrong" if len(errors) > 1 else ""
            raise ValueError(f"{root} cannot be read: {errors[0]}{more}; `sclgan data check {root}` lists everything")
        self.rows = tuple(row for row in contents.rows if row.split == split)
        names = sorted({label for row in contents.rows for label in row.labels}, key=lambda one: (str(type(one)), one))
        label_of = {name: label for label, name in enumerate(names)}
        self.label_names: Sequence[str] = tuple(map(str, names))
        self.labels: Sequence[tuple[int, ...]] = tuple(tuple(label_of[one] for one in row.labels) for row in self.rows)
        self.keys: Sequence[str] = tuple(row.name for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` with one of its captions.

        `augment` crops at random and flips every other picture; without it the crop is in the middle.
        """
        row = self.rows[index]
        caption, *draws = rng.random(4).tolist()
        pixels = framed(upright(self.root / row.name), size, draws if augment else None)
        return Picture(pixels, row.captions[int(caption * len(row.captions))])

    def captions(self) -> Iterator[str]:
        """Every caption of every row."""
        for row in self.rows:
            yield from row.captions

    def sample(self, index: int) -> Sample:
        """Row `index` with its file's bytes; where `upright` changes its pixels, with those as a PNG."""
        row, path = self.rows[index], self.root / self.rows[index].name
        image, content = upright(path), path.read_bytes()
        with Image.open(io.BytesIO(content)) as stored:
            as_stored = stored.mode in ("RGB", "L", "CMYK") and stored.getexif().get(_ORIENTATION, 1) == 1
        if not as_stored:
            file = io.BytesIO()
            image.save(file, "PNG")
            content = file.getvalue()
        return Sample(content, row.captions, self.labels[index], self.split, row.name)


_ORIENTATION = 0x0112


def upright(path: Path) -> Image.Image:
    """A picture file in RGB as a viewer shows it: turned as its EXIF orientation says, transparent parts on white.

    This differs from `photos.decoded`: phones store photographs sideways, and there is no bounding box in stored
    pixels. Of an animation it is the first picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no picture, or not of eight bits a channel; the message names the file.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode not in EIGHT_BIT:
                raise ValueError(f"its pixels are of the kind {opened.mode}: save it with 8 bits a channel")
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                ground = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(ground, image)
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, TypeError, ZeroDivisionError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}): replace it or remove its row") from error
