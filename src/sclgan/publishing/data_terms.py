"""What is known about the data of a run, for a model's card: their name, terms and makers. Nothing is guessed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sclgan.data.packs.write import NOTES
from sclgan.data.sets.emoji import collection

DRAWINGS = {"emoji": "single emoji on plain backgrounds", "scenes": "several emoji on one background"}
"""The data sets of the package."""
UNKNOWN = "unknown"
"""The identifier that model hubs have for a licence that nobody stated."""


@dataclass(frozen=True)
class DataTerms:
    """The data. `name` is None where they have none that others know; `attribution` is Markdown, empty if unknown."""

    name: str | None
    about: str
    licence: str
    attribution: str
    in_package: bool = False


def terms_of(recipe: Mapping[str, Any], *, licence: str | None = None, attribution: str | None = None) -> DataTerms:
    """The terms of a resolved recipe's data; `licence`, of the model, and `attribution` are as a person states them."""
    place = recipe["source"]["call"].rpartition(".")[2].lower()
    if place in DRAWINGS:
        table = "\n".join(line for line in collection().attribution.splitlines() if line.startswith("|"))
        about = (
            f"`{place}`, a data set in the package: {DRAWINGS[place]}, drawn by several makers, with captions made "
            "from names, measured colours and the background. Training saw the split `train`; the scores are on the "
            "split `test`, held-out drawings of things that were trained on."
        )
        credit = (
            "The code and this model are under Apache-2.0. The drawings that it was trained on stay under the licences "
            "of their makers, none of whom endorses this work; `EMOJI_ATTRIBUTION.md` in the package has the texts of "
            "the licences and the changes made."
        )
        both = [f"{credit}\n\n{table}", *([] if attribution is None else [attribution])]
        return DataTerms(place, about, licence or "apache-2.0", "\n\n".join(both), in_package=True)
    stated = attribution or ""
    if place in NOTES:
        stated = "\n\n".join([f"Training data: {NOTES[place]}.", *([stated] if stated else [])])
        return DataTerms(place, f"`{place}`, read from the files of its makers.", licence or UNKNOWN, stated)
    kind = "shards" if place == "packed" else "a folder of pictures with captions"
    about = f"The data of whoever trained it: {kind}, which sclgan knows nothing else about."
    return DataTerms(None, about, licence or UNKNOWN, stated)
