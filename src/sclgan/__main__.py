"""The command line: `sclgan COMMAND`, or `python -m sclgan COMMAND`; under torchrun with several processes."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro
from tyro.conf import Positional, UseAppendAction, arg

# Commands import what they need when they run: help must not wait for torch.

RecipeName = Annotated[Positional[str], arg(metavar="RECIPE", help="A name that `sclgan recipes` lists.")]
Overrides = Annotated[
    Positional[tuple[str, ...]],
    arg(metavar="FIELD=VALUE", help="Fields of the recipe by path, such as training.steps=100 gan.nf=16."),
]
OutFolder = Annotated[Path, arg(metavar="DIR", help="The run folder; an interrupted run in it is continued.")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN", help="A run folder of `sclgan train` or `import`.")]
Checkpoint = Annotated[str, arg(metavar="NAME", help="last, best (of the evaluations in training) or a step.")]
Workers = Annotated[int, arg(metavar="N", help="Processes that prepare batches beside the training.")]


def recipes() -> None:
    """List the recipes as a table: GANs in rows, data sets in columns.

    Example: sclgan recipes
    """
    from sclgan.recipes import table

    print(table())


def describe(recipe: RecipeName, overrides: Overrides = ()) -> None:
    """Show everything that a recipe decides, as JSON, with fields replaced as given.

    Example: sclgan describe ssagan_emoji_scl training.batch_size=64
    """
    from sclgan.recipe import override, to_json
    from sclgan.recipes import recipe as named

    print(to_json(override(named(recipe), overrides)))


def data(
    name: Annotated[Positional[str | None], arg(metavar="NAME", help="A data set; without it all are listed.")] = None,
    out: Annotated[Path | None, arg(metavar="FILE", help="Where to write a contact sheet (PNG).")] = None,
    split: Annotated[str, arg(help="The split that the sheet shows.")] = "train",
    rows: Annotated[int, arg(help="Rows of pictures.")] = 5,
    columns: Annotated[int, arg(help="Pictures in a row.")] = 8,
    size: Annotated[int, arg(help="Side of a picture in pixels.")] = 96,
    seed: Annotated[int, arg(help="Which pictures, grounds and captions.")] = 0,
) -> None:
    """List the data sets, or write a contact sheet of one: pictures, captions, labels.

    Example: sclgan data emoji --out emoji.png
    """
    from sclgan.data.contact_sheet import contact_sheet
    from sclgan.data.sources import SOURCES, sizes, source
    from sclgan.files import replaced

    if name is None:
        for known in SOURCES:
            print(f"{known:<12}{sizes(known)}")
        return
    rows_of = source(name, split)
    if out is None:
        print(f"{name}, {split}: {len(rows_of)} pictures, {len(rows_of.label_names)} labels; --out FILE shows them")
        return
    with replaced(out) as path:
        contact_sheet(rows_of, path, rows=rows, columns=columns, size=size, seed=seed)
    print(out)


def pretrain(recipe: RecipeName, overrides: Overrides = (), *, out: OutFolder, num_workers: Workers = 0) -> None:
    """Pre-train the text and image encoders of a recipe (phase 1).

    Example: sclgan pretrain ssagan_emoji_scl --out runs/encoders
    """
    from sclgan.recipe import override
    from sclgan.recipes import recipe as named
    from sclgan.train.session import pretrain as run

    run(override(named(recipe), overrides), out, num_workers=num_workers)
    print_on_rank_0(f"encoders in {out}")


def train(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    out: OutFolder,
    encoders: Annotated[
        Path | None, arg(metavar="DIR", help="A folder of `sclgan pretrain`; without it phase 1 runs first.")
    ] = None,
    num_workers: Workers = 0,
) -> None:
    """Train the GAN of a recipe (phase 2); pre-trains its encoders first where none are given.

    Example: sclgan train ssagan_emoji_scl --out runs/scl
    """
    from sclgan.recipe import override
    from sclgan.recipes import recipe as named
    from sclgan.train.session import train as run

    run(override(named(recipe), overrides), out, encoders=encoders, num_workers=num_workers)
    print_on_rank_0(f"run in {out}")


def sample(
    run: RunFolder,
    captions: Annotated[Positional[tuple[str, ...]], arg(metavar="CAPTION", help="What to draw, each in quotes.")],
    *,
    out: Annotated[Path, arg(metavar="FILE", help="The picture to write: a row for each caption (PNG).")],
    num_images: Annotated[int, arg(metavar="N", help="Pictures of each caption.")] = 8,
    seed: Annotated[int, arg(help="Of the noise.")] = 0,
    checkpoint: Checkpoint = "last",
    attention: Annotated[
        bool, arg(help="Also write FILE_attention.png: where the first picture of each caption reads its words.")
    ] = False,
) -> None:
    """Draw captions with a trained run.

    Example: sclgan sample runs/scl "a red apple on a white background" --out apple.png --seed 3
    """
    from torchvision.utils import save_image

    from sclgan.files import replaced
    from sclgan.run import open_run

    if not captions:
        raise ValueError('no caption was given: write at least one, in quotes, such as "a red apple"')
    opened = open_run(run, checkpoint)
    for caption in captions:
        if unknown := opened.vocabulary.unknown_words(caption):
            print(f"words the text encoder never saw, left out of {caption!r}: {', '.join(unknown)}", file=sys.stderr)
    pictures = opened.sample(captions, num_images=num_images, seed=seed)
    with replaced(out) as path:
        save_image(pictures.float() / 255, path, nrow=num_images, format="png")
    print(out)
    if attention:
        from sclgan.pictures import attention_picture

        beside = out.with_name(f"{out.stem}_attention.png")
        attention_picture(opened, captions, beside, num_images=num_images, seed=seed)
        print(beside)


def evaluate(
    path: Annotated[Positional[Path], arg(metavar="RUN", help="A run folder, or any folder of pictures.")],
    *,
    protocol: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="NAME",
            help="A named protocol; repeat for several. Without it, all that fit the data and whose weights are here.",
        ),
    ] = (),
    reals: Annotated[
        str | None,
        arg(
            metavar="REALS",
            help="Real pictures: a folder, an .npz of statistics (also of pytorch-fid or clean-fid) or a data set's "
            "name. Of a run they are the held-out ones of its data unless given.",
        ),
    ] = None,
    num_images: Annotated[int | None, arg(metavar="N", help="Instead of the protocol's, or all of a folder.")] = None,
    seed: Annotated[int, arg(help="Of captions, noise and choice.")] = 0,
    checkpoint: Checkpoint = "last",
    encoders: Annotated[
        Path | None, arg(metavar="DIR", help="Pre-trained encoders that give a folder with captions its R-precision.")
    ] = None,
    save_statistics: Annotated[
        Path | None, arg(metavar="FILE", help="Write mean and covariance of the graded pictures' features as .npz.")
    ] = None,
    curve: Annotated[
        Path | None,
        arg(metavar="FILE", help="Write Frechet distance against number of samples as PNG and JSON, and its limit."),
    ] = None,
    save_pictures: Annotated[
        Path | None, arg(metavar="DIR", help="Write the pictures of a run as PNG, with captions in metadata.jsonl.")
    ] = None,
    out: Annotated[
        Path | None, arg(metavar="FILE", help="Where records go instead of evaluations.jsonl in the folder.")
    ] = None,
    num_workers: Annotated[int | None, arg(metavar="N", help="Threads that decode files; a core each.")] = None,
) -> None:
    """Measure a run, or any folder of pictures, by named protocols against real pictures.

    Captions of a folder are the "text" of metadata.jsonl, or KEY.txt beside KEY.png; labels its folders' names.

    Example: sclgan evaluate runs/scl --protocol fd_lite0 --protocol kid_lite0
    """
    from sclgan.evaluation import evaluate_run
    from sclgan.folder_evaluation import evaluate_folder
    from sclgan.grading import line
    from sclgan.run import RECIPE

    if (path / RECIPE).exists():
        if encoders is not None or num_workers is not None:
            raise ValueError("--encoders and --num-workers are for folders of pictures: a run has its own encoders")
        results = evaluate_run(
            path,
            protocol,
            num_images=num_images,
            seed=seed,
            checkpoint=checkpoint,
            reals=reals,
            save_statistics=save_statistics,
            curve=curve,
            save_pictures=save_pictures,
            out=out,
        )
    elif checkpoint != "last" or save_pictures is not None:
        raise ValueError(f"--checkpoint and --save-pictures are for runs, and {path} has no {RECIPE}")
    else:
        results = evaluate_folder(
            path,
            protocol,
            reals=reals,
            encoders=encoders,
            num_images=num_images,
            seed=seed,
            save_statistics=save_statistics,
            curve=curve,
            out=out,
            num_workers=num_workers,
        )
    for result in results:
        print_on_rank_0(line(result))


def protocols() -> None:
    """List the evaluation protocols: what each fixes, where it is used, and whether its weights are here.

    Example: sclgan protocols
    """
    from sclgan.metrics.listing import listing

    print(listing())


def compare(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN", help="Run folders of `sclgan train`.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder of the page.")],
    seed: Annotated[int, arg(help="Of the captions and the noise of the samples.")] = 0,
) -> None:
    """Put runs side by side on one page: curves, samples of the same captions and noise, results.

    Example: sclgan compare runs/plain runs/scl --out runs/page
    """
    from sclgan.experiments.compare import compare_runs

    print(compare_runs(runs, out, seed=seed))


def table(
    name: Annotated[Positional[Literal["main", "labels", "ablation"]], arg(metavar="NAME", help="Which table.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder of the table and its runs; what is there is not run again.")],
    seeds: Annotated[int, arg(metavar="N", help="Runs of each row, with seeds 0 to N - 1.")] = 3,
    budget: Annotated[
        int | None, arg(metavar="IMAGES", help="Images that each GAN trains on, instead of its recipe's steps.")
    ] = None,
    data: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help="A data set; repeat for several. Without it, all whose files are here."),
    ] = (),
    gans: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME", help="A GAN; repeat for several. Without it, all.")
    ] = (),
    set_: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(name="set", metavar="FIELD=VALUE", help="A field of every recipe that has it; repeat for several."),
    ] = (),
    num_images: Annotated[int | None, arg(metavar="N", help="Pictures to grade, instead of each protocol's.")] = None,
    jobs: Annotated[int | None, arg(metavar="N", help="Runs side by side. Without it, one for each GPU.")] = None,
    num_workers: Workers = 0,
) -> None:
    """Run the rows of a table of the paper, over several seeds, and write it as Markdown, CSV and a page.

    Example: sclgan table main --out tables/main --seeds 3 --data emoji --budget 200000
    """
    from sclgan.experiments.table_page import make_table

    page = make_table(
        name,
        out,
        num_seeds=seeds,
        budget=budget,
        data=data,
        gans=gans,
        assignments=set_,
        num_images=num_images,
        jobs=jobs,
        num_workers=num_workers,
    )
    print_on_rank_0(str(page))


def figure(
    name: Annotated[Positional[Literal["qualitative", "embedding", "loss"]], arg(metavar="NAME", help="Which figure.")],
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="RUN", help="Run folders; embedding and loss take those of `sclgan pretrain` too."),
    ],
    *,
    out: Annotated[Path, arg(metavar="FILE", help="The figure to write; .png, .pdf or .svg.")],
    caption: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="CAPTION", help="A column of qualitative; repeat for several. Without it, held-out captions."),
    ] = (),
    labels: Annotated[int, arg(metavar="N", help="Labels that embedding shows.")] = 8,
    split: Annotated[str, arg(help="The split whose pictures embedding shows.")] = "test",
    seed: Annotated[int, arg(help="Of the noise, and of captions and labels that are chosen.")] = 0,
) -> None:
    """Draw a figure: samples of several runs, embeddings of two, or losses.

    Example: sclgan figure qualitative runs/plain runs/scl --out figure.pdf
    """
    from sclgan.experiments import figures

    if name == "qualitative":
        figures.qualitative(runs, out, captions=caption, seed=seed)
    elif name == "embedding":
        figures.embedding(runs, out, num_labels=labels, split=split, seed=seed)
    else:
        figures.loss(runs, out)
    print(out)


def import_(
    files: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="FILE", help="Text and image encoder, generator, if wanted all discriminators; in any order."),
    ],
    *,
    kind: Annotated[
        Literal["attngan", "dmgan", "ssagan", "damsm"], arg(help="Of which GAN; damsm is the encoders alone.")
    ],
    captions: Annotated[Path, arg(metavar="FILE", help="The captions.pickle of the same authors: the vocabulary.")],
    out: Annotated[Path, arg(metavar="DIR", help="The run folder to make.")],
    recipe: Annotated[
        str | None, arg(metavar="RECIPE", help="Of the data; without it the vocabulary tells CUB from COCO.")
    ] = None,
) -> None:
    """Turn weights that the authors of a paper publish into a run folder, for `sample` and `evaluate`.

    Example: sclgan import netG.pth text_encoder200.pth image_encoder200.pth --kind attngan
    --captions captions.pickle --out runs/published
    """
    from sclgan.official import import_files

    made = import_files(kind, files, captions=captions, out=out, recipe=recipe)
    if kind == "damsm":
        base = made.name.removesuffix("_official")
        print(f"encoders in {out}; to train on them:")
        print(
            f"sclgan train {base} encoders.save_backbone=true encoders.backbone.weights=none --encoders {out} --out DIR"
        )
    else:
        print(f'run in {out}: sclgan sample {out} "CAPTION" --out FILE')


def print_on_rank_0(text: str) -> None:
    """Prints once, however many ranks there are."""
    from sclgan.distributed import rank

    if rank() == 0:
        print(text)


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__.rstrip("_"): command
    for command in (
        recipes,
        describe,
        data,
        pretrain,
        train,
        sample,
        evaluate,
        protocols,
        compare,
        table,
        figure,
        import_,
    )
}
DISTRIBUTED = {"pretrain", "train", "evaluate", "table"}


def main() -> None:
    """Runs a command; a known error is one line on stderr and exit code 1, a usage error 2, an interruption 130.

    Any other error is a bug and shows its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = positionals_first(sys.argv[1:])
    in_a_group = "RANK" in os.environ and bool(arguments) and arguments[0] in DISTRIBUTED
    try:
        if in_a_group:
            from sclgan.distributed import initialise

            initialise()
        check_command(arguments)
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="sclgan", description=__doc__, args=arguments)
    except (ValueError, OSError, FloatingPointError) as error:
        fail(error)
    except RuntimeError as error:
        known = explained(error)
        if known is None:
            raise
        fail(known)
    except KeyboardInterrupt as stopped:
        say(str(stopped) or "interrupted")
        sys.exit(130)
    finally:
        if in_a_group:
            from sclgan.distributed import shut_down

            shut_down()


