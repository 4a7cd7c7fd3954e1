"""The evaluation engine: one pass over generated pictures serves every protocol.

Features -> statistics -> value, with everything that moves the value in the record (Parmar et al. 2022).
"""

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

import sclgan
from sclgan import distributed
from sclgan.data.types import Source
from sclgan.evaluation.kept import Encode, GeneratedBatch, KeptFeatures, Measure
from sclgan.evaluation.measures import Frechet, new_measure
from sclgan.evaluation.protocols import EvaluationProtocol, protocol_named
from sclgan.evaluation.reals import NO_REALS, Reals, measure_reals, update_all
from sclgan.evaluation.training_reals import measure_training
from sclgan.features.registry import EXTRACTORS, Extractor
from sclgan.metrics.statistics import Gaussian

RUN_ENCODERS = "the run's own encoders"


@dataclass(frozen=True)
class Result:
    """One value and what a reader needs to compare it.

    `floor` is what other real pictures score under the same protocol: the value to aim at, not always the best
    possible. `interval` is of the kind `interval_kind`. `seconds` are those of the whole pass, shared by its results.
    `label` is the heading of its column: the protocol's name only if the number of samples is the protocol's.
    `num_reals` is None where a file of statistics does not say it; `reals_sha256` is that of such a file.
    """

    protocol: str
    label: str
    value: float
    interval: tuple[float, float] | None
    interval_kind: str
    floor: float | None
    better: str
    num_samples: int
    num_reals: int | None
    num_floor: int
    source: str
    split: str
    reals_sha256: str | None
    extractor: str | None
    weights_sha256: str | None
    seed: int
    seconds: float
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Numbers, strings, lists and dictionaries only."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


@dataclass(frozen=True)
class Measured:
    """Generated pictures of every rank, as the protocols keep them.

    `sizes` are those of the pictures, (height, width). `curves` by protocol keep all features, where they were wanted.
    """

    protocols: tuple[EvaluationProtocol, ...]
    extractors: Mapping[str, Extractor]
    measures: Mapping[str, Measure]
    curves: Mapping[str, KeptFeatures]
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
        """The protocols that need no real pictures."""
        kept = tuple(p for p in self.protocols if not self.measures[p.name].needs_reference)
        return replace(self, protocols=kept, measures={p.name: self.measures[p.name] for p in kept}, curves={})

    def statistics(self) -> Gaussian:
        """Mean and covariance of the features of the only Frechet distance among the protocols; see `only_frechet`."""
        measure = self.measures[only_frechet(self.protocols).name]
        assert isinstance(measure, Frechet)
        return measure.gaussian


def only_frechet(protocols: Sequence[EvaluationProtocol]) -> EvaluationProtocol:
    """The Frechet distance among the protocols.

    Raises:
        ValueError: there is none, or several.
    """
    found = [protocol for protocol in protocols if protocol.metric == "frechet"]
    if len(found) != 1:
        names = ", ".join(protocol.name for protocol in found) or "none"
        raise ValueError(f"statistics are those of one Frechet distance, here is {names}: name one, such as fd_lite0")
    return found[0]


def evaluate(
    protocols: Sequence[EvaluationProtocol | str],
    reals: Source | Reals,
    fakes: Iterable[GeneratedBatch],
    *,
    training: Source | None = None,
    num_reals: int = 5_000,
    seed: int = 0,
    floor: bool = True,
    extractors: Mapping[str, Extractor] | None = None,
    encode: Encode | None = None,
    encoders_sha256: str | None = None,
    cache: Path | None = None,
) -> list[Result]:
    """Grades generated pictures under each protocol; every rank calls it with its own batches and gets all results.

    `fakes` is consumed once, lazily. `reals` is the held-out split, of which `num_reals` compositions at the size of
    the fakes are measured (and as many more as there are fakes, unless `floor` is False), or what `measure_reals`
    returned before. `training` is the split to which some protocols fit a classifier. `extractors` by name default to
    new ones on this rank's device. `encode` gives real pictures a floor in R-precision; `encoders_sha256` goes into its
    record. `cache` is a folder that keeps the features of real pictures.

    Raises:
        ValueError: a name is unknown or repeated; there are no fakes, or a sample twice; real pictures cannot be
            composed at their size, or were measured for other protocols, another size or seed; a metric refuses its
            input.
    """
    measured = measure_fakes(protocols, fakes, seed=seed, extractors=extractors)
    if not isinstance(reals, Reals):
        num_floor = measured.num_samples if floor else 0
        options: dict[str, Any] = {"size": measured.size, "num_floor": num_floor, "seed": seed, "cache": cache}
        held_out, extractors = reals, measured.extractors
        reals = measure_reals(measured.protocols, held_out, extractors, num_reals=num_reals, encode=encode, **options)
        fitted = [protocol for protocol in measured.protocols if protocol.num_fitted]
        if fitted and training is not None:
            reals = replace(reals, training=measure_training(fitted, training, held_out, extractors, **options))
    return grade(measured, reals, encoders_sha256=encoders_sha256)


