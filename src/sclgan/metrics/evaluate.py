"""The evaluation engine: one pass over generated pictures serves every protocol.

Features -> statistics -> value, with everything that moves the value in the record (Parmar et al. 2022).
"""

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import sclgan
from sclgan import distributed
from sclgan.data.types import Source
from sclgan.metrics.features import EXTRACTORS, Extractor
from sclgan.metrics.measures import Encode, GeneratedBatch, Measure, new_measure
from sclgan.metrics.protocol import EvaluationProtocol, protocol_named
from sclgan.metrics.reals import Reals, measure_reals, update_all

RUN_ENCODERS = "the run's own encoders"


@dataclass(frozen=True)
class Result:
    """One value and what a reader needs to compare it.

    `floor` is what other real pictures score under the same protocol: the value to aim at, not always the best
    possible. `interval` is of the kind `interval_kind`. `seconds` are those of the whole pass, shared by its results.
    `label` is the heading of its column: the protocol's name only if the number of samples is the protocol's.
    """

    protocol: str
    label: str
    value: float
    interval: tuple[float, float] | None
    interval_kind: str
    floor: float | None
    better: str
    num_samples: int
    num_reals: int
    num_floor: int
    source: str
    split: str
    extractor: str | None
    weights_sha256: str | None
    seed: int
    seconds: float
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Numbers, strings, lists and dictionaries only."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


def evaluate(
    protocols: Sequence[EvaluationProtocol | str],
    reals: Source | Reals,
    fakes: Iterable[GeneratedBatch],
    *,
    num_reals: int = 5_000,
    seed: int = 0,
    floor: bool = True,
    extractors: Mapping[str, Extractor] | None = None,
    encode: Encode | None = None,
    encoders_sha256: str | None = None,
) -> list[Result]:
    """Grades generated pictures under each protocol; every rank calls it with its own batches and gets all results.

    `fakes` is consumed once, lazily. `reals` is the held-out split, of which `num_reals` compositions at the size of
    the fakes are measured (and as many more as there are fakes, unless `floor` is False), or what `measure_reals`
    returned before. `extractors` by name default to new ones on this rank's device. `encode` gives real pictures a
    floor in R-precision; `encoders_sha256` goes into its record.

    Raises:
        ValueError: a name is unknown or repeated; there are no fakes, of different sizes, or a sample twice; `reals`
            were measured for other protocols, another size or seed; a metric refuses its input.
    """
    started = time.perf_counter()
    chosen = [protocol_named(p) if isinstance(p, str) else p for p in protocols]
    if len({p.name for p in chosen}) < len(chosen):
        raise ValueError(f"a protocol is repeated: {[p.name for p in chosen]}")
    extractors = _extractors(chosen, extractors)
    measures = {p.name: new_measure(p, extractors, seed) for p in chosen}

    num_samples, size = _measure_fakes(measures, fakes, extractors)
    whole = {name: measure.over_ranks() for name, measure in measures.items()}
    if not isinstance(reals, Reals):
        num_floor = num_samples if floor else 0
        options: dict[str, Any] = {"size": size, "num_reals": num_reals, "num_floor": num_floor, "seed": seed}
        reals = measure_reals(chosen, reals, extractors, encode=encode, **options)
    _check_reals(reals, whole, size, seed)

    estimates = {name: measure.estimate(reals.references.get(name)) for name, measure in whole.items()}
    seconds = time.perf_counter() - started
    results = []
    for protocol in chosen:
        estimate = estimates[protocol.name]
        extractor = None if protocol.extractor is None else extractors[protocol.extractor]
        grades_itself = protocol.metric == "r_precision"
        results.append(
            Result(
                protocol=protocol.name,
                label=protocol.label(num_samples),
                value=estimate.value,
                interval=estimate.interval,
                interval_kind=estimate.kind,
                floor=reals.floors.get(protocol.name),
                better=protocol.better,
                num_samples=num_samples,
                num_reals=reals.num_reals if whole[protocol.name].needs_reference else 0,
                num_floor=reals.num_floor if protocol.name in reals.floors else 0,
                source=reals.source,
                split=reals.split,
                extractor=extractor.name if extractor else RUN_ENCODERS if grades_itself else None,
                weights_sha256=extractor.weights_sha256 if extractor else encoders_sha256 if grades_itself else None,
                seed=seed,
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


def _measure_fakes(
    measures: Mapping[str, Measure], fakes: Iterable[GeneratedBatch], extractors: Mapping[str, Extractor]
) -> tuple[int, int]:
    """Feeds this rank's batches to the measures; returns the number of samples on all ranks and their size."""
    indices: list[int] = []
    sizes: set[tuple[int, ...]] = set()
    for batch in fakes:
        update_all(measures.values(), batch, extractors)
        indices += batch.indices.tolist()
        sizes.add(tuple(batch.images.shape[2:]))
    parts = distributed.gather_objects((indices, sizes))
    every_index = [index for part, _ in parts for index in part]
    every_size = set().union(*(part for _, part in parts))
    if not every_index:
        raise ValueError("there is no generated picture: the iterator of fakes was empty on every rank")
    if len(set(every_index)) < len(every_index):
        raise ValueError("a sample was given twice: number `indices` over all batches and ranks, and drop the padding")
    if len(every_size) > 1 or any(height != width for height, width in every_size):
        raise ValueError(f"generated pictures have sizes {sorted(every_size)}; expected one square size")
    return len(every_index), every_size.pop()[0]


def _check_reals(reals: Reals, measures: Mapping[str, Measure], size: int, seed: int) -> None:
    if (reals.size, reals.seed) != (size, seed):
        raise ValueError(
            f"real pictures were measured at {reals.size} px with seed {reals.seed}, "
            f"the fakes have {size} px and seed {seed}: measure the real pictures again"
        )
    missing = {name for name, measure in measures.items() if measure.needs_reference} - reals.references.keys()
    if missing:
        raise ValueError(
            f"real pictures were not measured for {sorted(missing)}: pass these protocols to measure_reals"
        )


def _versions() -> dict[str, str]:
    return {
        "sclgan": sclgan.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