FLAGS = {"-h", "--help", "--attention", "--no-attention"}
"""The options that take no value."""


def positionals_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with all options after the rest, so that FIELD=VALUE may stand anywhere.

    `train R a=1 --out D b=2` is otherwise refused, and to repeat a command with one more field is common.
    """
    positionals: list[str] = []
    options: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*positionals, *options, argument, *rest]
        if not argument.startswith("-"):
            positionals.append(argument)
        elif argument in FLAGS or "=" in argument:
            options.append(argument)
        else:
            options += [argument, *islice(rest, 1)]
    return positionals + options


def check_command(arguments: Sequence[str]) -> None:
    """Ends with a usage error where the first argument is a word and no command."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        nearest = difflib.get_close_matches(arguments[0], COMMANDS, n=1, cutoff=0)[0]
        say(f"no command '{arguments[0]}': did you mean '{nearest}'? `sclgan --help` lists them")
        sys.exit(2)


def explained(error: RuntimeError) -> Exception | None:
    """The errors of torch that are no bug of ours, in words that say what to do; None for any other."""
    import torch

    from sclgan.distributed import is_lost_connection

    if isinstance(error, torch.OutOfMemoryError):
        return MemoryError("the accelerator is out of memory: lower the batch size of the phase, or the model's width")
    if is_lost_connection(error):
        return ConnectionError(
            "another rank ended: its own message, or torchrun's report, says why. "
            "The newest checkpoint is whole: repeat the command to continue from it"
        )
    return None


def fail(error: Exception) -> NoReturn:
    """One line for what a user can mend; SCLGAN_TRACEBACK=1 shows where it came from."""
    if os.environ.get("SCLGAN_TRACEBACK"):
        raise error
    say(f"{type(error).__name__}: {error}")
    sys.exit(1)


def say(text: str) -> None:
    """One line on stderr; of several ranks each says who it is."""
    who = f"sclgan, rank {os.environ['RANK']}" if "RANK" in os.environ else "sclgan"
    print(f"{who}: {' '.join(text.splitlines())}\n", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
