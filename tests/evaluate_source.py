"""Evaluation of given pictures against a source, without a run or a folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sclgan.data.types import Source
from sclgan.evaluation.batches import Encode, PictureBatch
from sclgan.evaluation.measured import measure
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.evaluation.reals import Reals, measure_reals
from sclgan.evaluation.results import Result, results_of
from sclgan.evaluation.training_reals import measure_training
from sclgan.features.registry import Extractor


def evaluate(
    protocols: Sequence[EvaluationProtocol | str],
    reals: Source | Reals,
    fakes: Iterable[PictureBatch],
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
    """Results of generated pictures against `num_reals` of a source, or against what was measured before."""
    measured = measure(protocols, fakes, seed=seed, extractors=extractors)
    if not isinstance(reals, Reals):
        num_floor = measured.num_samples if floor else 0
        options: dict[str, Any] = {"size": measured.size, "num_floor": num_floor, "seed": seed, "cache": cache}
        held_out, extractors = reals, measured.extractors
        reals = measure_reals(measured.protocols, held_out, extractors, num_reals=num_reals, encode=encode, **options)
        fitted = [protocol for protocol in measured.protocols if protocol.num_fitted]
        if fitted and training is not None:
            reals = replace(reals, training=measure_training(fitted, training, held_out, extractors, **options))
    return results_of(measured, reals, encoders_sha256=encoders_sha256)
