"""A run as a folder for others: a model with its card and pictures, ready for the Hugging Face Hub."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sclgan import models
from sclgan.data.picture_writing import write_picture
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.files import replaced
from sclgan.models import hub
from sclgan.publishing.card import Facts, card
from sclgan.publishing.data_terms import DataTerms, terms_of
from sclgan.publishing.history import command, cost_of, held_out_captions, records_of, share_of_noise
from sclgan.publishing.model import Rounding, public_recipe, rounding, write_model
from sclgan.runs.folder import resolved
from sclgan.runs.machines import machines_of, versions
from sclgan.runs.opened import Run, open_run
from sclgan.runs.pictures import grid

CARD, PICTURES = "README.md", "samples.png"
NUM_CAPTIONS, NUM_IMAGES = 8, 6
"""Rows and columns of the pictures of a card."""


def publish(
    folder: Path,
    out: Path,
    *,
    checkpoint: str = "last",
    where: str | None = None,
    captions: Sequence[str] = (),
    licence: str | None = None,
    attribution: str | None = None,
) -> list[Path]:
    """Writes the run in `folder` as the model `out`, whole or not at all; returns its files.

    Its pictures are those of the run, bit for bit, which is verified. `where` is the name under which others open it.
    Without `captions` the card shows held-out ones of the data. `licence` is that of the model as model hubs write it,
    such as "cc-by-4.0", and `attribution` Markdown about the makers of the data.

    Raises:
        FileNotFoundError: `folder` is not a run, or has no such checkpoint.
        ValueError: `out` holds something else, the run is a model already, or the data are not here for captions.
    """
    check_place(out)
    check_licence(licence)
    name = out.resolve().name
    if models.is_model(folder):
        raise ValueError(f"{folder} is a model already: give the run that it was made from")
    run = open_run(folder, checkpoint, images=_holds_its_trunk(folder))
    shown = list(captions) or _held_out(run)
    run.tokenizer(shown)  # refuses those that it cannot read
    terms = terms_of(resolved(run.recipe), licence=licence, attribution=attribution)
    with replaced(out) as made:
        made.mkdir(parents=True)
        digests = write_model(run, made, name=name, half=False)
        changed = rounding(run, made, shown)
        if changed.largest:
            raise ValueError(f"pictures of the written model differ from the run's by {changed.largest} of 255 levels")
        write_picture(grid(run.sample(shown, num_images=NUM_IMAGES, seed=0).numpy(), NUM_IMAGES), made / PICTURES)
        facts = facts_of(run, made, digests, terms, shown, name=name, where=where or name)
        (made / CARD).write_text(card(facts), encoding="utf-8")
    return sorted(out.iterdir())


def facts_of(
    run: Run,
    made: Path,
    digests: Mapping[str, str],
    terms: DataTerms,
    captions: Sequence[str],
    *,
    name: str,
    where: str,
    rounded: Rounding | None = None,
    records: Sequence[Mapping[str, Any]] | None = None,
) -> Facts:
    """The facts of a card about the model that was written to `made`."""
    recipe = public_recipe(run.recipe)
    read_words = None if isinstance(run.tokenizer, CLIPTokenizer) else run.tokenizer.num_tokens - 1
    return Facts(
        name=name,
        where=where,
        recipe=resolved(recipe),
        step=run.step,
        command=command(recipe),
        pretraining=cost_of(run.folder / "pretraining", run.recipe.pretraining.steps),
        training=cost_of(run.folder, run.step),
        records=records_of(run) if records is None else records,
        data=terms,
        sizes={file: (made / file).stat().st_size for file in digests},
        sha256=digests,
        vocabulary=read_words,
        num_parameters=sum(parameter.numel() for parameter in run.gan.generator.parameters()),
        rounding=rounded,
        share_of_noise=share_of_noise(run, list(captions)) if len(captions) > 1 else None,
        captions=captions,
        pictures=PICTURES if (made / PICTURES).exists() else None,
        machines=machines_of(run.folder),
        versions=versions(),
    )


def check_place(out: Path) -> None:
    """Refuses a place that holds anything but a model of ours with nothing else in its folder.

    Raises:
        ValueError: it is a file, or a folder with other files.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: --out names a folder")
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not found:
        return
    others = sorted(found - {*hub.FILES, PICTURES})
    if models.ABOUT not in found or others:
        what = f"it holds {others[0]}" if others else f"it has no {models.ABOUT}"
        raise ValueError(f"{out} is not a model written by sclgan ({what}) and would be replaced: give another --out")
    models.about(out)


def check_licence(licence: str | None) -> None:
    """Refuses what is not the identifier of a licence.

    Raises:
        ValueError: it has other characters than letters, digits, dots and hyphens.
    """
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise ValueError(f"--license {licence!r} is not an identifier of model hubs, such as cc-by-4.0 or mit")


def _holds_its_trunk(folder: Path) -> bool:
    """Whether the run's encoders keep an image trunk that no public file has, as imported ones do."""
    from sclgan.runs.encoders import read_header
    from sclgan.runs.folder import ENCODERS

    return (folder / ENCODERS).exists() and read_header(folder).saves_trunk


def _held_out(run: Run) -> list[str]:
    try:
        found = held_out_captions(run.recipe, NUM_CAPTIONS)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the data of {run.folder} are not here to take captions from ({error}): give some for the pictures of the "
            "card, each with --caption"
        ) from error
    return found
