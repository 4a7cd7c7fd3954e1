"""Small copies of the published data sets, in their exact layouts: tiny photographs, lists, metadata."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

BIRDS = {"train": ("001.Black_footed_Albatross", "003.Sooty_Albatross"), "test": ("002.Laysan_Albatross",)}
PER_CLASS = 4
CUB_SIZE = (60, 40)
CUB_BOX = (10, 5, 30, 20)


def photograph(path: Path, width: int, height: int, *, seed: int = 0) -> None:
    """A JPEG of smooth colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR).save(path, quality=90)


def truncate(path: Path) -> None:
    """Cuts a file off in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def python2_pickle(values: Sequence[str] | Sequence[int]) -> bytes:
    """A list of byte strings or numbers as Python 2's cPickle writes it, protocol 2."""
    content = b"\x80\x02]q\x01("
    for value in values:
        content += b"K" + bytes([value]) if isinstance(value, int) else b"U" + bytes([len(value)]) + value.encode()
    return content + b"e."


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def birds(root: Path, *, text: str = "text") -> Path:
    """CUB-200-2011 with AttnGAN's metadata: three classes of four birds, ten captions each."""
    classes = sorted(name for names in BIRDS.values() for name in names)
    keys = [f"{name}/{name[4:]}_{i:04d}_{i}" for name in classes for i in range(PER_CLASS)]
    official = root / "CUB_200_2011"
    numbered = list(enumerate(keys, start=1))
    write(official / "classes.txt", "".join(f"{int(name[:3])} {name}\n" for name in classes))
    write(official / "images.txt", "".join(f"{i} {key}.jpg\n" for i, key in numbered))
    write(official / "image_class_labels.txt", "".join(f"{i} {int(key[:3])}\n" for i, key in numbered))
    box = " ".join(f"{number:.1f}" for number in CUB_BOX)
    write(official / "bounding_boxes.txt", "".join(f"{i} {box}\n" for i, _ in numbered))
    for number, key in numbered:
        photograph(official / "images" / f"{key}.jpg", *CUB_SIZE, seed=number)
        captions = [f"this bird number {number} has a {colour} wing." for colour in ("red", "blue", "black", "white")]
        lines = [captions[i % 4].replace("wing", f"part{i}") for i in range(10)]
        write(root / text / f"{key}.txt", "\n".join(lines) + "\n")
    for split, names in BIRDS.items():
        own = [key for key in keys if key.partition("/")[0] in names]
        write(root / split / "filenames.pickle", python2_pickle(own))
        write(root / split / "class_info.pickle", python2_pickle([int(key[:3]) for key in own]))
    return root


CATEGORIES = {1: "person", 17: "cat", 90: "toothbrush"}
THINGS = {  # image -> (category, area); the categories of an image sum up
    9: [(17, 50.0), (1, 60.0), (17, 40.0)],
    25: [(90, 10.0)],
    30: [],
    34: [(1, 5.0), (90, 5.0)],
    36: [(90, 7.0)],
    42: [(17, 1.0)],
    49: [(1, 9.0)],
    61: [(17, 3.0)],
}


def scenes(root: Path, *, year: int = 2014) -> Path:
    """COCO as unpacked: eight photographs in each split, five captions each."""
    for folder in (f"train{year}", f"val{year}"):
        images, captions, things = [], [], []
        for image, of_image in reversed(THINGS.items()):
            name = f"COCO_{folder}_{image:012d}.jpg" if year == 2014 else f"{image:012d}.jpg"
            photograph(root / folder / name, 64 + image, 48, seed=image)
            images.append({"id": image, "file_name": name, "width": 64 + image, "height": 48})
            captions += [
                {"image_id": image, "id": 10 * image + i, "caption": f"A photo number {image} of things {word}.\n"}
                for i, word in enumerate(("outside", "inside", "at night", "in a park", "close up"))
            ]
            things += [
                {"image_id": image, "category_id": category, "area": area, "iscrowd": 0, "segmentation": [[0, 0, 1, 1]]}
                for category, area in of_image
            ]
        named = [{"id": number, "name": name, "supercategory": "thing"} for number, name in CATEGORIES.items()]
        annotations = root / "annotations"
        write(annotations / f"captions_{folder}.json", json.dumps({"images": images, "annotations": captions}))
        instances = {"images": images, "annotations": things, "categories": named}
        write(annotations / f"instances_{folder}.json", json.dumps(instances))
    return root


COLOURS = ("red", "blue", "green", "white", "black", "small")


def own(per_label: int) -> dict[str, tuple[str, list[str]]]:
    """Name -> label and captions."""
    return {
        f"{kind}/{i}.jpg": (kind, [f"a {COLOURS[i % 6]} {kind} number {i % 6}", f"one {kind} on the {place}"])
        for kind, place in (("kite", "beach"), ("lamp", "table"), ("boat", "water"))
        for i in range(per_label)
    }


OWN = own(6)


def own_pictures(root: Path, per_label: int = 6) -> Path:
    """A folder of pictures with metadata.jsonl: two captions and one of three labels each."""
    pictures = own(per_label)
    for seed, name in enumerate(pictures):
        photograph(root / name, 80, 72, seed=seed)
    rows = [{"file_name": name, "captions": captions, "label": label} for name, (label, captions) in pictures.items()]
    table(root / "metadata.jsonl", rows)
    return root


def table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A metadata.jsonl."""
    write(path, "".join(json.dumps(row) + "\n" for row in rows))
