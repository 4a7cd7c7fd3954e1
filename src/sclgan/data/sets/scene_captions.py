"""Five sentences about a composed scene, each true of it: what there is, how many, where, and which is where of which.

No caption was written by a person. What they say follows from the composition alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sclgan.data.sets.scene_places import CATEGORIES, SUPERCATEGORIES, Place

NUMBERS = ("", "", "two", "three", "four")
SIDES = ("on the left", "in the middle", "on the right")


@dataclass(frozen=True)
class Thing:
    """One object of a scene: its category, and the box of what is drawn of it, in sides of the picture."""

    category: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Kind:
    """All things of one category in a scene: the box around them, and how far right the middle of each is."""

    category: int
    box: tuple[float, float, float, float]
    middles: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.middles)

    @property
    def phrase(self) -> str:
        """ "a dog", "two dogs"."""
        category = CATEGORIES[self.category]
        return counted(self.count, f"{article(category.name)} {category.name}", category.plural)


def counted(count: int, singular: str, plural: str) -> str:
    """One of something with its article, or a number of them."""
    return singular if count == 1 else f"{NUMBERS[count]} {plural}"


def article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def enumerated(phrases: Sequence[str]) -> str:
    """ "a dog", "a dog and a tent", "a dog, a tent and two stars"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def kinds_of(things: Sequence[Thing]) -> list[Kind]:
    """The things by category, in the order of their first appearance."""
    groups: dict[int, list[Thing]] = {}
    for thing in things:
        groups.setdefault(thing.category, []).append(thing)
    return [
        Kind(
            category,
            (
                min(one.left for one in group),
                min(one.top for one in group),
                max(one.right for one in group),
                max(one.bottom for one in group),
            ),
            tuple((one.left + one.right) / 2 for one in group),
        )
        for category, group in groups.items()
    ]


def relation(one: Kind, other: Kind) -> str | None:
    """Direction from all things of one kind to all of another, that of the widest gap; None where the boxes overlap."""
    (left, top, right, bottom), (other_left, other_top, other_right, other_bottom) = one.box, other.box
    gaps = {
        "to the left of": other_left - right,
        "to the right of": left - other_right,
        "above": other_top - bottom,
        "below": top - other_bottom,
    }
    widest = max(gaps, key=lambda said: gaps[said])
    return widest if gaps[widest] >= 0 else None


def side(kind: Kind) -> str:
    """The third of the picture that holds a kind, after a space; empty where its things are in several."""
    thirds = {int(3 * middle) for middle in kind.middles}
    return f" {SIDES[thirds.pop()]}" if len(thirds) == 1 else ""


def captions_of(things: Sequence[Thing], place: Place, draws: Iterator[float]) -> tuple[str, ...]:
    """Five captions; what they choose from is drawn from numbers in [0, 1)."""
    kinds = kinds_of(things)
    way = int(next(draws) * 2)
    (where, _), (other_where, other_what) = place.said[way], place.said[1 - way]
    everything = enumerated([kind.phrase for kind in kinds])
    groups: dict[str, int] = {}
    for kind in kinds:
        supercategory = CATEGORIES[kind.category].supercategory
        groups[supercategory] = groups.get(supercategory, 0) + kind.count
    summary = enumerated([counted(count, *SUPERCATEGORIES[name]) for name, count in groups.items()])
    start = int(next(draws) * len(kinds))
    first, *rest = kinds[start:] + kinds[:start]
    relations = [(other, said) for other in rest if (said := relation(first, other)) is not None]
    if relations:
        other, said = relations[int(next(draws) * len(relations))]
        back = relation(other, first)
        sentences = [
            f"{first.phrase} {said} {other.phrase} {other_where}",
            f"{is_or_are(other)} {other.phrase} {back} {first.phrase}",
        ]
    else:
        sentences = [f"{first.phrase}{side(first)} {other_where}", f"{is_or_are(first)} {first.phrase}{side(first)}"]
    return (
        f"{everything} {where}",
        *sentences,
        f"{other_what} with {everything}",
        f"{summary} {where}",
    )


def is_or_are(kind: Kind) -> str:
    return "there is" if kind.count == 1 else "there are"
