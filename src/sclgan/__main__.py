"""The command line: `sclgan COMMAND`, or `python -m sclgan COMMAND`; under torchrun with several processes."""

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, cast

import tyro
from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from sclgan.recipe import Recipe

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
Pack = Annotated[
    Path | None,
    arg(metavar="DIR", help="A folder of `sclgan data pack` or `index` to train on, instead of the recipe's data."),
]
Stream = Annotated[
    str | None,
    arg(metavar="URLS", help='Train on these shards, read in a stream, such as "https://server/{000..999}.tar".'),
]
Damaged = Annotated[
    Literal["fail", "skip"], arg(help="What to do about damaged samples: end, or name them and leave them out.")
]
Processes = Annotated[int, arg(metavar="N", help="Processes that work beside each other.")]


def recipes() -> None:
    """List the recipes as a table: GANs in rows, data sets in columns.

    Example: sclgan recipes
    """
    from sclgan.recipes import table

    print(table())


def describe(recipe: RecipeName, overrides: Overrides = ()) -> None:
    """Show everything that a recipe decides, as JSON, with fields replaced as given; and which files it needs.

    The files are listed on stderr, so that the JSON can go to a program.

    Example: sclgan describe ssagan_emoji_scl training.batch_size=64
    """
    from sclgan.recipe import needed_files, override, to_json
    from sclgan.recipes import recipe as named

    made = override(named(recipe), overrides)
    print(to_json(made))
    for file in needed_files(made):
        print(f"needs {file}", file=sys.stderr)


def data(
    name: Annotated[
        Positional[str | None], arg(metavar="NAME", help="A data set or a folder; without it all data sets are listed.")
    ] = None,
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


def data_check(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="A folder of pictures with their captions.")],
    *,
    image_size: Annotated[int, arg(metavar="N", help="Side of the training pictures; smaller ones are noted.")] = 64,
    max_words: Annotated[int, arg(metavar="N", help="Words of a caption that training reads.")] = 18,
) -> None:
    """Say what is wrong with a folder of pictures, line by line, and what it holds; exit code 1 if training would fail.

    Example: sclgan data check pictures
    """
    from sclgan.data.folder_check import check

    report = check(folder, image_size=image_size, max_words=max_words)
    for line in (*report.problems, *report.summary):
        print(line)
    if report.num_errors:
        raise ValueError(f"{folder} has {report.num_errors} errors, listed above")


def data_pairs(
    name: Annotated[Positional[str], arg(metavar="NAME", help="A data set, or a folder of pictures.")],
    *,
    split: Annotated[str, arg(help="Whose pairs.")] = "train",
    batch_size: Annotated[int, arg(metavar="N", help="Anchors a step.")] = 24,
) -> None:
    """Say for each label rule how many pairs it makes, how often each label is drawn, what is paired with itself.

    Example: sclgan data pairs scenes --batch-size 32
    """
    from sclgan.data.label_report import label_reports
    from sclgan.data.sources import source

    rows = source(name, split)
    print(f"{name}, {split}: {len(rows):,} pictures, {len(rows.label_names):,} labels; batches of {batch_size}")
    for report in label_reports(rows.labels, rows.label_names, batch_size=batch_size):
        print("\n".join(report.lines()))


def data_pack(
    name: Annotated[Positional[str], arg(metavar="NAME", help="A data set that `sclgan data` lists.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="The folder to make; an interrupted pack in it is continued.")],
    size: Annotated[int, arg(metavar="N", help="Side of the training pictures in pixels.")],
    split: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="SPLIT", help="Repeat for several. Without it, all.")
    ] = (),
    root: Annotated[Path | None, arg(metavar="DIR", help="Where the data set lies, if not in its usual place.")] = None,
    quality: Annotated[int, arg(metavar="Q", help="Of the JPEG files, 1 to 100.")] = 90,
    samples_per_shard: Annotated[int, arg(metavar="N", help="Pictures in a shard.")] = 1000,
    damaged: Damaged = "fail",
    num_workers: Processes = 0,
) -> None:
    """Write once what training reads many times: pictures cropped and reduced, captions, labels, in tar shards.

    Example: sclgan data pack cub --out packs/cub --size 256 --num-workers 8
    """
    from sclgan.data.pack import Packable, pack
    from sclgan.data.sources import SOURCES, source

    sources = [source(name, one, root=root) for one in split or SOURCES.get(name, (None, ("train",)))[1]]
    left_out = pack(
        cast("Sequence[Packable]", sources),
        out,
        size=size,
        quality=quality,
        samples_per_shard=samples_per_shard,
        damaged=damaged,
        num_workers=num_workers,
    )
    print_left_out(left_out)
    print(f"packed in {out}: sclgan train RECIPE --data {out} --out RUN")


def data_index(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="A folder of WebDataset shards (*.tar).")],
    *,
    name: Annotated[str | None, arg(help="Of the data set; without it the folder's.")] = None,
    test: Annotated[str | None, arg(metavar="PATTERN", help='Shards held out for tests, such as "0009*.tar".')] = None,
    damaged: Damaged = "fail",
    num_workers: Processes = 0,
) -> None:
    """Make an existing folder of WebDataset or img2dataset shards readable for training; the shards stay as they are.

    Example: sclgan data index shards --test "0009*.tar"
    """
    from sclgan.data.shard_folder import index_folder

    name = name or folder.resolve().name
    print_left_out(index_folder(folder, name=name, test=test, damaged=damaged, num_workers=num_workers))
    print(f"indexed {folder}: sclgan train RECIPE --data {folder} --out RUN")


