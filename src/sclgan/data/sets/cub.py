"""CUB-200-2011: photographs of 200 species of birds, ten captions each, by classes for training and classes for test.

Wah et al. 2011, "The Caltech-UCSD Birds-200-2011 Dataset"; captions of Reed et al. 2016, "Learning Deep Representations
of Fine-Grained Visual Descriptions"; the split of 150 and 50 classes as published with StackGAN and AttnGAN.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sclgan.data.needed import Needed, what_to_get
from sclgan.data.sets.legacy_pickle import load
from sclgan.data.sets.photographs import Photo, require, usable
from sclgan.data.types import Picture, Sample

log = logging.getLogger(__name__)

SPLITS = ("train", "test")
NUM_IMAGES = {"train": 8_855, "test": 2_933}
NUM_CLASSES = {"train": 150, "test": 50}
ROOT = "data/birds"


def needed_files(root: str | Path = ROOT) -> list[Needed]:
    """The files that `Cub` reads, and where to get them."""
    return [
        Needed(
            "CUB_200_2011.tgz",
            "https://data.caltech.edu/records/65de6-vp158",
            f"unpack it to {root}/CUB_200_2011",
            size="1.15 GB",
            checksum="md5 97eceeb196236b17998738112f37df78",
        ),
        Needed(
            "the birds metadata",
            "https://github.com/taoxugit/AttnGAN "
            "(in a browser: https://drive.google.com/open?id=17L19M4ZF6PIgpValds4sWHbQQbIf7eim)",
            f"unpack it, with any archive inside it, so that {root}/train/filenames.pickle and "
            f"{root}/text/001.Black_footed_Albatross/ are there",
        ),
    ]


class Cub:
    """One split of the birds, a `Source`: "train" are 150 classes, "test" the 50 others.

    root/CUB_200_2011/{images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt, images/CLASS/IMAGE.jpg}
    root/{train, test}/{filenames.pickle, class_info.pickle}        the split; class_info.pickle may be absent
    root/{text or text_c10}/CLASS/IMAGE.txt                         one caption per line; or, without either folder,
    root/captions.pickle                                            AttnGAN's: the words of ten captions per image

    Labels are the official classes, numbered from 0 within the split. A picture is cropped to 1.5 times its bounding
    box first; see `photos.around`. Captions without a word are left out.

    Raises:
        FileNotFoundError: files are missing; the message says what to get and where to put it.
        ValueError: a file is damaged, or the files do not belong together.
    """

    name = "cub"
    composes = False
    plain_backgrounds = False
    credits: Sequence[str] = ()
    unseen_split = "test"
    needed_files = staticmethod(needed_files)

    def __init__(self, split: str, *, root: str | Path = ROOT) -> None:
        if split not in SPLITS:
            raise ValueError(f"cub has no split {split!r}; take one of {', '.join(SPLITS)}")
        self.split = split
        root = Path(root)
        what_to_do = what_to_get(needed_files(root))
        official = root / "CUB_200_2011"
        text = root / "text" if (root / "text").is_dir() or not (root / "text_c10").is_dir() else root / "text_c10"
        pickled = root / "captions.pickle"
        from_pickle = not text.is_dir() and pickled.is_file()
        tables = [official / f"{name}.txt" for name in ("images", "image_class_labels", "classes", "bounding_boxes")]
        lists = {name: root / name / "filenames.pickle" for name in SPLITS}
        require(self.name, [*tables, *lists.values(), pickled if from_pickle else text], what_to_do)

        images, class_of, class_names, boxes = (_table(table) for table in tables)
        ids = {path.removesuffix(".jpg"): number for number, path in images.items()}
        keys_of = {name: _keys(path, ids) for name, path in lists.items()}
        classes_of = {name: {_of(class_of, ids[key], tables[1], key) for key in keys} for name, keys in keys_of.items()}
        name_of = {n: _of(class_names, n, tables[2], f"class {n}") for n in classes_of["train"] | classes_of["test"]}
        if shared := classes_of["train"] & classes_of["test"]:
            raise ValueError(
                f"{len(shared)} classes are in both {lists['train']} and {lists['test']}, such as "
                f"{name_of[min(shared, key=int)]}: the split must be by classes, as published"
            )
        keys, classes = keys_of[split], sorted(classes_of[split], key=int)
        label_of = {number: label for label, number in enumerate(classes)}
        self.keys: Sequence[str] = tuple(keys)
        self.labels: Sequence[tuple[int, ...]] = tuple((label_of[class_of[ids[key]]],) for key in keys)
        self.label_names: Sequence[str] = tuple(name_of[n].partition(".")[2].replace("_", " ") for n in classes)
        self.class_captions: Sequence[str] = tuple(f"a photo of a {name}, a type of bird" for name in self.label_names)
        _check_class_info(root / split / "class_info.pickle", self.labels)

        paths = [official / "images" / f"{key}.jpg" for key in keys]
        texts = [] if from_pickle else [text / f"{key}.txt" for key in keys]
        require(self.name, [*paths, *texts], what_to_do)
        captions = _pickled_captions(pickled, split, len(keys)) if from_pickle else _captions(texts, split)
        box_of = [_box(_of(boxes, ids[key], tables[3], key), tables[3], key) for key in keys]
        self.rows: Sequence[Photo] = tuple(map(Photo, paths, captions, box_of))
        if (len(keys), len(classes)) != (NUM_IMAGES[split], NUM_CLASSES[split]):
            log.warning(
                "cub, %s: %d images of %d classes, the published split has %d of %d: results will not compare",
                *(split, len(keys), len(classes), NUM_IMAGES[split], NUM_CLASSES[split]),
            )

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index`, cropped about the bird, with one of its captions.

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


def _table(path: Path) -> dict[str, str]:
    """Number -> the rest of the line, of one of the official lists."""
    table = {}
    for place, line in enumerate(path.read_text().splitlines(), start=1):
        number, _, rest = line.strip().partition(" ")
        if not number:
            continue
        if not number.isdecimal() or not rest:
            raise ValueError(f"line {place} of {path} is {line!r}: expected a number and a value; unpack it again")
        table[number] = rest
    return table


def _of(table: dict[str, str], number: str, path: Path, whose: str) -> str:
    if number not in table:
        raise ValueError(f"{path} has no line {number}, for {whose}: unpack the archive again")
    return table[number]


def _keys(path: Path, known: dict[str, str]) -> list[str]:
    """The images of a split, as CLASS/IMAGE."""
    keys = load(path)
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"{path} must hold a list of names such as CLASS/IMAGE; this is not metadata of birds")
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f"{path} names {len(unknown)} images that images.txt does not have, such as {unknown[0]!r}")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{path} names {len(keys) - len(set(keys))} images more than once")
    return keys


def _check_class_info(path: Path, labels: Sequence[tuple[int, ...]]) -> None:
    """That the metadata group the images as the official labels do, if they say; their numbers are not compared."""
    if not path.exists():
        return
    found = load(path)
    groups = [str(one) for one in found] if isinstance(found, list | np.ndarray) else []
    pairs = set(zip(groups, labels, strict=False))
    if len(groups) != len(labels) or not len(pairs) == len(set(groups)) == len(set(labels)):
        raise ValueError(
            f"{path} does not group its {len(groups)} images as image_class_labels.txt groups the {len(labels)} of "
            "filenames.pickle: take both from one copy of the metadata"
        )


def _box(text: str, path: Path, key: str) -> tuple[int, int, int, int]:
    """Left, top, width and height, cut to whole pixels as in the reference codes."""
    try:
        left, top, width, height = (float(number) for number in text.split())
        if not all(map(math.isfinite, (left, top, width, height))) or min(width, height) < 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{path} gives {key} the bounding box {text!r}: expected left, top, width and height in pixels"
        ) from None
    return int(left), int(top), int(width), int(height)


def _captions(texts: Sequence[Path], split: str) -> list[tuple[str, ...]]:
    """The captions of each file, one per line. A pair of bytes that is not UTF-8 becomes a space, as in AttnGAN."""
    captions, num_empty = [], 0
    for path in texts:
        lines = path.read_bytes().decode(errors="replace").replace("\ufffd\ufffd", " ").splitlines()
        kept, num_without = usable(lines)
        if not kept:
            raise ValueError(f"{path} holds no caption, and ten lines are expected: unpack the metadata again")
        captions.append(kept)
        num_empty += num_without
    if num_empty:
        log.warning("cub, %s: %d captions hold no word and are left out", split, num_empty)
    return captions


def _pickled_captions(path: Path, split: str, num_images: int) -> list[tuple[str, ...]]:
    """The captions of each image from [train captions, test captions, number to word, word to number].

    Captions are lists of word numbers, as many for each image, in the order of filenames.pickle. Punctuation and
    capitals are lost in them.
    """
    try:
        content: Any = load(path)
        captions, words = content[SPLITS.index(split)], content[2]
        written = [" ".join(words[int(number)] for number in caption) for caption in captions]
        each, rest = divmod(len(written), num_images)
        if rest or not each or not all(written):
            raise ValueError(f"{len(written)} captions of {num_images} images")
    except (TypeError, LookupError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold the captions of {num_images} {split} images, as many for each ({error}): take it "
            "from the same copy of the metadata as filenames.pickle"
        ) from error
    return [tuple(written[start : start + each]) for start in range(0, len(written), each)]
