"""Which rows the tables have, made from the recipes that exist.

Liu et al. 2024 compare each GAN with and without the method on each data set, the method with other ways to use the
label, and the parts of the method with each other. The paper's tables are not at hand: the rows are ours.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sclgan.recipe import Recipe
from sclgan.recipe_fields import override, value_at
from sclgan.recipes import RECIPES
from sclgan.recipes.ablations import ABLATIONS
from sclgan.recipes.variants import VARIANTS

KNOWN = RECIPES | ABLATIONS
"""The recipes that a table can name; those of ablations are named PLAIN_scl-DIFFERENCE."""


def variant(name: str) -> str:
    """The ending of a recipe's name: "" of a plain row, else such as "scl" or "scl-temperature0.5"."""
    return "_".join(name.split("_")[2:])


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other: one GAN on one data set."""

    gan: str
    data: str
    names: tuple[str, ...]
    """Recipes, in order."""

    @property
    def title(self) -> str:
        """As the GAN's paper writes it."""
        return KNOWN[f"{self.gan}_{self.data}"]().about.partition(" on ")[0]


@dataclass(frozen=True)
class Table:
    """A name, a title, and recipes grouped by GAN and data set."""

    name: str
    title: str
    compared_with: Mapping[str, str]
    """Variants that the other rows of a group are tested against, and what they are called."""
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Kind:
    """What a table is before its groups are known. `variants` are endings of names, "" is the plain row."""

    title: str
    variants: tuple[str, ...]
    compared_with: Mapping[str, str]


KINDS = {
    "main": Kind("With and without the method", ("", "2x", "scl"), {"": "plain", "2x": "twice the batch"}),
    "labels": Kind(
        "Ways to use the label", ("", "cl", "ce", "unicl", "scl"), {"": "plain", "scl": "the method"}
    ),
    "ablation": Kind(
        "The parts of the method",
        ("", "scl", *(variant(name) for name in KNOWN if "-" in name)),
        {"": "plain", "scl": "the method"},
    ),
}  # fmt: skip


def table(name: str, *, data: Sequence[str] = (), gans: Sequence[str] = (), rows: Sequence[str] = ()) -> Table:
    """The table of that name, of all its data sets, GANs and rows or of those named.

    Rows are named by the endings of their recipes, such as "scl"; those that others are compared with are always there.

    Raises:
        ValueError: there is no such table, or none of its rows is on such data, of such a GAN or of such an ending.
    """
    if name not in KINDS:
        raise ValueError(f"no table '{name}': {_nearest(name, KINDS)}")
    kind = KINDS[name]
    found: dict[tuple[str, str], list[str]] = {}
    for recipe in KNOWN:
        gan, of_data, *_ = recipe.split("_")
        if variant(recipe) in kind.variants and (not rows or variant(recipe) in (*rows, *kind.compared_with)):
            found.setdefault((gan, of_data), []).append(recipe)
    # A plain row that nothing is compared with is no group; ablations are made of one GAN.
    groups = [
        Group(gan, of_data, tuple(sorted(names, key=lambda one: kind.variants.index(variant(one)))))
        for (gan, of_data), names in found.items()
        if len(names) > 1 and (name != "ablation" or any("-" in one for one in names))
    ]
    for what, named, there in (
        ("row", rows, [one for one in kind.variants if one]),
        ("data set", data, [group.data for group in groups]),
        ("GAN", gans, [group.gan for group in groups]),
    ):
        for one in named:
            if one not in there:
                raise ValueError(f"table {name} has no {what} '{one}': {_nearest(one, there)}")
    chosen = [one for one in groups if (not data or one.data in data) and (not gans or one.gan in gans)]
    if not chosen:
        raise ValueError(f"table {name} has no rows with --data {' '.join(data)} --gans {' '.join(gans)}")
    return Table(name, kind.title, kind.compared_with, tuple(chosen))


def _nearest(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"did you mean '{near[0]}'? It has {', '.join(dict.fromkeys(known))}" if near else "it has none"


def title(name: str) -> str:
    """What a row is called within its group."""
    return called(variant(name))


def called(ending: str) -> str:
    """What rows with this ending of their names are called."""
    of_plain, _, difference = ending.partition("-")
    words = VARIANTS[of_plain][0] if of_plain else "plain"
    return f"{words}: {difference}" if difference else words


def resolve(name: str, *, seed: int, assignments: Sequence[str] = (), budget: int | None = None) -> Recipe:
    """The recipe of a row and a seed, with the assignments that concern it, its GAN trained on `budget` images.

    An image counts once for each time that it is seen: views x batch x steps.

    Raises:
        ValueError: a value does not fit its field, or the budget is less than a step.
    """
    made = replace(override(KNOWN[name](), fitting(name, assignments)), seed=seed)
    if budget is None:
        return made
    a_step = made.training.num_views * made.training.batch_size
    if budget < a_step:
        raise ValueError(f"--budget {budget} is less than one step of {name}, which sees {a_step} images")
    return replace(made, training=replace(made.training, steps=-(-budget // a_step)))


def fitting(name: str, assignments: Sequence[str]) -> list[str]:
    """What assignments to the fields of all rows mean for the recipe of this name.

    FIELD=VALUE concerns every recipe, NAME:FIELD=VALUE those of that GAN or on these data. It is left out where the
    recipe has no such field, and where it would undo what makes the row: a field in which it differs from the row that
    it is made of stays as it is, but a batch stays twice the batch, and 0 steps of pre-training stay 0.
    """
    own, base = KNOWN[name](), KNOWN[_made_of(name)]()
    meant = []
    for of, one in map(_addressed, assignments):
        if of and of not in _gan_and_data(name):
            continue
        path, _, value = one.partition("=")
        try:
            mine = value_at(own, path)
        except KeyError:
            continue
        try:
            others = value_at(base, path)
        except KeyError:
            others = mine
        if path == "pretraining.steps":
            meant += [one] if mine else []
        elif mine == others:
            meant.append(one)
        elif path.endswith(".batch_size") and value.isdecimal():
            meant.append(f"{path}={int(value) * mine // others}")
    return meant


def _addressed(assignment: str) -> tuple[str, str]:
    """Whom an assignment concerns, "" for all, and the rest of it."""
    of, colon, rest = assignment.partition(":")
    return (of, rest) if colon and "=" not in of else ("", assignment)


def _gan_and_data(name: str) -> list[str]:
    return name.split("_")[:2]


def _made_of(name: str) -> str:
    """The row that a row is made of: of an ablation the method's, of any other the plain one."""
    method, _, difference = name.partition("-")
    return method if difference else "_".join(_gan_and_data(name))


def check(names: Sequence[str], assignments: Sequence[str]) -> None:
    """Refuses an assignment to a field that none of the recipes has.

    Raises:
        ValueError: it sets nothing in any of them, or names a GAN or data set that none of them is of.
    """
    for one in assignments:
        of, rest = _addressed(one)
        there = [name for name in names if not of or of in _gan_and_data(name)]
        if not there:
            known = dict.fromkeys(part for name in names for part in _gan_and_data(name))
            raise ValueError(f"'{one}' is of no row: no GAN or data set '{of}': {_nearest(of, known)}")
        if not any(fitting(name, [one]) for name in there):
            override(KNOWN[there[0]](), [rest])  # says what is wrong with it