def data_verify(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="A folder of `sclgan data pack` or `data index`.")],
    *,
    num_workers: Processes = 0,
) -> None:
    """Compare all shards and the index of a pack with their checksums; what is wrong is named, and the exit code 1.

    Example: sclgan data verify packs/cub
    """
    from sclgan.data.shard_folder import verify

    problems = 0
    for problem in verify(folder, num_workers=num_workers):
        problems += 1
        print(problem)
    if problems:
        raise ValueError(f"{folder} has {problems} problems: they are listed above")
    print(f"{folder} is as it was written")


def print_left_out(lines: Sequence[str]) -> None:
    """Names what was left out, on stderr."""
    for line in lines:
        say(f"left out: {line}")
    if lines:
        say(f"left out {len(lines)} samples")


def pretrain(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    out: OutFolder,
    data: Pack = None,
    stream: Stream = None,
    num_workers: Workers = 0,
) -> None:
    """Pre-train the text and image encoders of a recipe (phase 1).

    Example: sclgan pretrain ssagan_emoji_scl --out runs/encoders
    """
    from sclgan.train.session import pretrain as run

    run(chosen(recipe, overrides, data), out, stream=stream, num_workers=num_workers)
    print_on_rank_0(f"encoders in {out}")


def train(
    recipe: RecipeName,
    overrides: Overrides = (),
    *,
    out: OutFolder,
    encoders: Annotated[
        Path | None, arg(metavar="DIR", help="A folder of `sclgan pretrain`; without it phase 1 runs first.")
    ] = None,
    data: Pack = None,
    stream: Stream = None,
    num_workers: Workers = 0,
) -> None:
    """Train the GAN of a recipe (phase 2); pre-trains its encoders first where none are given.

    Example: sclgan train ssagan_emoji_scl --out runs/scl
    """
    from sclgan.train.session import train as run

    run(chosen(recipe, overrides, data), out, encoders=encoders, stream=stream, num_workers=num_workers)
    print_on_rank_0(f"run in {out}")


def chosen(name: str, overrides: Sequence[str], data: Path | None) -> "Recipe":
    """The recipe of that name with fields replaced, on the pack `data` where one is given."""
    from sclgan.data.packed import Packed
    from sclgan.recipe import override
    from sclgan.recipes import recipe

    made = recipe(name)
    return override(made if data is None else replace(made, source=partial(Packed, root=str(data))), overrides)


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
        if unknown := opened.tokenizer.unknown_words(caption):
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
            help="Real pictures: a folder, an .npz of statistics (also of pytorch-fid or clean-fid), a data set's "
            "name, or emoji_64, statistics that come with the package. Of a run they are the held-out ones of its data "
            "unless given.",
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
        arg(metavar="FILE", help="Encoders (or CLIP), generator, if wanted all discriminators; in any order."),
    ],
    *,
    kind: Annotated[
        Literal["attngan", "dmgan", "ssagan", "galip", "damsm"], arg(help="Of which GAN; damsm is the encoders alone.")
    ],
    captions: Annotated[
        Path | None, arg(metavar="FILE", help="The captions.pickle of the same authors: the vocabulary; not for galip.")
    ] = None,
    out: Annotated[Path, arg(metavar="DIR", help="The run folder to make.")],
    recipe: Annotated[
        str | None, arg(metavar="RECIPE", help="Of the data; without it the vocabulary tells CUB from COCO.")
    ] = None,
) -> None:
    """Turn weights that the authors of a paper publish into a run folder, for `sample` and `evaluate`.

    Example: sclgan import netG.pth text_encoder200.pth image_encoder200.pth --kind attngan
    --captions captions.pickle --out runs/published, or sclgan import state_epoch_1000.pth ViT-B-32.pt --kind galip
    --out runs/galip
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
    command.__name__.rstrip("_").replace("_", " "): command
    for command in (
        *(recipes, describe, data, data_check, data_pairs, data_pack, data_index, data_verify),
        *(pretrain, train, sample, evaluate, protocols, compare, table, figure, import_),
    )
}
DISTRIBUTED = {"pretrain", "train", "evaluate", "table"}


def main() -> None:
    """Runs a command; a known error is one line on stderr and exit code 1, a usage error 2, an interruption 130.

    Any other error is a bug and shows its traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = positionals_first(one_command(sys.argv[1:]))
    in_a_group = "RANK" in os.environ and bool(arguments) and arguments[0] in DISTRIBUTED
    try:
        if in_a_group:
            from sclgan.distributed import initialise

            initialise()
        check_command(arguments)
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="sclgan", description=__doc__, args=arguments)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
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


def one_command(arguments: Sequence[str]) -> list[str]:
    """The arguments with a command of two words, such as `data pack`, as one."""
    two = " ".join(arguments[:2])
    return [two, *arguments[2:]] if two in COMMANDS else list(arguments)


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
