"""The splits of a recipe's data, each opened once per training."""

from sclgan.data.types import NamedClasses, Source
from sclgan.recipe import Recipe


class Splits:
    """The sources of a recipe by split, opened when they are first asked for and kept."""

    def __init__(self, recipe: Recipe) -> None:
        self._constructor = recipe.source
        self._opened: dict[str, Source] = {}

    def __getitem__(self, split: str) -> Source:
        if split not in self._opened:
            self._opened[split] = self._constructor(split)
        return self._opened[split]

    @property
    def unseen(self) -> Source | None:
        """The split of classes that are in no other; None where the data have none."""
        train = self["train"]
        return self[train.unseen_split] if isinstance(train, NamedClasses) else None

    def recorded(self) -> dict[str, Source]:
        """Those that training reads in every case: what `sclgan.runs.data_record` keeps an eye on."""
        return {split: self[split] for split in ("train", "test")}
