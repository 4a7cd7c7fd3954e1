"""Builds `src/sclgan/data/sets/emoji.zip` and `EMOJI_ATTRIBUTION.md` from npm packages of emoji.

    pip install resvg_py==0.5.0                          # in the environment of sclgan; needs npm too
    python scripts/build_emoji.py --cache build/emoji    # about two minutes, 30 MB of packages; then from the cache

After a change of `rasterise`, delete `drawings/` in the cache.

The packages' versions are pinned, the split is seeded and the archive carries no time, so two builds with the same
Pillow are equal byte for byte. The archive holds `index.json`, one lossless WebP per class (its drawings side by side,
RGBA) and `ATTRIBUTION.md`. `emoji_choices.json` lists the classes and drawings that are left out, each with its reason:
every drawing was looked at.
"""

import argparse
import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from emoji_art import CHOICES, MAKERS, NAMES, SIZE, Art, Emoji, fetch, match, rasterise, read_emoji
from emoji_licences import attribution
from PIL import Image, ImageFilter

from sclgan.data.sets.backgrounds import BACKGROUNDS, COLORS, lab, nearest

DATA = Path(__file__).parents[1] / "src" / "sclgan" / "data"
MIN_DRAWINGS = 5
SAME = 4.0  # mean absolute difference of 255 at 32 px under which two drawings are one
MAIN_COLOR = 0.18  # share of the opaque pixels from which a colour is named
UNSEEN = 0.26  # share of each superclass that is kept from training
CONTRAST = 32.0  # distance in L*a*b* from which a pixel stands out from a background
MAX_LOST = 0.25  # share of the rim that may not
MIN_GROUNDS = 4
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the embedded emoji data.")
    parser.add_argument("--cache", type=Path, required=True, help="folder for npm packages and rasterised drawings")
    parser.add_argument("--out", type=Path, default=DATA, help="folder that receives the archive and its attribution")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)

    names = fetch(*NAMES, options.cache)
    arts = {maker.key: Art(maker, fetch(maker.package, maker.version, options.cache)) for maker in MAKERS}
    emoji = read_emoji(names)
    found = match(emoji, arts, names)
    chosen = [(one, draw(one, arts, found, options.cache)) for one in emoji]
    chosen = [(one, drawings) for one, drawings in chosen if len(drawings) >= MIN_DRAWINGS]
    index = describe(chosen, found)
    notice = attribution(Counter(maker for _, drawings in chosen for maker in drawings))
    write(options.out / "emoji.zip", index, chosen, notice)
    (options.out / "EMOJI_ATTRIBUTION.md").write_text(notice, encoding="utf-8")
    num_drawings = sum(len(drawings) for _, drawings in chosen)
    num_unseen = sum(one["unseen"] for one in index["classes"])
    size = (options.out / "emoji.zip").stat().st_size
    print(f"{len(chosen)} classes ({num_unseen} unseen), {num_drawings} drawings, {size / 1e6:.2f} MB")


def draw(
    one: Emoji, arts: Mapping[str, Art], found: Mapping[tuple[str, str], str], cache: Path
) -> dict[str, np.ndarray]:
    """The drawings [64, 64, 4] of one emoji by maker, without those that nearly repeat an earlier maker's."""
    makers = [maker for maker in arts if (one.code, maker) in found]
    drawings: dict[str, np.ndarray] = {}
    if len(makers) < MIN_DRAWINGS:
        return drawings
    for maker in makers:
        name = found[one.code, maker]
        kept = cache / "drawings" / f"{maker}-{arts[maker].maker.version}" / f"{name}.png"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rasterise(arts[maker].svg(name))).save(kept)
        pixels = np.asarray(Image.open(kept))
        if all(difference(pixels, other) >= SAME for other in drawings.values()):
            drawings[maker] = pixels
    return drawings


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two drawings on gray, at 32 x 32 pixels."""
    small = []
    for pixels in (one, other):
        ground = Image.new("RGBA", (SIZE, SIZE), (128, 128, 128, 255))
        laid = Image.alpha_composite(ground, Image.fromarray(pixels)).convert("RGB")
        small.append(np.asarray(laid.resize((32, 32), Image.Resampling.BOX), np.float64))
    return float(np.abs(small[0] - small[1]).mean())


def describe(
    chosen: Sequence[tuple[Emoji, Mapping[str, np.ndarray]]], found: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """The archive's index: makers, backgrounds, superclasses and, per class, its words, split and drawings."""
    random = np.random.default_rng(SEED)
    unseen = unseen_classes([one for one, _ in chosen], random)
    superclasses = list(dict.fromkeys(CHOICES["superclasses"][one.subgroup] for one, _ in chosen))
    grammar = {name: kind for kind, names in CHOICES["grammar"].items() for name in names}
    one_way = {name for names in CHOICES["never_flipped"].values() for name in names}
    makers = [maker.key for maker in MAKERS]
    classes = []
    for one, drawings in chosen:
        name = CHOICES["spoken_names"].get(one.name, one.name).replace(APOSTROPHE, "'")
        held_out = int(random.integers(len(drawings)))
        classes.append(
            {
                "code": one.code,
                "name": name,
                "grammar": grammar.get(name, "count"),
                "superclass": superclasses.index(CHOICES["superclasses"][one.subgroup]),
                "keywords": keywords(one, name),
                "flips": one.name not in one_way,
                "unseen": one.name in unseen,
                "drawings": [
                    {
                        "maker": makers.index(maker),
                        "file": found[one.code, maker],
                        "colors": main_colors(pixels),
                        "grounds": contrasting_grounds(pixels),
                        "held_out": place == held_out and one.name not in unseen,
                    }
                    for place, (maker, pixels) in enumerate(drawings.items())
                ],
            }
        )
    keys = ("key", "creator", "link", "licence", "style", "package", "version")
    return {
        "format": 1,
        "size": SIZE,
        "makers": [{key: getattr(maker, key) for key in keys} for maker in MAKERS],
        "grounds": list(BACKGROUNDS),
        "superclasses": superclasses,
        "classes": classes,
    }


