"""COCO, of 2014 or 2017: photographs of everyday scenes, five captions each, with the categories of the things in them.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; Chen et al. 2015, "Microsoft COCO Captions".
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sclgan.data.needed import Needed, what_to_get
from sclgan.data.sets.photographs import Photo, require, usable
from sclgan.data.types import Picture, Sample

log = logging.getLogger(__name__)

Year = Literal[2014, 2017]

SPLITS = {"train": "train", "test": "val"}
NUM_IMAGES: dict[Year, dict[str, int]] = {
    2014: {"train": 82_783, "test": 40_504},
    2017: {"train": 118_287, "test": 5_000},
}
SIZES: dict[Year, tuple[str, str, str]] = {2014: ("13 GB", "6 GB", "250 MB"), 2017: ("18 GB", "1 GB", "250 MB")}
ROOT = "data/coco"


def needed_files(root: str | Path = ROOT, year: Year = 2014) -> list[Needed]:
    """The files that `Coco` reads, and where to get them; checksums are not published."""
    folders = (f"train{year}", f"val{year}", f"annotations_trainval{year}")
    pages = [f"http://images.cocodataset.org/{'annotations' if '_' in name else 'zips'}/{name}.zip" for name in folders]
    places = [f"unpack it to {root}/{name.partition('_')[0]}" for name in folders]
    return [
        Needed(f"{name}.zip", f"{page} (described at https://cocodataset.org/#download)", place, size=size)
        for name, page, place, size in zip(folders, pages, places, SIZES[year], strict=True)
    ]


class Coco:
    """One split of COCO, a `Source`: "train" is train2014, "test" is val2014, in the order of the image ids.

    root/annotations/{captions,instances}_{train2014,val2014}.json      root/{train2014,val2014}/IMAGE.jpg

    `year=2017` reads train2017 and val2017, which are the same images, split anew, in the same layout.

    The labels of an image are the categories of the things in it, the one with the largest total area first; of equal
    ones the first category. Crowds count as their area. Images without a thing have no label; images without a caption
    and captions without a word are left out. All three are counted. Every caption is kept: five per image, of a few
    images six or seven, where the authors' codes take the first five.

    Raises:
        FileNotFoundError: files are missing; the message says what to get and where to put it.
        ValueError: a file is damaged, or the files do not belong together.
    """

    name = "coco"
    composes = False
    plain_backgrounds = False
    credits: Sequence[str] = ()
    needed_files = staticmethod(needed_files)

    def __init__(self, split: str, *, root: str | Path = ROOT, year: Year = 2014) -> None:
        if split not in SPLITS:
            raise ValueError(f"coco has no split {split!r}; take one of {', '.join(SPLITS)}")
        if year not in NUM_IMAGES:
            raise ValueError(f"coco has no year {year!r}; take 2014 or 2017")
        self.split = split
        root, folder = Path(root), f"{SPLITS[split]}{year}"
        what_to_do = what_to_get(needed_files(root, year))
        captions_file = root / "annotations" / f"captions_{folder}.json"
        instances_file = root / "annotations" / f"instances_{folder}.json"
        require(self.name, [captions_file, instances_file], what_to_do)

        names, texts = _captions(captions_file)
        categories, areas = _areas(instances_file)
        if strangers := areas.keys() - names.keys():
            raise ValueError(
                f"{instances_file} has things in {len(strangers)} images that {captions_file} does not have, such as "
                f"{min(strangers)}: the two do not belong together"
            )
        found = {image: usable(texts.get(image, [])) for image in sorted(names)}
        captions = {image: kept for image, (kept, _) in found.items() if kept}
        if not captions:
            raise ValueError(f"{captions_file} holds no caption of any image, and five of each are expected")
        ids = list(captions)
        paths = [root / folder / names[image] for image in ids]
        require(self.name, paths, what_to_do)
        self.rows: Sequence[Photo] = tuple(map(Photo, paths, captions.values()))
        self.keys: Sequence[str] = tuple(path.stem for path in paths)
        self.label_names: Sequence[str] = tuple(categories.values())
        label_of = {category: label for label, category in enumerate(categories)}
        self.labels: Sequence[tuple[int, ...]] = tuple(
            _by_area({label_of[category]: area for category, area in areas.get(image, {}).items()}) for image in ids
        )
        if num_empty := sum(num_without for _, num_without in found.values()):
            log.warning("coco, %s: %d captions hold no word and are left out", split, num_empty)
        if len(ids) < len(names):
            log.warning("coco, %s: %d images without a caption are left out", split, len(names) - len(ids))
        if num_without := sum(not own for own in self.labels):
            log.info("coco, %s: %d of %d images have no label", split, num_without, len(ids))
        if len(names) != NUM_IMAGES[year][split]:
            log.warning(
                "coco, %s: %d images, %s has %d: results will not compare",
                *(split, len(names), folder, NUM_IMAGES[year][split]),
            )

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` with one of its captions.

        `augment` crops at random and flips every other picture; without it the crop is in the middle.
        """
        return self.rows[index].picture(size, rng, augment=augment)

    def sample(self, index: int) -> Sample:
        """Row `index` as it is stored."""
        return self.rows[index].sample(self.labels[index], self.split, self.keys[index])

    def captions(self) -> Iterator[str]:
        """Every caption of every row."""
        for row in self.rows:
            yield from row.captions


def _by_area(areas: dict[int, float]) -> tuple[int, ...]:
    """The labels of a picture, the largest total area first."""
    return tuple(sorted(areas, key=lambda label: (-areas[label], label)))


def _captions(path: Path) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Image -> its file name, and its captions."""
    content = _read(path)
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        texts: dict[int, list[str]] = {}
        for annotation in content["annotations"]:
            texts.setdefault(annotation["image_id"], []).append(annotation["caption"])
        if not names or not all(isinstance(image, int) for image in names):
            raise ValueError("its images have no numbers")
        if not all(isinstance(name, str) and Path(name).name == name for name in names.values()):
            raise ValueError("its images have no plain file names")
        if not all(isinstance(text, str) for of_image in texts.values() for text in of_image):
            raise ValueError("a caption is not text")
    except (KeyError, TypeError, ValueError) as error:
        raise _not_coco(path, error) from error
    return names, texts


def _areas(path: Path) -> tuple[dict[int, str], dict[int, dict[int, float]]]:
    """Category -> name, in the order of the numbers; and image -> category -> area of its things in pixels."""
    content = _read(path)
    try:
        categories = {one["id"]: one["name"] for one in sorted(content["categories"], key=lambda one: one["id"])}
        areas: dict[int, dict[int, float]] = {}
        for thing in content["annotations"]:
            of_image, category = areas.setdefault(thing["image_id"], {}), thing["category_id"]
            if category not in categories:
                raise ValueError(f"category {category} of image {thing['image_id']} has no name")
            of_image[category] = of_image.get(category, 0.0) + float(thing["area"])
    except (KeyError, TypeError, ValueError) as error:
        raise _not_coco(path, error) from error
    return categories, areas


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes(), object_hook=_without_outline)
    except ValueError as error:
        raise _not_coco(path, error) from error


def _without_outline(content: dict[str, Any]) -> dict[str, Any]:
    """Outlines are most of the file and not used: dropped while it is read, they never fill the memory at once."""
    content.pop("segmentation", None)
    return content


def _not_coco(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not an annotation file of COCO ({error!r}): unpack its archive again")
