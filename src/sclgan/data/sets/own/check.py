"""`sclgan data check`: every problem of a folder of pictures, line by line, and what it holds."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import Progress

from sclgan.data.captions import words_of
from sclgan.data.printable import listed, printable
from sclgan.data.sets.own.files import Contents, read
from sclgan.data.sets.own.label_notes import from_folders, label_notes
from sclgan.data.sets.own.shown import on_all_cores, shown
from sclgan.data.sets.own.table import SPLITS, Entry, Problem


@dataclass(frozen=True)
class Report:
    """The problems of a folder, and lines that sum up its content."""

    problems: tuple[Problem, ...]
    summary: tuple[str, ...]

    @property
    def num_errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)


def check(root: Path, *, image_size: int, max_words: int) -> Report:
    """Reads a folder as training does, and every picture of it.

    Pictures smaller than `image_size` are noted, and captions of more than `max_words` words counted.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    contents = read(root)
    digests: dict[str, bytes] = {}
    problems = [*contents.problems, *label_notes(contents.rows), *_pictures(root, contents.rows, image_size, digests)]
    problems += _trained_on(contents.rows, digests)
    errors = sum(problem.is_error for problem in problems)
    verdict = "training would fail: correct the errors" if errors else "training reads this folder"
    last = f"{errors} errors, {len(problems) - errors} notes: {verdict}"
    return Report(tuple(problems), (*_summary(contents, max_words), last))


def _pictures(root: Path, rows: Sequence[Entry], image_size: int, digests: dict[str, bytes]) -> Iterator[Problem]:
    """The problems of the pictures themselves, decoded on all cores; `digests` gets one of each picture's pixels."""
    quiet = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task("reading pictures", total=len(rows))
        for row, seen in zip(rows, on_all_cores(shown, [root / row.name for row in rows]), strict=True):
            progress.advance(bar)
            if isinstance(seen, Exception):
                yield Problem(row.where, str(seen))
                continue
            digests[row.name] = seen.digest
            if min(seen.size) < image_size:
                width, height = seen.size
                what = f"{row.name} has {width} x {height} pixels and is enlarged to {image_size}: use a larger copy"
                yield Problem(row.where, what, is_error=False)


def _trained_on(rows: Sequence[Entry], digests: dict[str, bytes]) -> Iterator[Problem]:
    """A note for each held-out picture that is also in training, under another name or in another format."""
    trained = {digests[row.name]: row.name for row in rows if row.split == "train" and row.name in digests}
    for row in rows:
        if row.split == "test" and (copy := trained.get(digests.get(row.name, b""))):
            what = (
                f"the held-out picture {row.name!r} is the same picture as {copy!r}, which is trained on: remove one, "
                "or put both into one split"
            )
            yield Problem(row.where, what, is_error=False)


def _summary(contents: Contents, max_words: int) -> Iterator[str]:
    """Counts of pictures, labels, captions and words."""
    rows = contents.rows
    counts = Counter(row.split for row in rows)
    splits = ", ".join(f"{split} {counts[split]:,}" for split in SPLITS)
    yield f"{contents.layout}: {len(rows):,} usable pictures ({splits}; {contents.how_split})"
    if not rows:
        return
    yield _about_labels([row for row in rows if row.split == "train"])
    lengths = [len(words_of(caption)) for row in rows for caption in row.captions]
    yield (
        f"captions: {len(lengths) / len(rows):.1f} per picture, of {min(lengths)} to {max(lengths)} words (median "
        f"{median(lengths):g}); {_too_long(rows, max_words)}"
    )
    words = {
        split: {word for row in rows if row.split == split for caption in row.captions for word in words_of(caption)}
        for split in SPLITS
    }
    unknown = sorted(words["test"] - words["train"])
    yield (
        f"words: {len(words['train']):,} in training captions; {len(unknown):,} more in test captions, which are left "
        f"out{f': {listed(unknown)}' if unknown else ''}"
    )


def _about_labels(rows: Sequence[Entry]) -> str:
    """The labels of the training pictures, where they are from, and what they are good for."""
    labels = Counter(label for row in rows for label in row.labels)
    if not labels:
        return "labels: none: the plain recipes can be trained; _scl recipes need labels"
    origin = "the names of folders" if any(row.labels and from_folders(row) for row in rows) else "the table"
    if len(labels) == 1 and all(row.labels for row in rows):
        return (
            f"labels: all training pictures have the same label, {next(iter(labels))!r}, from {origin}: it tells no "
            "two of them apart; the plain recipes can be trained, as without labels; _scl recipes need several"
        )
    several = sum(len(row.labels) > 1 for row in rows)
    fewest, most = min(labels.values()), max(labels.values())
    use = "_scl recipes can be trained" if most > 1 else "no two pictures share one, and _scl recipes need that"
    return (
        f"labels: {len(labels):,} in training, from {origin}, {listed(labels)}, of {fewest:,} to {most:,} pictures; "
        f"{several:,} pictures have several: {use}"
    )


def _too_long(rows: Sequence[Entry], max_words: int) -> str:
    """How many captions are longer than what is read of them, and an example."""
    captions = [(caption, words_of(caption)[max_words:]) for row in rows for caption in row.captions]
    cut = [(caption, words) for caption, words in captions if words]
    said = f"{len(cut):,} have more than {max_words}, of which the first {max_words} are read"
    if not cut:
        return said
    caption, words = cut[0]
    total = sum(len(words) for _, words in cut)
    return f"{said}; {total:,} words are cut, such as {listed(words)} from {printable(caption[:60])!r}"
