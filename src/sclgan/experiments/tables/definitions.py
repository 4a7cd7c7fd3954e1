"""The rows of the tables, made from the recipes that exist.

Liu et al. 2024 compare each GAN with and without the method on each data set, the method with other ways to use the
label, and the parts of the method with each other. The paper's tables were not available: the rows are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sclgan.names import nearest
from sclgan.recipe import Recipe, Row
from sclgan.recipe_fields import check_ranges, override, value_at
from sclgan.recipes import RECIPES, TITLES
from sclgan.recipes.ablations import ABLATIONS
from sclgan.recipes.variants import VARIANTS

KNOWN = RECIPES | ABLATIONS
"""The recipes that a table can name."""

ROW_OF: Mapping[str, Row] = {name: make().row for name, make in KNOWN.items()}
"""Their rows, by name."""


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
        return TITLES[self.gan]


@dataclass(frozen=True)
class Table:
    """A name, a title, and recipes grouped by GAN and data set."""

    name: str
    title: str
    compared_with: Mapping[str, str]
    """Endings of the rows that the other rows of a group are tested against, and their titles."""
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Kind:
    """A table before its groups are known. `endings` are those of its rows, "" for the plain row."""

    title: str
    endings: tuple[str, ...]
    compared_with: Mapping[str, str]


KINDS = {
    "main": Kind("With and without the method", ("", "2x", "scl"), {"": "plain", "2x": "twice the batch"}),
    "labels": Kind(
        "Ways to use the label", ("", "cl", "ce", "unicl", "scl"), {"": "plain", "scl": "the method"}
    ),
    "ablation": Kind(
        "The parts of the method",
        ("", "scl", *dict.fromkeys(row.ending for row in ROW_OF.values() if row.difference)),
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
        raise ValueError(f"no table '{name}': {_suggested(name, KINDS)}")
    kind = KINDS[name]
    found: dict[tuple[str, str], list[str]] = {}
    for recipe, row in ROW_OF.items():
        if row.ending in kind.endings and (not rows or row.ending in (*rows, *kind.compared_with)):
            found.setdefault((row.gan, row.data), []).append(recipe)
    # A plain row that nothing is compared with is no group; ablations are made of one GAN.
    groups = [
        Group(gan, of_data, tuple(sorted(names, key=lambda one: kind.endings.index(ROW_OF[one].ending))))
        for (gan, of_data), names in found.items()
        if len(names) > 1 and (name != "ablation" or any(ROW_OF[one].difference for one in names))
    ]
    for what, named, there in (
        ("row", rows, [one for one in kind.endings if one]),
        ("data set", data, [group.data for group in groups]),
        ("GAN", gans, [group.gan for group in groups]),
    ):
        for one in named:
            if one not in there:
                raise ValueError(f"table {name} has no {what} '{one}': {_suggested(one, there)}")
    chosen = [one for one in groups if (not data or one.data in data) and (not gans or one.gan in gans)]
    if not chosen:
        raise ValueError(f"table {name} has no rows with --data {' '.join(data)} --gans {' '.join(gans)}")
    return Table(name, kind.title, kind.compared_with, tuple(chosen))


def _suggested(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    if not known:
        return "it has none"
    return f"did you mean '{nearest(name, known)}'? It has {', '.join(dict.fromkeys(known))}"


def title(name: str) -> str:
    """The title of a recipe's row within its group."""
    return _title(ROW_OF[name])


def ending_title(ending: str) -> str:
    """The title of all rows with this ending."""
    return _title(next(row for row in ROW_OF.values() if row.ending == ending))


def _title(row: Row) -> str:
    words = VARIANTS[row.variant][0] if row.variant else "plain"
    return f"{words}: {row.difference}" if row.difference else words


def resolve(name: str, *, seed: int, assignments: Sequence[str] = (), budget: int | None = None) -> Recipe:
    """The recipe of a row and a seed, with the assignments that concern it, its GAN trained on `budget` images.

    An image counts each time that it is seen: views x batch x steps.

    Raises:
        ValueError: a value does not fit its field or is outside its range, or the budget is less than a step.
    """
    made = replace(override(KNOWN[name](), assignments_for(name, assignments)), seed=seed)
    check_ranges(made)
    if budget is None:
        return made
    a_step = made.training.num_views * made.training.batch_size
    if budget < a_step:
        raise ValueError(f"--budget {budget} is less than one step of {name}, which sees {a_step} images")
    return replace(made, training=replace(made.training, steps=-(-budget // a_step)))


def assignments_for(name: str, assignments: Sequence[str]) -> list[str]:
    """The assignments that concern the recipe of this name, with the values that they mean for it.

    FIELD=VALUE concerns every recipe, NAME:FIELD=VALUE those of that GAN or on these data. It is left out where the
    recipe has no such field, and where it would undo what makes the row: a field in which it differs from the row that
    it is made from stays as it is, but a batch stays twice the batch, and 0 steps of pre-training stay 0.
    """
    own, base = KNOWN[name](), KNOWN[_made_of(name)]()
    meant = []
    for of, one in map(_addressed, assignments):
        if of and not _is_of(name, of):
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
    """The GAN or data set that an assignment concerns, "" for all, and the rest of it."""
    of, colon, rest = assignment.partition(":")
    return (of, rest) if colon and "=" not in of else ("", assignment)


def _is_of(name: str, gan_or_data: str) -> bool:
    return gan_or_data in (ROW_OF[name].gan, ROW_OF[name].data)


def _made_of(name: str) -> str:
    """The row that a row is made from: the method's for an ablation, the plain one for any other."""
    row = ROW_OF[name]
    base = replace(row, difference="") if row.difference else replace(row, variant="")
    return base.name


def check(names: Sequence[str], assignments: Sequence[str]) -> None:
    """Refuses an assignment to a field that none of the recipes has.

    Raises:
        ValueError: it sets nothing in any of them, or names a GAN or data set that none of them is of.
    """
    for one in assignments:
        of, rest = _addressed(one)
        there = [name for name in names if not of or _is_of(name, of)]
        if not there:
            known = dict.fromkeys(part for name in names for part in (ROW_OF[name].gan, ROW_OF[name].data))
            raise ValueError(f"'{one}' is of no row: no GAN or data set '{of}': {_suggested(of, known)}")
        if not any(assignments_for(name, [one]) for name in there):
            override(KNOWN[there[0]](), [rest])  # says what is wrong with it
