"""The results of an evaluation: a value, and everything that moves it (Parmar et al. 2022)."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from sclgan.evaluation.measured import Measured
from sclgan.evaluation.reals import NO_REALS, Reals
from sclgan.runs.machines import versions

RUN_ENCODERS = "the run's own encoders"


@dataclass(frozen=True)
class Result:
    """One value and what a reader needs to compare it.

    `floor` is the score of other real pictures under the same protocol: the value to aim at, not always the best
    possible. `interval` is of the kind `interval_kind`. `seconds` are those of the whole pass, shared by its results.
    `label` is the heading of its column: the protocol's name only if the number of samples is the protocol's.
    `num_reals` is None where a file of statistics does not state it; `reals_sha256` is that of such a file.
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
        """The result as numbers, strings, lists and dictionaries."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}

    def line(self) -> str:
        """The result for the terminal."""
        interval = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        floor = "" if self.floor is None else f", real pictures {self.floor:.4g}"
        weights = "" if self.weights_sha256 is None else f", {self.extractor} sha256 {self.weights_sha256[:12]}"
        details = f"{self.better} is better{floor}; n {self.num_samples}{weights}"
        return f"{self.label}: {self.value:.4g}{interval} ({details})"


def results_of(measured: Measured, reals: Reals, *, encoders_sha256: str | None = None) -> list[Result]:
    """The values of what was measured, against real pictures where a protocol compares with them.

    `encoders_sha256` goes into the result of a protocol that uses the run's own encoders.

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
        uses_encoders = protocol.metric == "r_precision"
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
                extractor=extractor.name if extractor else RUN_ENCODERS if uses_encoders else None,
                weights_sha256=extractor.weights_sha256 if extractor else encoders_sha256 if uses_encoders else None,
                seed=measured.seed,
                seconds=seconds,
                versions=versions(),
            )
        )
    return results


def _check_reals(reals: Reals, measured: Measured) -> None:
    comparing = [p for p in measured.protocols if measured.measures[p.name].needs_reference]
    for protocol in comparing:
        others = reals.compared_by(protocol)
        if others is NO_REALS:
            raise ValueError(f"{protocol.name} compares with real pictures, and none were given")
        if others.size is not None and (others.size, others.seed) != (measured.size, measured.seed):
            raise ValueError(
                f"real pictures were measured at {others.size} px with seed {others.seed}, "
                f"the generated ones have {measured.size} px and seed {measured.seed}: measure the real pictures again"
            )
        if protocol.name not in others.references:
            function = "measure_training" if protocol.num_fitted else "measure_reals"
            raise ValueError(f"real pictures were not measured for {protocol.name}: pass this protocol to {function}")
