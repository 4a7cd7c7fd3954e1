"""One pass over generated pictures, which serves every protocol."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from jaxtyping import Float
from torch import Tensor

from sclgan import distributed
from sclgan.evaluation.batches import PictureBatch
from sclgan.evaluation.measures import Frechet, Measure, RowMeasure, kept_features, new_measure
from sclgan.evaluation.protocols import EvaluationProtocol, protocol_named
from sclgan.evaluation.reals import update_all
from sclgan.features.registry import EXTRACTORS, Extractor
from sclgan.metrics.gaussian import Gaussian


@dataclass(frozen=True)
class Measured:
    """Generated pictures of every rank, as the protocols keep them.

    `sizes` are (height, width) of the pictures. `kept` holds, by protocol, all features of Frechet distances, where
    they were wanted.
    """

    protocols: tuple[EvaluationProtocol, ...]
    extractors: Mapping[str, Extractor]
    measures: Mapping[str, Measure]
    kept: Mapping[str, RowMeasure]
    num_samples: int
    sizes: frozenset[tuple[int, int]]
    seed: int
    began: float

    @property
    def size(self) -> int:
        """The side of the pictures in pixels.

        Raises:
            ValueError: they have different sizes, or are not square.
        """
        height, width = min(self.sizes)
        if len(self.sizes) > 1 or height != width:
            raise ValueError(
                f"generated pictures have sizes {sorted(self.sizes)[:5]}; real ones can be composed at one square "
                "size alone: give real pictures as files, or generate at one size"
            )
        return height

    def without_comparisons(self) -> "Measured":
        """The same for the protocols that need no real pictures."""
        kept = tuple(p for p in self.protocols if not self.measures[p.name].needs_reference)
        return replace(self, protocols=kept, measures={p.name: self.measures[p.name] for p in kept}, kept={})

    def statistics(self) -> Gaussian:
        """Mean and covariance of the features of the only Frechet distance among the protocols; see `only_frechet`."""
        measure = self.measures[only_frechet(self.protocols).name]
        assert isinstance(measure, Frechet)
        return measure.gaussian

    def features(self, protocol: str) -> Float[Tensor, "n d"]:
        """The features that were kept for a protocol, in the order of the samples' numbers."""
        return self.kept[protocol].rows.whole()["features"]


def only_frechet(protocols: Sequence[EvaluationProtocol]) -> EvaluationProtocol:
    """The Frechet distance among the protocols.

    Raises:
        ValueError: there is not exactly one.
    """
    found = [protocol for protocol in protocols if protocol.metric == "frechet"]
    if len(found) != 1:
        names = ", ".join(protocol.name for protocol in found) or "none"
        raise ValueError(f"statistics are those of one Frechet distance, given is {names}: name one, such as fd_lite0")
    return found[0]


def measure(
    protocols: Sequence[EvaluationProtocol | str],
    pictures: Iterable[PictureBatch],
    *,
    seed: int = 0,
    extractors: Mapping[str, Extractor] | None = None,
    keep_features: bool = False,
) -> Measured:
    """Gives this rank's batches to the accumulator of every protocol, in one pass; all ranks get the same result.

    `extractors` by name are new ones on this rank's device unless given. `keep_features` holds the features of Frechet
    distances, from which `metrics.curve.bias_curve` is made: 246 MB for 30,000 x 2,048.

    Raises:
        ValueError: a name is unknown or repeated; there are no pictures, or a sample twice; a metric refuses its input.
    """
    began = time.perf_counter()
    chosen = tuple(protocol_named(p) if isinstance(p, str) else p for p in protocols)
    if len({p.name for p in chosen}) < len(chosen):
        raise ValueError(f"a protocol is repeated: {[p.name for p in chosen]}")
    extractors = _extractors(chosen, extractors)
    measures = {p.name: new_measure(p, extractors, seed) for p in chosen}
    kept = {
        p.name: RowMeasure(kept_features(extractors[p.extractor]), _no_value)
        for p in chosen
        if keep_features and p.metric == "frechet" and p.extractor is not None
    }
    indices: list[int] = []
    sizes: set[tuple[int, int]] = set()
    for batch in pictures:
        update_all([*measures.values(), *kept.values()], batch, extractors)
        indices += batch.indices.tolist()
        sizes.add((batch.images.shape[2], batch.images.shape[3]))
    parts = distributed.gather_objects((indices, sizes))
    every_index = [index for part, _ in parts for index in part]
    if not every_index:
        raise ValueError("no pictures were given: the iterator was empty on every rank")
    if len(set(every_index)) < len(every_index):
        raise ValueError("a sample was given twice: number `indices` over all batches and ranks, and drop the padding")
    return Measured(
        chosen,
        extractors,
        {name: measure.over_ranks() for name, measure in measures.items()},
        {name: measure.over_ranks() for name, measure in kept.items()},
        len(every_index),
        frozenset().union(*(part for _, part in parts)),
        seed,
        began,
    )


def _no_value(*_: object) -> NoReturn:
    raise TypeError("these rows are kept for a curve, which is not an estimate")


def _extractors(
    protocols: Sequence[EvaluationProtocol], given: Mapping[str, Extractor] | None
) -> Mapping[str, Extractor]:
    names = {p.extractor for p in protocols if p.extractor is not None}
    if given is None:
        return {name: EXTRACTORS[name](device=distributed.device()) for name in sorted(names)}
    if names - given.keys():
        raise ValueError(f"the protocols need the extractors {sorted(names)}, given are {sorted(given)}")
    return {name: given[name] for name in sorted(names)}