def measure_fakes(
    protocols: Sequence[EvaluationProtocol | str],
    fakes: Iterable[GeneratedBatch],
    *,
    seed: int = 0,
    extractors: Mapping[str, Extractor] | None = None,
    keep_features: bool = False,
) -> Measured:
    """One pass over this rank's batches, each given to the measure of every protocol; all ranks get the same.

    `keep_features` holds the features of Frechet distances for `curve.bias_curve`: 246 MB for 30,000 x 2,048.

    Raises:
        ValueError: a name is unknown or repeated; there are no fakes, or a sample twice; a metric refuses its input.
    """
    began = time.perf_counter()
    chosen = tuple(protocol_named(p) if isinstance(p, str) else p for p in protocols)
    if len({p.name for p in chosen}) < len(chosen):
        raise ValueError(f"a protocol is repeated: {[p.name for p in chosen]}")
    extractors = _extractors(chosen, extractors)
    measures = {p.name: new_measure(p, extractors, seed) for p in chosen}
    curves = {
        p.name: KeptFeatures(p.extractor)
        for p in chosen
        if keep_features and p.metric == "frechet" and p.extractor is not None
    }
    indices: list[int] = []
    sizes: set[tuple[int, int]] = set()
    for batch in fakes:
        update_all([*measures.values(), *curves.values()], batch, extractors)
        indices += batch.indices.tolist()
        sizes.add((batch.images.shape[2], batch.images.shape[3]))
    parts = distributed.gather_objects((indices, sizes))
    every_index = [index for part, _ in parts for index in part]
    if not every_index:
        raise ValueError("there is no generated picture: the iterator of fakes was empty on every rank")
    if len(set(every_index)) < len(every_index):
        raise ValueError("a sample was given twice: number `indices` over all batches and ranks, and drop the padding")
    return Measured(
        chosen,
        extractors,
        {name: measure.over_ranks() for name, measure in measures.items()},
        {name: kept.over_ranks() for name, kept in curves.items()},
        len(every_index),
        frozenset().union(*(part for _, part in parts)),
        seed,
        began,
    )


def grade(measured: Measured, reals: Reals, *, encoders_sha256: str | None = None) -> list[Result]:
    """The values of what was measured, against real pictures where a protocol compares with them.

    Raises:
        ValueError: `reals` were measured for other protocols, another size or seed; a metric refuses its input.
    """
    _check_reals(reals, measured)
    compared = {p.name: reals.compared_by(p) for p in measured.protocols}
    estimates = {
        name: measure.estimate(compared[name].references.get(name)) for name, measure in measured.measures.items()
    }
    seconds = time.perf_counter() - measured.began
    results = []
    for protocol in measured.protocols:
        estimate = estimates[protocol.name]
        extractor = None if protocol.extractor is None else measured.extractors[protocol.extractor]
        grades_itself = protocol.metric == "r_precision"
        compares, others = measured.measures[protocol.name].needs_reference, compared[protocol.name]
        results.append(
            Result(
                protocol=protocol.name,
                label=protocol.label(measured.num_samples),
                value=estimate.value,
                interval=estimate.interval,
                interval_kind=estimate.kind,
                floor=others.floors.get(protocol.name),
                better=protocol.better,
                num_samples=measured.num_samples,
                num_reals=others.num_reals if compares else 0,
                num_floor=others.num_floor if protocol.name in others.floors else 0,
                source=others.source,
                split=others.split,
                reals_sha256=others.sha256,
                extractor=extractor.name if extractor else RUN_ENCODERS if grades_itself else None,
                weights_sha256=extractor.weights_sha256 if extractor else encoders_sha256 if grades_itself else None,
                seed=measured.seed,
                seconds=seconds,
                versions=_versions(),
            )
        )
    return results


def _extractors(
    protocols: Sequence[EvaluationProtocol], given: Mapping[str, Extractor] | None
) -> Mapping[str, Extractor]:
    names = {p.extractor for p in protocols if p.extractor is not None}
    if given is None:
        return {name: EXTRACTORS[name](device=distributed.device()) for name in sorted(names)}
    if names - given.keys():
        raise ValueError(f"the protocols need the extractors {sorted(names)}, given are {sorted(given)}")
    return {name: given[name] for name in sorted(names)}


def _check_reals(reals: Reals, measured: Measured) -> None:
    comparing = [p for p in measured.protocols if measured.measures[p.name].needs_reference]
    for protocol in comparing:
        others = reals.compared_by(protocol)
        if others is NO_REALS:
            raise ValueError(f"{protocol.name} compares with real pictures, and none were given")
        if others.size is not None and (others.size, others.seed) != (measured.size, measured.seed):
            raise ValueError(
                f"real pictures were measured at {others.size} px with seed {others.seed}, "
                f"the fakes have {measured.size} px and seed {measured.seed}: measure the real pictures again"
            )
        if protocol.name not in others.references:
            function = "measure_training" if protocol.num_fitted else "measure_reals"
            raise ValueError(f"real pictures were not measured for {protocol.name}: pass this protocol to {function}")


def _versions() -> dict[str, str]:
    return {
        "sclgan": sclgan.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
