"""Commands that measure runs and show the results: evaluations, comparisons, tables, figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from sclgan.commands.arguments import Checkpoint, Workers
from sclgan.commands.printing import print_on_rank_0, show

if TYPE_CHECKING:
    from sclgan.evaluation.results import Result


def evaluate(
    path: Annotated[
        Positional[Path],
        arg(metavar="RUN", help="Run folder, any folder of pictures, or name of a model in the package."),
    ],
    *,
    protocol: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="NAME",
            help="Protocol to measure; repeat for several. Without it, all that fit and whose weights are present.",
        ),
    ] = (),
    reals: Annotated[
        str | None,
        arg(
            metavar="REALS",
            help="Real pictures: a folder, an .npz of statistics (also of pytorch-fid or clean-fid), the name of a "
            "data set, or emoji_64, statistics in the package. Without it, the held-out pictures of the run's data.",
        ),
    ] = None,
    num_images: Annotated[
        int | None,
        arg(metavar="N", help="Number of pictures to measure. Without it, that of the protocol, or all of a folder."),
    ] = None,
    seed: Annotated[int, arg(help="Random seed for captions, noise and the choice of pictures.")] = 0,
    checkpoint: Checkpoint = "last",
    encoders: Annotated[
        Path | None, arg(metavar="DIR", help="Pre-trained encoders, for the R-precision of a folder with captions.")
    ] = None,
    save_statistics: Annotated[
        Path | None,
        arg(metavar="FILE", help="File for mean and covariance of the features of the measured pictures (.npz)."),
    ] = None,
    curve: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="File for the Frechet distance against the number of samples (PNG; JSON beside it), with its limit.",
        ),
    ] = None,
    save_pictures: Annotated[
        Path | None,
        arg(metavar="DIR", help="Folder for the generated pictures (PNG), with captions in metadata.jsonl."),
    ] = None,
    out: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="File for the records, instead of evaluations.jsonl in the folder. Records of a model are written "
            "only here.",
        ),
    ] = None,
    num_workers: Annotated[
        int | None, arg(metavar="N", help="Number of threads that decode files. Without it, one per core.")
    ] = None,
) -> None:
    """Measure a run or a folder of pictures against real pictures, by named protocols.

    A folder has its captions in metadata.jsonl ("captions"), or in KEY.txt beside KEY.png; its labels are folder names.

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
    """List the protocols: what each fixes, who uses it, and whether its weights are present.

    Example: sclgan protocols
    """
    from sclgan.evaluation.listing import listing

    print(listing())


def compare(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN", help="Run folders made by `sclgan train`.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder for the page.")],
    seed: Annotated[int, arg(help="Random seed for captions and noise of the samples.")] = 0,
) -> None:
    """Compare runs on one page: curves, results, and samples of the same captions and noise.

    Example: sclgan compare runs/plain runs/scl --out runs/page
    """
    from sclgan.experiments.compare import compare_runs

    show(compare_runs(runs, out, seed=seed))


def table(
    name: Annotated[Positional[Literal["main", "labels", "ablation"]], arg(metavar="NAME", help="Table to make.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder for the table and its runs; finished runs in it are kept.")],
    seeds: Annotated[int, arg(metavar="N", help="Number of runs per row, with seeds 0 to N - 1.")] = 3,
    budget: Annotated[
        int | None,
        arg(metavar="IMAGES", help="Number of images each GAN trains on. Without it, the steps of its recipe."),
    ] = None,
    data: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help="Data set to use; repeat for several. Without it, all whose files are present."),
    ] = (),
    gans: Annotated[
        UseAppendAction[tuple[str, ...]], arg(metavar="NAME", help="GAN to train; repeat for several. Without it, all.")
    ] = (),
    rows: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="NAME",
            help="Row to run besides the baselines, such as scl-temperature0.2; repeat for several. Without it, all.",
        ),
    ] = (),
    set_: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            name="set",
            metavar="FIELD=VALUE",
            help="Field to set in all rows that have it, or for one GAN or data set (galip:gan.nf=16); repeat for "
            "several.",
        ),
    ] = (),
    num_images: Annotated[
        int | None, arg(metavar="N", help="Number of pictures to measure. Without it, that of each protocol.")
    ] = None,
    jobs: Annotated[int | None, arg(metavar="N", help="Number of simultaneous runs. Without it, one per GPU.")] = None,
    num_workers: Workers = None,
) -> None:
    """Train the rows of a table of the paper over several seeds, and write the table.

    It is written as Markdown, CSV and a page; repeat the command to continue.

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
    name: Annotated[
        Positional[Literal["qualitative", "embedding", "loss"]], arg(metavar="NAME", help="Figure to draw.")
    ],
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="RUN", help="Run folders; embedding and loss also accept those of `sclgan pretrain`."),
    ],
    *,
    out: Annotated[Path, arg(metavar="FILE", help="Figure to write (.png, .pdf or .svg).")],
    caption: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="CAPTION",
            help="Caption of a column (qualitative); repeat for several. Without it, held-out captions.",
        ),
    ] = (),
    labels: Annotated[int, arg(metavar="N", help="Number of labels to show (embedding).")] = 8,
    split: Annotated[str, arg(help="Split to show (embedding).")] = "test",
    seed: Annotated[int, arg(help="Random seed for the noise and the choice of captions and labels.")] = 0,
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
    show(out)
