"""Turns a finished run into a model of the package: `sclgan sample NAME` then needs nothing else.

    python scripts/build_model.py RUN --name emoji          writes src/sclgan/models/emoji

The folder holds the run's recipe and tokenizer, the averaged generator and the encoders in half precision, and a model
card. Every number of the card is from the records of the run: evaluate it first, `sclgan evaluate RUN`.
"""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from sclgan import models
from sclgan.data.sets.emoji import Emoji
from sclgan.data.sets.scenes import Scenes
from sclgan.files import replaced
from sclgan.publishing.card import card
from sclgan.publishing.data_terms import terms_of
from sclgan.publishing.history import held_out_captions, records_of, share_of_noise
from sclgan.publishing.model import rounding, write_model
from sclgan.publishing.publish import CARD, facts_of
from sclgan.recipe import Recipe, class_of
from sclgan.runs import checkpoint
from sclgan.runs.evaluations import evaluation_records
from sclgan.runs.folder import resolved, saved_recipe
from sclgan.runs.opened import Run, open_run

LARGEST = 12_000_000
"""Largest size of a model in bytes: the package must stay small."""
LARGEST_ROUNDING = 8
"""Largest change of any pixel by half precision, in levels of 255."""
NUM_COMPARED = 32
EXAMPLE = "a red apple on a white background"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished and evaluated run folder")
    parser.add_argument("--name", required=True, help="what the model is called")
    parser.add_argument("--checkpoint", default="last", help="last, best or a step")
    parser.add_argument("--out", type=Path, default=models.home(), help="the folder that receives the model's folder")
    arguments = parser.parse_args()
    try:
        made = build(arguments.run, arguments.name, arguments.out, name_of_checkpoint=arguments.checkpoint)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{type(error).__name__}: {error}\n")
    print(f"{made}: {sum(file.stat().st_size for file in made.iterdir()):,} bytes")


def build(folder: Path, name: str, out: Path, *, name_of_checkpoint: str = "last") -> Path:
    """Writes the folder `out`/`name`, whole or not at all, and returns its path.

    The image heads of DAMSM are among the weights, 0.7 MB at the published width: with them the model can also be
    evaluated by R-precision, and finds pictures for captions.

    Raises:
        FileNotFoundError: `folder` is not a run, or has no such checkpoint.
        ValueError: the run is unfinished or was not evaluated, its data are not those that come with the package, or
            the model is too large or too coarse.
    """
    recipe = _checked(folder, name)
    run = open_run(folder, name_of_checkpoint)
    _check_evaluated(run)
    compared = held_out_captions(recipe, NUM_COMPARED)
    with replaced(out / name) as made:
        made.mkdir(parents=True)
        digests = write_model(run, made, name=name, half=True)
        rounded = rounding(run, made, compared)
        if rounded.largest > LARGEST_ROUNDING:
            raise ValueError(
                f"half precision changes pictures by up to {rounded.largest} of 255 levels, more than "
                f"{LARGEST_ROUNDING}: has the run diverged?"
            )
        share = share_of_noise(run, held_out_captions(recipe, NUM_COMPARED, seed=2))
        terms = terms_of(resolved(recipe))
        facts = facts_of(run, made, digests, terms, [EXAMPLE], name=name, where=name, rounded=rounded)
        (made / CARD).write_text(card(replace(facts, share_of_noise=share)))
        size = sum(file.stat().st_size for file in made.iterdir())
        if size > LARGEST:
            raise ValueError(
                f"the model has {size:,} bytes, more than {LARGEST:,}: train a narrower one, such as SSA-GAN with "
                "gan.nf=24, or with encoders.code_size=128 and gan.nf=32"
            )
    return out / name


def _checked(folder: Path, name: str) -> Recipe:
    """The recipe of a run that may become a model of that name."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise ValueError(f"a model is called by lower-case letters, digits, - and _, not '{name}'")
    if models.is_model(folder):
        raise ValueError(f"{folder} is a model already: give the run that it was built from")
    recipe = saved_recipe(folder)
    if not issubclass(class_of(recipe.source), Emoji | Scenes):
        raise ValueError(f"{recipe.name} was trained on other pictures than the embedded drawings: may its model ship?")
    done = max(checkpoint.steps(folder / "checkpoints"), default=0)
    if done < recipe.training.steps:
        raise ValueError(
            f"{folder} is not finished: it has {done} of {recipe.training.steps} steps; repeat `sclgan train`"
        )
    return recipe


def _check_evaluated(run: Run) -> None:
    if not records_of(run):
        others = ", ".join(sorted({str(record["step"]) for record in evaluation_records(run.folder)})) or "none"
        raise ValueError(
            f"{run.folder} has no evaluation of step {run.step} (of other steps: {others}): "
            f"`sclgan evaluate {run.folder}`"
        )


if __name__ == "__main__":
    main()
