"""Real pictures for the metrics: the choice and order of rows, and the rows and statistics kept of them.

Every picture is a function of (seed, index), so that any number of ranks measures the same set.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sclgan import distributed
from sclgan.data.types import Picture, Source
from sclgan.evaluation.batches import BATCH, Encode, Features, PictureBatch, picture_batch
from sclgan.evaluation.measures import Frechet, Measure, new_measure
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.features.cache import Cached
from sclgan.features.registry import Extractor
from sclgan.files import sha256_of
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.probe import LinearProbe
from sclgan.random import Stream, numpy_generator


@dataclass(frozen=True)
class Reals:
    """Real pictures as the protocols keep them; measured once, they serve every checkpoint of a run.

    `references`, by protocol name, are compared with generated pictures. `floors` are the scores of `num_floor` other
    real pictures in place of generated ones. Where there are too few rows for both (fewer than num_reals + num_floor)
    the two sets share rows, composed anew, and the floor is that of a generator that knows these rows. `size` and
    `seed` are those of the composition, None for files. `sha256` is that of a file of statistics; `origin_unknown` if
    that file does not name its network.
    """

    references: Mapping[str, Measure | LinearProbe]
    floors: Mapping[str, float]
    num_reals: int | None
    num_floor: int
    size: int | None
    seed: int | None
    source: str
    split: str
    sha256: str | None = None
    origin_unknown: bool = False
    training: "Reals | None" = None
    """Pictures of the training split, for the protocols that fit a classifier to them; see `training_reals`."""

    def compared_by(self, protocol: EvaluationProtocol) -> "Reals":
        """The pictures that the protocol compares with."""
        return self.training if protocol.num_fitted and self.training is not None else self


NO_REALS = Reals({}, {}, 0, 0, None, None, "", "")
"""For evaluations in which no protocol compares with real pictures."""


@runtime_checkable
class Updated(Protocol):
    """Anything that takes batches."""

    def update(self, batch: PictureBatch, features: Features) -> None: ...


def row_of(num_rows: int, index: int, seed: int, *, num_samples: int) -> int:
    """The row of sample `index` of `num_samples`: of a seeded order if there are rows enough, else drawn at random.

    Rows that repeat are drawn independently: the kernel distance is unbiased for independent samples only, and a
    fixed number of repeats of each row would pull it below 0.
    """
    if num_samples <= num_rows:
        return int(_order(num_rows, seed)[index])
    return int(numpy_generator(Stream.GRADED_ROW, seed, index).integers(num_rows))


def composition(source: Source, index: int, size: int, seed: int, *, num_samples: int) -> tuple[int, Picture]:
    """The row and the picture of sample `index` of `num_samples`, not augmented, a function of (seed, index)."""
    row = row_of(len(source), index, seed, num_samples=num_samples)
    return row, source.picture(row, size, numpy_generator(Stream.GRADED_PICTURE, seed, index), augment=False)


def label_of(source: Source, row: int) -> int:
    """The label of a row for the metrics, the dominant one of several; a row with none gets one of its own."""
    labels = source.labels[row]
    return labels[0] if labels else len(source.label_names) + row


def measure_reals(
    protocols: Sequence[EvaluationProtocol],
    source: Source,
    extractors: Mapping[str, Extractor],
    *,
    size: int,
    num_reals: int,
    num_floor: int,
    seed: int,
    batch_size: int = BATCH,
    encode: Encode | None = None,
    cache: Path | None = None,
) -> Reals:
    """Measures samples [0, num_reals) as the reference, and the next `num_floor` in place of generated pictures.

    Without `encode` R-precision has no floor. `num_floor=0` leaves all floors out. Where a row always gives the same
    picture, as photographs do, choose `num_reals` no larger than the number of rows. `cache` is a folder that keeps
    their features.

    Raises:
        ValueError: the source has no rows.
    """
    if len(source) == 0:
        raise ValueError(f"the split {source.split!r} of {source.name!r} has no rows to compare with")
    compared = compared_with_held_out(protocols, extractors)
    of_floor = [p for p in protocols if not p.num_fitted and (p.metric != "r_precision" or encode is not None)]

    def measured(
        chosen: Sequence[EvaluationProtocol], start: int, stop: int, encode: Encode | None
    ) -> dict[str, Measure]:
        measures = {p.name: new_measure(p, extractors, seed) for p in chosen}
        used = with_cache(chosen, extractors, cache)
        if measures:
            for batch in composed(
                source, range(start, stop), stop, size, seed=seed, batch_size=batch_size, encode=encode
            ):
                update_all(measures.values(), batch, used)
        return {name: measure.over_ranks() for name, measure in measures.items()}

    references = measured(compared, 0, num_reals, None)
    others = measured(of_floor if num_floor else (), num_reals, num_reals + num_floor, encode)
    floors = {name: measure.estimate(references.get(name)).value for name, measure in others.items()}
    return Reals(references, floors, num_reals, num_floor, size, seed, source.name, source.split)


def measure_pictures(
    protocols: Sequence[EvaluationProtocol],
    batches: Iterable[PictureBatch],
    extractors: Mapping[str, Extractor],
    *,
    seed: int,
    source: str,
    cache: Path | None = None,
) -> Reals:
    """Measures real pictures that are files, this rank's batches of them; there are no floors.

    Raises:
        ValueError: there are fewer than two.
    """
    compared = compared_with_held_out(protocols, extractors)
    measures = {p.name: new_measure(p, extractors, seed) for p in compared}
    used = with_cache(compared, extractors, cache)
    num_own = 0
    for batch in batches:
        update_all(measures.values(), batch, used)
        num_own += len(batch.indices)
    num_reals = sum(distributed.gather_objects(num_own))
    if num_reals < 2:
        raise ValueError(f"{source} holds {num_reals} real pictures: nothing can be compared with fewer than 2")
    references = {name: measure.over_ranks() for name, measure in measures.items()}
    return Reals(references, {}, num_reals, 0, None, None, source, "")


def known_statistics(
    protocols: Sequence[EvaluationProtocol], path: Path, known: Gaussian, extractors: Mapping[str, Extractor]
) -> Reals:
    """Statistics of real pictures that the file `path` holds; for Frechet distances alone.

    Raises:
        ValueError: its features are not those of a protocol's extractor.
    """
    references: dict[str, Measure] = {}
    for protocol in protocols:
        if protocol.metric == "frechet" and protocol.extractor is not None:
            extractor = extractors[protocol.extractor]
            if len(known.mu) != extractor.num_features:
                raise ValueError(
                    f"{path} has {len(known.mu)} features, {protocol.name} has {extractor.num_features}: "
                    "the statistics are those of another network"
                )
            pairs = ((known.extractor, extractor.name), (known.weights_sha256, extractor.weights_sha256))
            for theirs, ours in pairs:
                if theirs not in (None, ours):
                    raise ValueError(f"{path} was made with {theirs}, {protocol.name} uses {ours}: measure it again")
            references[protocol.name] = Frechet(extractor, known=known)
    unknown, sha256 = known.extractor is None, sha256_of(path)
    return Reals(references, {}, known.num_samples, 0, None, None, str(path), "", sha256, origin_unknown=unknown)


def compared_with_held_out(
    protocols: Sequence[EvaluationProtocol], extractors: Mapping[str, Extractor]
) -> list[EvaluationProtocol]:
    """The protocols that compare with held-out pictures; those that fit a classifier compare with training pictures."""
    return [p for p in protocols if not p.num_fitted and new_measure(p, extractors, 0).needs_reference]


def update_all(measures: Iterable[Updated], batch: PictureBatch, extractors: Mapping[str, Extractor | Cached]) -> None:
    """Gives one batch to every measure; each extractor runs once."""
    features = {name: extractor(batch.images) for name, extractor in extractors.items()}
    for measure in measures:
        measure.update(batch, features)


def with_cache(
    protocols: Sequence[EvaluationProtocol], extractors: Mapping[str, Extractor], cache: Path | None
) -> dict[str, Extractor | Cached]:
    """The extractors of the protocols, which keep features in the folder `cache` if there is one."""
    chosen = {name: extractors[name] for name in sorted({p.extractor for p in protocols if p.extractor is not None})}
    return {name: Cached(one, cache) if cache is not None else one for name, one in chosen.items()}


def composed(
    source: Source,
    indices: range,
    num_samples: int,
    size: int,
    *,
    seed: int,
    batch_size: int = BATCH,
    encode: Encode | None = None,
) -> Iterator[PictureBatch]:
    """This rank's share of the samples with these numbers of `num_samples`, as `composition` makes them."""

    def drawn(index: int) -> tuple[int, Picture]:
        return composition(source, index, size, seed, num_samples=num_samples)

    return batches_of(drawn, lambda row: label_of(source, row), indices, batch_size=batch_size, encode=encode)


def batches_of(
    drawn: Callable[[int], tuple[int, Picture]],
    label: Callable[[int], int],
    indices: range,
    *,
    batch_size: int = BATCH,
    encode: Encode | None = None,
) -> Iterator[PictureBatch]:
    """This rank's share of the samples with these numbers; `drawn` gives the row and the picture of a number."""
    own = indices[distributed.rank() :: distributed.world_size()]
    for start in range(0, len(own), batch_size):
        numbers = own[start : start + batch_size]
        rows, pictures = zip(*map(drawn, numbers), strict=True)
        pixels, captions = [picture.pixels for picture in pictures], [picture.caption for picture in pictures]
        yield picture_batch(numbers, pixels, captions, [label(row) for row in rows], encode)


@lru_cache(maxsize=8)
def _order(num_rows: int, seed: int) -> np.ndarray:
    return numpy_generator(Stream.GRADED_ORDER, seed).permutation(num_rows)
