"""The parts of scenes: 80 categories of emoji in seven supercategories, and seven places that admit some of them.

Chosen by looking at the drawings of the emoji's training classes. Left out were

- classes that training never sees in `emoji`, so that they stay unseen for those who train on both;
- heads and busts of animals (fox, lion, wolf, bear, panda, frog, unicorn, chicken), which cannot stand anywhere; of the
  kept ones some makers draw the head only (camel, deer, leopard, rhinoceros, tiger);
- all but one of the things that a caption could confuse (ewe and ram, poodle and dog, whale and spouting whale, ship
  and passenger ship, tram and train, minibus and bus, star and glowing star);
- signs, symbols, flat documents, and things whose drawings differ too much to be one thing (snow-capped mountain);
- `LEFT_OUT`: single drawings that carry a ground of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """A ground and a sky, each a gradient from top to bottom; `said` are two ways to say it, (where, what) each."""

    name: str
    sky: tuple[Color, Color]
    ground: tuple[Color, Color]
    horizon: tuple[float, float]
    """Range of its height, in sides of the picture from the top."""
    said: tuple[tuple[str, str], tuple[str, str]]


PLACES = (
    Place(
        "meadow",
        ((120, 190, 245), (205, 232, 252)),
        ((112, 186, 84), (58, 140, 60)),
        (0.42, 0.56),
        (("in a green meadow", "a green meadow"), ("on green grass under a blue sky", "green grass under a blue sky")),
    ),
    Place(
        "beach",
        ((100, 190, 240), (190, 228, 250)),
        ((240, 216, 160), (218, 182, 112)),
        (0.42, 0.56),
        (("on a sandy beach", "a sandy beach"), ("on yellow sand under a blue sky", "yellow sand under a blue sky")),
    ),
    Place(
        "snow",
        ((168, 192, 220), (222, 232, 244)),
        ((250, 252, 255), (214, 224, 238)),
        (0.42, 0.56),
        (("in the snow", "a snowy field"), ("on white snow under a gray sky", "white snow under a gray sky")),
    ),
    Place(
        "night",
        ((14, 16, 44), (48, 52, 102)),
        ((30, 56, 44), (18, 34, 28)),
        (0.46, 0.6),
        (("at night under a dark sky", "a dark night"), ("on dark ground at night", "dark ground at night")),
    ),
    Place(
        "desert",
        ((248, 160, 86), (254, 220, 150)),
        ((222, 166, 100), (190, 130, 70)),
        (0.42, 0.56),
        (("in the desert at sunset", "a desert at sunset"), ("under an orange sky", "brown sand under an orange sky")),
    ),
    Place(
        "sea",
        ((150, 208, 246), (226, 242, 252)),
        ((52, 130, 206), (22, 74, 146)),
        (0.34, 0.46),
        (("at sea", "the blue sea"), ("at sea under a light sky", "deep blue water under a light sky")),
    ),
    Place(
        "room",
        ((240, 228, 204), (246, 236, 216)),
        ((150, 104, 70), (112, 72, 46)),
        (0.5, 0.64),
        (("in a room", "a room"), ("in a pale room with a brown floor", "a pale room")),
    ),
)

SUPERCATEGORIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "animal": ("an animal", "animals"),
        "sea animal": ("a sea animal", "sea animals"),
        "plant": ("a plant", "plants"),
        "food": ("a thing to eat", "things to eat"),
        "vehicle": ("a vehicle", "vehicles"),
        "object": ("an object", "objects"),
        "air": ("a thing in the air", "things in the air"),
    }
)
"""Supercategory -> how captions say one of it, and several. What is of "air" is above the horizon, all else below."""


@dataclass(frozen=True)
class Category:
    """A class of the embedded emoji as it occurs in scenes; `size` is its longer side in sides of the picture."""

    name: str
    plural: str
    supercategory: str
    size: float
    places: frozenset[str]


_TABLE = (
    ("animal", 0.38, "meadow desert", "elephant, rhinoceros"),
    ("animal", 0.36, "desert", "camel"),
    ("animal", 0.35, "meadow desert beach night", "horse"),
    ("animal", 0.34, "meadow snow night", "deer/deer, goat, tiger"),
    ("animal", 0.34, "meadow desert night", "leopard"),
    ("animal", 0.32, "meadow snow", "ram"),
    ("animal", 0.3, "meadow beach snow night room", "dog"),
    ("animal", 0.3, "meadow beach", "monkey, rooster"),
    ("animal", 0.25, "meadow snow night room", "rabbit"),
    ("animal", 0.22, "night room", "mouse/mice"),
    ("animal", 0.26, "meadow beach sea", "duck"),
    ("animal", 0.26, "meadow desert", "snake, lizard"),
    ("animal", 0.22, "meadow beach", "snail"),
    ("sea animal", 0.36, "sea", "whale, shark"),
    ("sea animal", 0.27, "sea", "tropical fish/tropical fish, blowfish/blowfish, octopus/octopuses"),
    ("sea animal", 0.26, "beach", "crab"),
    ("plant", 0.25, "meadow room", "rose"),
    ("plant", 0.23, "meadow beach", "hibiscus/hibiscuses"),
    ("plant", 0.23, "meadow", "blossom"),
    ("plant", 0.42, "meadow snow night", "evergreen tree"),
    ("plant", 0.42, "meadow night", "deciduous tree"),
    ("plant", 0.42, "beach desert", "palm tree"),
    ("food", 0.24, "meadow beach room", "watermelon, banana, red apple"),
    ("food", 0.22, "beach room", "lemon, peach/peaches"),
    ("food", 0.24, "meadow snow", "carrot"),
    ("food", 0.24, "meadow room", "ear of corn/ears of corn, birthday cake"),
    ("food", 0.24, "beach room night", "pizza, hot dog"),
    ("food", 0.24, "desert room", "taco"),
    ("food", 0.24, "beach room", "doughnut"),
    ("vehicle", 0.38, "meadow snow night", "locomotive"),
    ("vehicle", 0.36, "meadow night desert", "bus/buses"),
    ("vehicle", 0.36, "snow night", "ambulance"),
    ("vehicle", 0.36, "meadow night", "fire engine"),
    ("vehicle", 0.34, "meadow snow", "tractor"),
    ("vehicle", 0.32, "desert night", "motorcycle"),
    ("vehicle", 0.32, "beach night", "motor scooter"),
    ("vehicle", 0.32, "meadow beach", "bicycle"),
    ("vehicle", 0.3, "beach room", "kick scooter"),
    ("vehicle", 0.38, "sea", "sailboat, passenger ship"),
    ("vehicle", 0.34, "sea", "speedboat"),
    ("object", 0.32, "beach room", "umbrella"),
    ("object", 0.28, "snow room", "wrapped gift"),
    ("object", 0.22, "meadow beach room", "soccer ball"),
    ("object", 0.22, "beach room", "basketball"),
    ("object", 0.34, "beach night room", "guitar"),
    ("object", 0.32, "room", "violin, trumpet, saxophone, television"),
    ("object", 0.28, "meadow snow desert room", "backpack"),
    ("object", 0.25, "beach room", "handbag"),
    ("object", 0.24, "snow room", "top hat"),
    ("object", 0.38, "room", "bathtub, bed"),
    ("object", 0.32, "snow", "snowman/snowmen"),
    ("object", 0.36, "meadow snow night desert", "tent"),
    ("object", 0.42, "meadow night", "castle"),
    ("object", 0.42, "snow night", "church/churches"),
    ("air", 0.3, "meadow beach snow night desert sea", "airplane, helicopter"),
    ("air", 0.26, "meadow desert room", "balloon"),
    ("air", 0.3, "meadow beach snow sea", "cloud"),
    ("air", 0.2, "meadow beach", "butterfly/butterflies"),
    ("air", 0.24, "night", "full moon"),
    ("air", 0.18, "night", "star"),
    ("air", 0.24, "night", "bat"),
)


def _categories() -> tuple[Category, ...]:
    found = []
    for supercategory, size, places, names in _TABLE:
        for entry in names.split(", "):
            name, _, plural = entry.partition("/")
            found.append(Category(name, plural or f"{name}s", supercategory, size, frozenset(places.split())))
    order = list(SUPERCATEGORIES)
    return tuple(sorted(found, key=lambda one: (order.index(one.supercategory), one.name)))


CATEGORIES = _categories()
"""By supercategory, then by name: a category's place here is its label."""

ALONE = frozenset({"full moon"})
"""Categories of which a scene has at most one."""

LEFT_OUT = frozenset(
    {
        ("castle", "streamline-emojis"),
        ("sailboat", "fxemoji"),
        ("speedboat", "fxemoji"),
        ("tent", "emojione"),
        ("tent", "fxemoji"),
        ("tent", "streamline-emojis"),
    }
)
"""(category, maker) of drawings that are a framed or square picture with a ground of its own."""
