"""COCO 2014: photographs of everyday scenes, five captions each, with the categories of the things in them.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; Chen et al. 2015, "Microsoft COCO Captions".
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sclgan.data.photos import Photo, require, usable
from sclgan.data.types import Picture, Sample

log = logging.getLogger(__name__)

SPLITS = {"train": "train2014", "test": "val2014"}
NUM_IMAGES = {"train": 82_783, "test": 40_504}
ROOT = "data/coco"

WHAT_TO_GET = (
    "get http://images.cocodataset.org/annotations/annotations_trainval2014.zip (250 MB), "
    "http://images.cocodataset.org/zips/train2014.zip (13 GB) and http://images.cocodataset.org/zips/val2014.zip "
    "(6 GB), described at https://cocodataset.org/#download, and unpack them in {root}, so that {root}/annotations, "
    "{root}/train2014 and {root}/val2014 are there; or set source.root to the folder that holds them"
)


class Coco:
    """One split of COCO 2014, a `Source`: "train" is train2014, "test" is val2014, in the order of the image ids.

    root/annotations/{captions,instances}_{train2014,val2014}.json      root/{train2014,val2014}/IMAGE.jpg

    Which of the categories in a picture are its labels:

    - labels="dominant": the one with the largest total area, the first of equals; pairs of one label need this.
    - labels="all": all of them, in order.

    Crowds count as their area. Pictures without a thing have no label. Other rules for pairs of pictures with several
    labels are to come. Captions without a word are left out.

    Raises:
        FileNotFoundError: files are missing; the message says what to get and where to put it.
        ValueError: a file is damaged, or the files do not belong together.
    """

    name = "coco"

    def __init__(self, split: str, *, root: str | Path = ROOT, labels: Literal["dominant", "all"] = "dominant") -> None:
        if split not in SPLITS:
            raise ValueError(f"coco has no split {split!r}; take one of {', '.join(SPLITS)}")
        if labels not in ("dominant", "all"):
            raise ValueError(f"coco has no rule {labels!r} for labels; take 'dominant' or 'all'")
        self.split = split
        root = Path(root)
        what_to_do = WHAT_TO_GET.format(root=root)
        captions_file = root / "annotations" / f"captions_{SPLITS[split]}.json"
        instances_file = root / "annotations" / f"instances_{SPLITS[split]}.json"
        require(self.name, [captions_file, instances_file], what_to_do)

        names, texts = _captions(captions_file)
        categories, areas = _areas(instances_file)
        if strangers := areas.keys() - names.keys():
            raise ValueError(
                f"{instances_file} has things in {len(strangers)} images that {captions_file} does not have, such as "
                f"{min(strangers)}: the two do not belong together"
            )
        ids = sorted(names)
        paths = [root / SPLITS[split] / names[image] for image in ids]
        require(self.name, paths, what_to_do)
        photos, num_empty = [], 0
        for image, path in zip(ids, paths, strict=True):
            captions, num_without = usable(texts.get(image, []))
            if not captions:
                raise ValueError(f"{captions_file} holds no caption of image {image} ({path.name}); five are expected")
            num_empty += num_without
            photos.append(Photo(path, captions))
        self.rows: Sequence[Photo] = tuple(photos)
        self.keys: Sequence[str] = tuple(path.stem for path in paths)
        self.label_names: Sequence[str] = tuple(categories.values())
        label_of = {category: label for label, category in enumerate(categories)}
        self.labels: Sequence[tuple[int, ...]] = tuple(
            _labels({label_of[category]: area for category, area in areas.get(image, {}).items()}, labels)
            for image in ids
        )
        if num_empty:
            log.warning("coco, %s: %d captions hold no word and are left out", split, num_empty)
        if num_without := sum(not own for own in self.labels):
            log.info("coco, %s: %d of %d images have no label", split, num_without, len(ids))
        if len(ids) != NUM_IMAGES[split]:
            log.warning(
                "coco, %s: %d images, %s has %d: results will not compare",
                *(split, len(ids), SPLITS[split], NUM_IMAGES[split]),
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


def _labels(areas: dict[int, float], rule: Literal["dominant", "all"]) -> tuple[int, ...]:
    """The labels of a picture from the total area of each category in it."""
    if rule == "all" or not areas:
        return tuple(sorted(areas))
    return (min(areas, key=lambda label: (-areas[label], label)),)


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
            raise ValueError("a caption is no text")
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
    return ValueError(f"{path} is no annotation file of COCO ({error!r}): unpack its archive again")
