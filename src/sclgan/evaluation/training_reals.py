"""Real training pictures for the protocols that fit a classifier to them, and the score of held-out pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from sclgan.data.types import Picture, Source
from sclgan.evaluation.batches import BATCH, PictureBatch
from sclgan.evaluation.measures import Measure, RowMeasure, new_measure
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.evaluation.reals import Reals, batches_of, composed, label_of, row_of, update_all, with_cache
from sclgan.features.cache import cached_fit
from sclgan.features.registry import Extractor
from sclgan.random import Stream, numpy_generator

MOST = 10_000
"""The largest number of training pictures that a classifier is fitted to."""


def why_none(training: Source, held_out: Source) -> str | None:
    """Why a classifier fitted to these training pictures would not know the held-out labels; None if it would."""
    learned, asked = ({source.label_names[own[0]] for own in source.labels if own} for source in (training, held_out))
    what = f"the split {training.split!r} of {training.name!r}"
    if not learned:
        return f"needs labels, and {what} has none: label every picture, or use fd_lite2 and kid_lite2"
    if len(learned) < 2:
        return f"tells labels apart, and {what} has only one, {next(iter(learned))!r}: add pictures of others"
    if not learned & asked:
        return (
            f"needs held-out captions of labels that were trained on, and no label of {what}, such as "
            f"{min(learned)!r}, is in the split {held_out.split!r}: use fd_lite2 and kid_lite2"
        )
    return None


def num_fitted(training: Source, protocol: EvaluationProtocol) -> int:
    """The number of training pictures: every labelled row equally often, until the protocol's number is reached.

    At most `MOST`, of as many rows.
    """
    num_rows = sum(map(bool, training.labels))
    return min(num_rows * -(-protocol.num_fitted // num_rows), MOST)


def measure_training(
    protocols: Sequence[EvaluationProtocol],
    training: Source,
    held_out: Source,
    extractors: Mapping[str, Extractor],
    *,
    size: int,
    num_floor: int,
    seed: int,
    batch_size: int = BATCH,
    cache: Path | None = None,
) -> Reals:
    """Measures training pictures for those protocols that fit to them, which share one classifier per extractor.

    The pictures are augmented as in training, functions of (seed, number). The floor is the score of samples
    [0, `num_floor`) of the held-out split; 0 leaves it out. Labels are matched with the held-out
    split's by name.

    Raises:
        ValueError: no classifier can be fitted, see `why_none`.
    """
    if (reason := why_none(training, held_out)) is not None:
        raise ValueError(f"{', '.join(p.name for p in protocols)}: {reason}")
    number = max(num_fitted(training, protocol) for protocol in protocols)
    used = with_cache(protocols, extractors, cache)

    def measured(chosen: Mapping[str, EvaluationProtocol], batches: Iterator[PictureBatch]) -> dict[str, Measure]:
        measures = {name: new_measure(protocol, extractors, seed) for name, protocol in chosen.items()}
        for batch in batches:
            update_all(measures.values(), batch, used)
        return {name: measure.over_ranks() for name, measure in measures.items()}

    classifiers = measured(
        {f"{p.extractor}": p for p in protocols}, _pictures(training, held_out, number, size, seed, batch_size)
    )
    probes = {}
    for extractor, pictures in classifiers.items():
        assert isinstance(pictures, RowMeasure)
        rows = pictures.rows.whole()
        probes[extractor] = cached_fit(rows["features"], rows["labels"], cache)
    references = {p.name: probes[f"{p.extractor}"] for p in protocols}
    floors = {}
    if num_floor:
        others = composed(held_out, range(num_floor), num_floor, size, seed=seed, batch_size=batch_size)
        of_held_out = measured({p.name: p for p in protocols}, others)
        floors = {name: measure.estimate(references[name]).value for name, measure in of_held_out.items()}
    return Reals(references, floors, number, num_floor, size, seed, training.name, training.split)


def _pictures(
    training: Source, held_out: Source, number: int, size: int, seed: int, batch_size: int
) -> Iterator[PictureBatch]:
    """This rank's share of the training pictures: every labelled row once in a seeded order, then in another."""
    rows = [row for row, own in enumerate(training.labels) if own]
    renumbered = _renumbered(training, held_out)

    def drawn(index: int) -> tuple[int, Picture]:
        turn, place = divmod(index, len(rows))
        row = rows[row_of(len(rows), place, seed + turn, num_samples=len(rows))]
        return row, training.picture(row, size, numpy_generator(Stream.FITTED_PICTURE, seed, index), augment=True)

    for batch in batches_of(drawn, lambda row: label_of(training, row), range(number), batch_size=batch_size):
        yield replace(batch, labels=renumbered[batch.labels])


def _renumbered(training: Source, held_out: Source) -> Int[Tensor, " l"]:
    """The held-out number of each label of the training split, by its name; an unused number if it has none."""
    if list(training.label_names) == list(held_out.label_names):
        return torch.arange(len(training.label_names))
    number_of = {name: number for number, name in enumerate(held_out.label_names)}
    first_free = len(held_out.label_names) + len(held_out)  # rows without labels have numbers of their own
    return torch.tensor([number_of.get(name, first_free + label) for label, name in enumerate(training.label_names)])
