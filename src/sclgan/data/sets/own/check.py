"""`sclgan data check`: everything that is wrong with a folder of pictures, line by line, and what it holds."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import Progress

from sclgan.data.captions import words_of
from sclgan.data.images import decode
from sclgan.data.sets.own.files import Contents, read
from sclgan.data.sets.own.table import SPLITS, Entry, Problem

_CHUNK = 256  # pictures that wait in memory for their turn


@dataclass(frozen=True)
class Report:
    """What is wrong, and what there is, in lines."""

    problems: tuple[Problem, ...]
    summary: tuple[str, ...]

    @property
    def num_errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)


def check(root: Path, *, image_size: int, max_words: int) -> Report:
    """Reads a folder as training does, and every picture of it.

    Pictures smaller than `image_size` and captions of more than `max_words` words are noted.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    contents = read(root)
    problems = [*contents.problems, *_pictures(root, contents.rows, image_size)]
    errors = sum(problem.is_error for problem in problems)
    verdict = "training would fail: mend the errors" if errors else "training reads this folder"
    last = f"{errors} errors, {len(problems) - errors} notes: {verdict}"
    return Report(tuple(problems), (*_summary(contents, max_words), last))


def _pictures(root: Path, rows: tuple[Entry, ...], image_size: int) -> Iterator[Problem]:
    """What is wrong with the pictures themselves; they are decoded by all cores."""

    def examined(row: Entry) -> Problem | None:
        try:
            width, height = decode(root / row.name).size
        except (ValueError, OSError) as error:
            return Problem(row.where, str(error))
        if min(width, height) < image_size:
            what = f"{row.name} has {width} x {height} pixels and is enlarged to {image_size}: use a larger copy"
            return Problem(row.where, what, is_error=False)
        return None

    quiet = not sys.stderr.isatty()
    with (
        Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        bar = progress.add_task("reading pictures", total=len(rows))
        for start in range(0, len(rows), _CHUNK):
            for problem in pool.map(examined, rows[start : start + _CHUNK]):
                progress.advance(bar)
                if problem is not None:
                    yield problem


def _summary(contents: Contents, max_words: int) -> Iterator[str]:
    """Counts of pictures, labels, captions and words."""
    rows = contents.rows
    counts = Counter(row.split for row in rows)
    splits = ", ".join(f"{split} {counts[split]:,}" for split in SPLITS)
    yield f"{contents.layout}: {len(rows):,} usable pictures ({splits}; {contents.how_split})"
    if not rows:
        return
    labels = Counter(label for row in rows if row.split == "train" for label in row.labels)
    if labels:
        several = sum(len(row.labels) > 1 for row in rows)
        fewest, most = min(labels.values()), max(labels.values())
        yield (
            f"labels: {len(labels):,} in training, of {fewest:,} to {most:,} pictures; {several:,} pictures have "
            "several: _scl recipes can be trained"
        )
    else:
        yield "labels: none: the plain recipes can be trained; _scl recipes need labels"
    lengths = [len(words_of(caption)) for row in rows for caption in row.captions]
    too_long = sum(length > max_words for length in lengths)
    yield (
        f"captions: {len(lengths) / len(rows):.1f} a picture, of {min(lengths)} to {max(lengths)} words (median "
        f"{median(lengths):g}); {too_long:,} have more than {max_words}, of which the first {max_words} are read"
    )
    words = {
        split: {word for row in rows if row.split == split for caption in row.captions for word in words_of(caption)}
        for split in SPLITS
    }
    unknown = len(words["test"] - words["train"])
    yield f"words: {len(words['train']):,} in training captions; {unknown:,} more in test captions, which are left out"
