"""The emoji of eight makers: their packages, which drawings belong to which emoji, and how one is rasterised.

Read by `build_emoji.py`; the choices made by hand are in `emoji_choices.json`, each with its reason.
"""

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

SIZE = 64
FILL = 60  # the longer side of a drawing within SIZE: 94 %
GROUPS = {3, 4, 5, 6, 7}  # animals & nature, food & drink, travel & places, activities, objects
VARIATION_SELECTOR = "-FE0F"
CHOICES: dict[str, Any] = json.loads(Path(__file__).with_name("emoji_choices.json").read_text())


@dataclass(frozen=True)
class Maker:
    """One set of drawings. `by` says how its drawings are found: by code point, or by the name of the file."""

    key: str
    package: str
    version: str
    creator: str
    link: str
    licence: str
    style: str
    by: str


# In this order of precedence: of two nearly equal drawings the later maker's is dropped.
MAKERS = (
    Maker("noto", "@iconify-json/noto", "1.2.9", "Google (Noto Emoji)",
          "https://github.com/googlefonts/noto-emoji", "Apache-2.0", "shaded", "code point"),
    Maker("fluent-emoji-flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "Microsoft (Fluent Emoji, flat)",
          "https://github.com/microsoft/fluentui-emoji", "MIT", "simple", "code point"),
    Maker("twemoji", "@iconify-json/twemoji", "1.2.5", "Twitter, Inc. and other contributors (Twemoji)",
          "https://github.com/jdecked/twemoji", "CC-BY-4.0", "flat", "code point"),
    Maker("fluent-emoji", "@iconify-json/fluent-emoji", "1.2.7", "Microsoft (Fluent Emoji, shaded)",
          "https://github.com/microsoft/fluentui-emoji", "MIT", "glossy", "fluent name"),
    Maker("emojione", "@iconify-json/emojione", "1.2.3", "EmojiOne 2 / EmojiTwo",
          "https://github.com/EmojiTwo/emojitwo", "CC-BY-4.0", "clean", "name"),
    Maker("noto-v1", "@iconify-json/noto-v1", "1.2.5", "Google (Noto Emoji, before 2017)",
          "https://github.com/googlefonts/noto-emoji", "Apache-2.0", "soft", "name"),
    Maker("fxemoji", "@iconify-json/fxemoji", "1.2.2", "Mozilla (FxEmojis)",
          "https://github.com/mozilla/fxemoji", "CC-BY-4.0", "bold", "name"),
    Maker("streamline-emojis", "@iconify-json/streamline-emojis", "1.2.4", "Streamline (Streamline Emojis)",
          "https://github.com/webalys-hq/streamline-vectors", "CC-BY-4.0", "outlined", "name"),
)  # fmt: skip
NAMES = ("emojibase-data", "17.0.0")


@dataclass(frozen=True)
class Emoji:
    """One emoji as CLDR and Unicode describe it."""

    code: str
    name: str
    keywords: tuple[str, ...]
    subgroup: str
    order: int


def fetch(package: str, version: str, cache: Path) -> Path:
    """The unpacked npm package, fetched with `npm pack` unless the cache has it."""
    name = f"{package.lstrip('@').replace('/', '-')}-{version}"
    folder = cache / name
    if not folder.exists():
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=cache, check=True, capture_output=True)
        with tarfile.open(cache / f"{name}.tgz") as archive:
            archive.extractall(folder, filter="data")
    return folder / "package"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_emoji(names: Path) -> list[Emoji]:
    """The emoji of `GROUPS`, in Unicode's order, without the subgroups and classes that the choices drop."""
    meta = read_json(names / "meta" / "groups.json")
    check_choices(read_json(names / "en" / "data.json"))
    found = []
    for row in read_json(names / "en" / "data.json"):
        if row.get("group") not in GROUPS or row["label"].lower() in CHOICES["dropped_classes"]:
            continue
        subgroup = meta["subgroups"][str(row["subgroup"])]
        if subgroup in CHOICES["dropped_subgroups"]:
            continue
        code = row["hexcode"].upper().replace(VARIATION_SELECTOR, "")
        found.append(Emoji(code, row["label"].lower(), tuple(row.get("tags", ())), subgroup, row["order"]))
    return sorted(found, key=lambda emoji: emoji.order)


