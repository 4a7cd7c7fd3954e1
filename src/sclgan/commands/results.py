"""Commands that measure runs and show what was measured: evaluations, comparisons, tables, figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from sclgan.commands.arguments import Checkpoint, Workers
from sclgan.commands.printing import print_on_rank_0

if TYPE_CHECKING:
    from sclgan.evaluation.results import Result


def evaluate(
    path: Annotated[
        Positional[Path],
        arg(metavar="RUN", help="A run folder, any folder of pictures, or the name of a model that comes with sclgan."),
    ],
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
        Path | None,
        arg(
            metavar="FILE",
            help="Where records go instead of evaluations.jsonl in the folder; those of a named model go only there.",
        ),
    ] = None,
    num_workers: Annotated[int | None, arg(metavar="N", help="Threads that decode files; a core each.")] = None,
) -> None:
    """Measure a run, or any folder of pictures, by named protocols against real pictures.

    Captions of a folder are the "text" of metadata.jsonl, or KEY.txt beside KEY.png; labels its folders' names.

    Example: sclgan evaluate runs/scl --protocol fd_lite0 --protocol kid_lite0
    """
    from sclgan import models

    path = models.find(path)
    from sclgan.evaluation.engine import EvaluationOptions
    from sclgan.evaluation.folder import evaluate_folder
    from sclgan.evaluation.run import evaluate_run
    from sclgan.runs.folder import RECIPE

    options = EvaluationOptions(
        protocol,
        num_images=num_images,
        seed=seed,
        reals=reals,
        save_statistics=save_statistics,
        curve=curve,
        out=out,
        num_workers=num_workers,
    )
    is_run = (path / RECIPE).exists()
    if is_run and encoders is not None:
        raise ValueError("--encoders is for folders of pictures: a run has its own encoders")
    if not is_run and (checkpoint != "last" or save_pictures is not None):
        raise ValueError(f"--checkpoint and --save-pictures are for runs, and {path} has no {RECIPE}")
    if is_run:
        evaluate_run(path, options, checkpoint=checkpoint, save_pictures=save_pictures, show=_show)
    else:
        evaluate_folder(path, options, encoders=encoders, show=_show)


def _show(result: "Result") -> None:
    print_on_rank_0(result.line())


def protocols() -> None:
    """List the evaluation protocols: what each fixes, where it is used, and whether its weights are here.

    Example: sclgan protocols
    """
    from sclgan.evaluation.listing import listing

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
    rows: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help="A row, such as scl-temperature0.2, beside those that others are compared with."),
    ] = (),
    set_: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            name="set",
            metavar="FIELD=VALUE",
            help="A field of all rows that have it, or of one GAN or data set: galip:gan.nf=16; repeatable.",
        ),
    ] = (),
    num_images: Annotated[int | None, arg(metavar="N", help="Pictures to grade, instead of each protocol's.")] = None,
    jobs: Annotated[int | None, arg(metavar="N", help="Runs side by side. Without it, one for each GPU.")] = None,
    num_workers: Workers = 0,
) -> None:
    """Run the rows of a table of the paper, over several seeds, and write it as Markdown, CSV and a page.

    Example: sclgan table main --out tables/main --seeds 3 --data emoji --budget 200000
    """
    from sclgan.experiments.tables.page import make_table

    page = make_table(
        name,
        out,
        num_seeds=seeds,
        budget=budget,
        data=data,
        gans=gans,
        rows=rows,
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
