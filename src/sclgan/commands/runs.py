"""Commands from a recipe to pictures: list and describe recipes, pre-train, train, sample, import."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from sclgan.commands.arguments import Checkpoint, RunFolder, Workers
from sclgan.commands.printing import print_on_rank_0, show

if TYPE_CHECKING:
    from sclgan.recipe import Recipe

RecipeName = Annotated[Positional[str], arg(metavar="RECIPE", help="Name of a recipe; `sclgan recipes` lists them.")]
Overrides = Annotated[
    Positional[tuple[str, ...]],
    arg(metavar="FIELD=VALUE", help="Fields to set in the recipe, by path, such as training.steps=100 gan.nf=16."),
]
OutFolder = Annotated[Path, arg(metavar="DIR", help="Run folder to write; an interrupted run in it is continued.")]
Pack = Annotated[
    Path | None,
    arg(metavar="DIR", help="Pack to train on instead of the recipe's data, from `sclgan data pack` or `index`."),
]
Stream = Annotated[
    str | None,
    arg(metavar="URLS", help='Shards to train on as a stream, such as "https://server/{000..999}.tar".'),
]
Track = Annotated[
    Literal["wandb", "trackio"] | None,
    arg(metavar="NAME", help="Experiment tracker (wandb or trackio) that the records go to as well."),
]
AcceptChangedData = Annotated[
    bool, arg(help="Continue a run although its captions, labels or pictures have changed since it began.")
]


def recipes() -> None:
    """List the recipes in a table of GANs and data sets.

    Example: sclgan recipes
    """
    from sclgan.recipes import table

    print(table())


def describe(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    cost: Annotated[
        bool, arg(help="Show instead what it costs: parameters, operations, memory, and hours on this machine.")
    ] = False,
) -> None:
    """Show every field of a recipe as JSON, and the files that it needs.

    The files are listed on stderr, so that programs can read the JSON from stdout.

    Example: sclgan describe ssagan_emoji_scl training.batch_size=64
    """
    from sclgan.recipe import needed_files
    from sclgan.recipe_fields import override
    from sclgan.recipe_json import to_json
    from sclgan.recipes import recipe as named

    made = override(named(recipe), overrides)
    if cost:
        from sclgan.commands.cost import show_cost

        show_cost(made)
        return
    print(to_json(made))
    for file in needed_files(made):
        print(f"needs {file}", file=sys.stderr)


def pretrain(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    out: OutFolder,
    data: Pack = None,
    stream: Stream = None,
    num_workers: Workers = None,
    accept_changed_data: AcceptChangedData = False,
    track: Track = None,
) -> None:
    """Pre-train the text and image encoders of a recipe (phase 1).

    Example: sclgan pretrain ssagan_emoji_scl --out runs/encoders
    """
    from sclgan.train.pretraining import pretrain as run

    made = chosen(recipe, overrides, data)
    _require(track)
    run(
        made,
        out,
        stream=stream,
        num_workers=num_workers,
        accept_changed_data=accept_changed_data,
        track=track,
    )
    print_on_rank_0(f"encoders in {out}")


def train(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    out: OutFolder,
    encoders: Annotated[
        Path | None, arg(metavar="DIR", help="Folder of `sclgan pretrain`. Without it, phase 1 runs first.")
    ] = None,
    data: Pack = None,
    stream: Stream = None,
    num_workers: Workers = None,
    accept_changed_data: AcceptChangedData = False,
    track: Track = None,
) -> None:
    """Train the GAN of a recipe (phase 2), after its encoders if none are given.

    Example: sclgan train ssagan_emoji_scl --out runs/scl
    """
    from sclgan.train.training import train as run

    _require(track)
    run(
        chosen(recipe, overrides, data),
        out,
        encoders=encoders,
        stream=stream,
        num_workers=num_workers,
        accept_changed_data=accept_changed_data,
        track=track,
    )
    print_on_rank_0(f"run in {out}")


def _require(track: Literal["wandb", "trackio"] | None) -> None:
    """Imports the tracker, before anything is trained."""
    if track is not None:
        from sclgan.runs.tracking import tracker_library

        tracker_library(track)


def chosen(name: str, overrides: Sequence[str], data: Path | None) -> "Recipe":
    """The recipe of that name with fields replaced, on the pack `data` if one is given."""
    from sclgan.data.packs.read import Packed
    from sclgan.recipe_fields import override
    from sclgan.recipes import recipe

    made = recipe(name)
    return override(made if data is None else replace(made, source=partial(Packed, root=str(data))), overrides)


def sample(
    run: RunFolder,
    captions: Annotated[Positional[tuple[str, ...]], arg(metavar="CAPTION", help="Captions to draw, each in quotes.")],
    *,
    out: Annotated[Path, arg(metavar="FILE", help="Picture to write (.png or .jpg), with one row per caption.")],
    num_images: Annotated[int, arg(metavar="N", help="Number of pictures per caption.")] = 8,
    seed: Annotated[int, arg(help="Random seed for the noise.")] = 0,
    checkpoint: Checkpoint = "last",
    attention: Annotated[
        bool, arg(help="Also write FILE_attention.png: where the first picture of each caption attends to each word.")
    ] = False,
) -> None:
    """Draw captions with a trained run or with a model in the package.

    Example: sclgan sample runs/scl "a red apple on a white background" --out apple.png --seed 3
    """
    from sclgan import models

    if not captions:
        raise ValueError('no caption was given: write at least one, in quotes, such as "a red apple"')
    folder = models.find_run(run)  # before torch is imported: a wrong name is an error at once

    from sclgan.data.picture_writing import picture_format, write_picture
    from sclgan.runs.opened import open_run
    from sclgan.runs.pictures import attention_picture, grid

    beside = out.with_name(f"{out.stem}_attention{out.suffix}")
    for path in (out, beside) if attention else (out,):
        picture_format(path)  # before anything is drawn
    opened = open_run(folder, checkpoint, images=False)
    for caption in captions:
        for line in opened.tokenizer.read(caption).left_out(caption):
            print(line, file=sys.stderr)
    pictures = opened.sample(captions, num_images=num_images, seed=seed)
    write_picture(grid(pictures.numpy(), num_images), out)
    show(out)
    if attention:
        attention_picture(opened, captions, beside, num_images=num_images, seed=seed)
        show(beside)


def import_(
    files: Annotated[
        Positional[tuple[Path, ...]],
        arg(
            metavar="FILE",
            help="Files of the encoders (or CLIP) and the generator, optionally of all discriminators, in any order.",
        ),
    ],
    *,
    kind: Annotated[
        Literal["attngan", "dmgan", "ssagan", "galip", "damsm"],
        arg(help="GAN that the files belong to; damsm is the encoders alone."),
    ],
    captions: Annotated[
        Path | None, arg(metavar="FILE", help="The authors' captions.pickle, for the vocabulary; not for galip.")
    ] = None,
    out: Annotated[Path, arg(metavar="DIR", help="Run folder to write.")],
    recipe: Annotated[
        str | None,
        arg(metavar="RECIPE", help="Recipe that names the data. Without it, the vocabulary tells CUB from COCO."),
    ] = None,
) -> None:
    """Import weights published by the authors of a GAN as a run folder.

    GALIP comes as two files: sclgan import state_epoch_1000.pth ViT-B-32.pt --kind galip --out runs/galip

    Example: sclgan import netG.pth text_encoder200.pth image_encoder200.pth --kind attngan
    --captions captions.pickle --out runs/published
    """
    from sclgan.importing.official import import_files

    made = import_files(kind, files, captions=captions, out=out, recipe=recipe)
    if kind == "damsm":
        base = made.name.removesuffix("_official")
        show(f"encoders in {out}; to train on them:")
        show(
            f"sclgan train {base} encoders.save_backbone=true encoders.backbone.weights=none --encoders {out} --out DIR"
        )
    else:
        show(f'run in {out}: sclgan sample {out} "CAPTION" --out FILE')