def keywords(one: Emoji, name: str) -> list[str]:
    """The emoji's keywords that say something its name and the other keywords do not."""
    dropped = {word for words in CHOICES["dropped_keywords"].values() for word in words}
    said = set(name.split())
    kept = []
    for word in one.keywords:
        word = word.lower().replace(APOSTROPHE, "'").strip()
        if word in dropped or set(word.split()) & said:
            continue
        said |= set(word.split())
        kept.append(word)
    return kept


def main_colors(pixels: np.ndarray) -> list[str]:
    """At most two colours, the larger first, that each cover more than `MAIN_COLOR` of the drawing."""
    opaque = pixels[pixels[..., 3] >= 128][:, :3]
    share = np.bincount(nearest(opaque, list(COLORS.values())), minlength=len(COLORS)) / len(opaque)
    order = np.argsort(-share, kind="stable")[:2]
    return [list(COLORS)[place] for place in order if share[place] > MAIN_COLOR]


def contrasting_grounds(pixels: np.ndarray) -> list[int]:
    """Indices of the backgrounds from which most of the drawing's rim stands out; at least `MIN_GROUNDS`."""
    solid = Image.fromarray((pixels[..., 3] >= 128).astype(np.uint8) * 255)
    inner = np.asarray(solid.filter(ImageFilter.MinFilter(5))) > 0
    rim = pixels[(np.asarray(solid) > 0) & ~inner][:, :3]
    gaps = np.linalg.norm(lab(rim)[:, None] - lab(np.array(list(BACKGROUNDS.values()), np.float64))[None], axis=-1)
    lost = (gaps < CONTRAST).mean(0)
    best = np.argsort(lost, kind="stable")
    return sorted(int(place) for rank, place in enumerate(best) if lost[place] <= MAX_LOST or rank < MIN_GROUNDS)


def unseen_classes(emoji: Sequence[Emoji], random: np.random.Generator) -> set[str]:
    """Names of the classes kept from training: `UNSEEN` of every superclass, synonyms always on one side."""
    group = {name: place for place, names in enumerate(CHOICES["synonyms"]) for name in names}
    whole: dict[Any, list[Emoji]] = {}
    for one in emoji:
        whole.setdefault(group.get(one.name, one.name), []).append(one)
    by_subgroup: dict[str, list[list[Emoji]]] = {}
    for members in whole.values():
        by_subgroup.setdefault(members[0].subgroup, []).append(members)
    kept: set[str] = set()
    for groups in by_subgroup.values():
        wanted = round(UNSEEN * sum(len(members) for members in groups))
        for place in random.permutation(len(groups)):
            if len(groups[place]) <= wanted:
                wanted -= len(groups[place])
                kept |= {one.name for one in groups[place]}
    return kept


def write(
    path: Path, index: Mapping[str, Any], chosen: Sequence[tuple[Emoji, Mapping[str, np.ndarray]]], notice: str
) -> None:
    """The archive; WebP is stored as it is, text is deflated."""
    unfinished = path.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w") as archive:

        def add(name: str, data: bytes, how: int) -> None:
            entry = zipfile.ZipInfo(name)  # dated 1980, so that builds are equal
            entry.compress_type = how
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)

        add("index.json", json.dumps(index, separators=(",", ":")).encode(), zipfile.ZIP_DEFLATED)
        add("ATTRIBUTION.md", notice.encode(), zipfile.ZIP_DEFLATED)
        for one, drawings in chosen:
            buffer = io.BytesIO()
            strip = np.concatenate(list(drawings.values()), axis=1)
            Image.fromarray(strip).save(buffer, "WEBP", lossless=True, quality=100, method=4, exact=False)
            add(f"{one.code}.webp", buffer.getvalue(), zipfile.ZIP_STORED)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