def check_choices(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuses choices about an emoji that does not exist, which would otherwise do nothing."""
    known = {row["label"].lower() for row in rows}
    said = {*CHOICES["dropped_classes"], *CHOICES["spoken_names"]}
    said |= {name for names in CHOICES["synonyms"] for name in names}
    said |= {name for names in CHOICES["never_flipped"].values() for name in names}
    said |= {name for names in CHOICES["renamed_drawings"].values() for name in names}
    grouped = [name for names in CHOICES["synonyms"] for name in names]
    if len(grouped) != len(set(grouped)):
        twice = sorted({name for name in grouped if grouped.count(name) > 1})
        raise ValueError(f"emoji_choices.json names in two groups of synonyms: {', '.join(twice)}; join the groups")
    if said - known:
        raise ValueError(f"emoji_choices.json names emoji that CLDR does not have: {', '.join(sorted(said - known))}")


def squeezed(name: str) -> str:
    """A name by which sets are compared: letters and digits alone ("closed-umbrella" and "closedumbrella")."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def other_names(names: Path, codes: set[str]) -> dict[str, list[str]]:
    """Further names of each code point: Unicode's own and the shortcodes of chats."""
    found: dict[str, list[str]] = {code: [] for code in codes}
    tables = [names / "meta" / "unicode-names.json"]
    tables += [names / "en" / "shortcodes" / f"{table}.json" for table in ("cldr", "emojibase", "github", "iamcal")]
    for table in tables:
        for code, value in read_json(table).items():
            code = code.upper().replace(VARIATION_SELECTOR, "")
            if code in found:
                found[code] += [value] if isinstance(value, str) else value
    return found


class Art:
    """The drawings of one maker: SVG by name."""

    def __init__(self, maker: Maker, folder: Path) -> None:
        self.maker = maker
        self.table = read_json(folder / "icons.json")
        # Of numbered versions ("cloud-1", "cloud-2") the first stands for all.
        self.by_name: dict[str, str] = {}
        for name in sorted([*self.table["icons"], *self.table.get("aliases", {})]):
            plain = re.sub(r"-\d$", "", name) if maker.key == "streamline-emojis" else name
            self.by_name.setdefault(squeezed(plain), name)
        codes = read_json(folder / "chars.json")
        self.by_code = {code.upper().replace(VARIATION_SELECTOR, ""): name for code, name in sorted(codes.items())}

    def svg(self, name: str) -> str:
        flip = False
        while name not in self.table["icons"]:
            alias = self.table["aliases"][name]
            flip ^= alias.get("hFlip", False)
            name = alias["parent"]
        icon = self.table["icons"][name]
        left, top = icon.get("left", 0), icon.get("top", 0)
        width = icon.get("width", self.table.get("width", 16))
        height = icon.get("height", self.table.get("height", 16))
        body = icon["body"]
        if flip:
            body = f'<g transform="translate({width + 2 * left} 0) scale(-1 1)">{body}</g>'
        space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {space} viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{body}</svg>'


def match(emoji: Sequence[Emoji], arts: Mapping[str, Art], names: Path) -> dict[tuple[str, str], str]:
    """The name of the drawing of each (code point, maker); no drawing stands for two emoji."""
    others = other_names(names, {one.code for one in emoji})
    by_code = [art for art in arts.values() if art.maker.by == "code point"]
    found: dict[tuple[str, str], str] = {}
    for key, art in arts.items():
        if art.maker.by != "name":
            table = arts["fluent-emoji-flat"].by_code if art.maker.by == "fluent name" else art.by_code
            known = {**art.table["icons"], **art.table.get("aliases", {})}
            found |= {(one.code, key): table[one.code] for one in emoji if table.get(one.code) in known}
            continue
        renamed = CHOICES["renamed_drawings"].get(key, {})
        taken = set(renamed.values())
        found |= {(one.code, key): renamed[one.name] for one in emoji if one.name in renamed}
        # Every emoji's own name first, then its other names, so that a nickname takes no other emoji's drawing.
        for own in (True, False):
            for one in emoji:
                if (one.code, key) in found:
                    continue
                aliases = [table.by_code[one.code] for table in by_code if one.code in table.by_code]
                for name in [one.name] if own else [*aliases, *others[one.code]]:
                    hit = art.by_name.get(squeezed(name))
                    if hit is not None and hit not in taken:
                        found[one.code, key] = hit
                        taken.add(hit)
                        break
    dropped = CHOICES["dropped_drawings"]
    return {place: name for place, name in found.items() if f"{place[1]}:{name}" not in dropped}


def rasterise(svg: str) -> np.ndarray:
    """A drawing as [64, 64, 4] uint8: cropped, 60 pixels on the longer side, centred, with fewer colours."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256, skip_system_fonts=True)
    large = Image.open(io.BytesIO(png)).convert("RGBA")
    box = large.getchannel("A").point(lambda alpha: 255 * (alpha >= 16)).getbbox()
    if box is None:
        return np.zeros((SIZE, SIZE, 4), np.uint8)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = FILL / max(width, height)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGBA", (SIZE, SIZE))
    # Pillow weighs RGBA by alpha when it resizes, so no dark seam comes from the transparent pixels.
    corner = ((SIZE - small[0]) // 2, (SIZE - small[1]) // 2)
    canvas.paste(large.resize(small, Image.Resampling.LANCZOS, box=box), corner)
    return fewer_levels(np.asarray(canvas))


def fewer_levels(pixels: np.ndarray) -> np.ndarray:
    """6 bits per colour and 4 bits of alpha, spread over 0..255; transparent pixels are 0."""
    rgb = np.round(pixels[..., :3] / 255 * 63) / 63 * 255
    alpha = np.round(pixels[..., 3:] / 255 * 15) / 15 * 255
    return np.where(alpha > 0, np.concatenate([rgb, alpha], axis=-1).round(), 0).astype(np.uint8)
