"""Commands for data: list and show a data set, check a folder of pictures, write and verify packs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

from tyro.conf import Positional, UseAppendAction, arg

from sclgan.commands.printing import say, show

Damaged = Annotated[
    Literal["fail", "skip"],
    arg(help="Handling of damaged samples: stop at the first, or name them and leave them out."),
]
Processes = Annotated[int, arg(metavar="N", help="Number of worker processes.")]


def data(
    name: Annotated[
        Positional[str | None],
        arg(metavar="NAME", help="A data set or a folder; without it, all data sets are listed."),
    ] = None,
    out: Annotated[Path | None, arg(metavar="FILE", help="Contact sheet to write (.png or .jpg).")] = None,
    split: Annotated[str, arg(help="Split to show.")] = "train",
    rows: Annotated[int, arg(help="Number of rows of pictures.")] = 5,
    columns: Annotated[int, arg(help="Number of pictures per row.")] = 8,
    size: Annotated[int, arg(help="Side of each picture in pixels.")] = 96,
    seed: Annotated[int, arg(help="Random seed for the choice of pictures, backgrounds and captions.")] = 0,
) -> None:
    """List the data sets, or show pictures, captions and labels of one on a sheet.

    Example: sclgan data emoji --out emoji.png
    """
    from sclgan.data.contact_sheet import contact_sheet
    from sclgan.data.picture_writing import picture_format, write_picture
    from sclgan.data.sources import SOURCES, sizes, source

    if name is None:
        for known in SOURCES:
            print(f"{known:<12}{sizes(known)}")
        return
    rows_of = source(name, split)
    if out is None:
        show(f"{name}, {split}: {len(rows_of)} pictures, {len(rows_of.label_names)} labels; --out FILE shows them")
        return
    picture_format(out)  # before anything is drawn
    write_picture(contact_sheet(rows_of, rows=rows, columns=columns, size=size, seed=seed), out)
    show(out)


def data_check(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="Folder of pictures with captions.")],
    *,
    image_size: Annotated[
        int, arg(metavar="N", help="Side of the training pictures in pixels; smaller pictures are reported.")
    ] = 64,
    max_words: Annotated[int, arg(metavar="N", help="Number of words that training reads of a caption.")] = 18,
) -> None:
    """Check a folder of pictures: list every mistake and count what it holds.

    The exit code is 1 if training would fail.

    Example: sclgan data check pictures
    """
    from sclgan.data.sets.own.check import check

    report = check(folder, image_size=image_size, max_words=max_words)
    for line in (*report.problems, *report.summary):
        print(line)
    if report.num_errors:
        raise ValueError(f"{folder} has {report.num_errors} errors, listed above")


def data_pairs(
    name: Annotated[Positional[str], arg(metavar="NAME", help="A data set, or a folder of pictures.")],
    *,
    split: Annotated[str, arg(help="Split to draw pairs from.")] = "train",
    batch_size: Annotated[int, arg(metavar="N", help="Number of anchors per step.")] = 24,
) -> None:
    """Compare the rules that pair pictures by their labels.

    For each rule: the number of pairs, how often each label is drawn, and which pictures are paired with themselves.

    Example: sclgan data pairs scenes --batch-size 32
    """
    from sclgan.data.label_report import label_reports
    from sclgan.data.sources import source

    rows = source(name, split)
    show(f"{name}, {split}: {len(rows):,} pictures, {len(rows.label_names):,} labels; batches of {batch_size}")
    for report in label_reports(rows.labels, rows.label_names, batch_size=batch_size):
        print("\n".join(report.lines()))


def data_pack(
    name: Annotated[Positional[str], arg(metavar="NAME", help="A data set that `sclgan data` lists.")],
    *,
    out: Annotated[Path, arg(metavar="DIR", help="Folder to write; an interrupted pack in it is continued.")],
    size: Annotated[int, arg(metavar="N", help="Side of the training pictures in pixels.")],
    split: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="SPLIT", help="Split to pack; repeat for several. Without it, all."),
    ] = (),
    root: Annotated[Path | None, arg(metavar="DIR", help="Folder of the data set, if not its usual one.")] = None,
    quality: Annotated[int, arg(metavar="Q", help="Quality of the JPEG files, 1 to 100.")] = 90,
    samples_per_shard: Annotated[int, arg(metavar="N", help="Number of pictures per shard.")] = 1000,
    damaged: Damaged = "fail",
    num_workers: Processes = 0,
) -> None:
    """Pack a data set into shards that training reads several times faster.

    Pictures are cropped and reduced once and stored with captions and labels in WebDataset tar files.

    Example: sclgan data pack cub --out packs/cub --size 256 --num-workers 8
    """
    from sclgan.data.packs.write import Packable, pack
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
    show(f"packed in {out}: sclgan train RECIPE --data {out} --out RUN")


def data_index(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="Folder of WebDataset shards (*.tar).")],
    *,
    name: Annotated[str | None, arg(help="Name of the data set; without it, the name of the folder.")] = None,
    test: Annotated[
        str | None, arg(metavar="PATTERN", help='Shards to hold out for tests, such as "0009*.tar".')
    ] = None,
    damaged: Damaged = "fail",
    num_workers: Processes = 0,
) -> None:
    """Index existing WebDataset or img2dataset shards for training.

    The shards are not changed.

    Example: sclgan data index shards --test "0009*.tar"
    """
    from sclgan.data.packs.folder import index_folder

    name = name or folder.resolve().name
    print_left_out(index_folder(folder, name=name, test=test, damaged=damaged, num_workers=num_workers))
    show(f"indexed {folder}: sclgan train RECIPE --data {folder} --out RUN")


def data_verify(
    folder: Annotated[Positional[Path], arg(metavar="DIR", help="Folder made by `sclgan data pack` or `data index`.")],
    *,
    num_workers: Processes = 0,
) -> None:
    """Verify the checksums of a pack: all shards and the index.

    The exit code is 1 if anything has changed.

    Example: sclgan data verify packs/cub
    """
    from sclgan.data.packs.verify import verify
    from sclgan.data.printable import printable

    problems = 0
    for problem in verify(folder, num_workers=num_workers):
        problems += 1
        print(printable(problem))
    if problems:
        raise ValueError(f"{folder} is not as it was written: {problems} problem(s), listed above")
    show(f"{folder} is as it was written")


def print_left_out(lines: Sequence[str]) -> None:
    """Prints on stderr what was left out."""
    for line in lines:
        say(f"left out: {line}")
    if lines:
        say(f"{len(lines)} line(s) above say what was left out; dataset.json repeats them")
