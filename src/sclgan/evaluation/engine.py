"""The evaluation engine: protocols are chosen, pictures measured once, values computed, shown and recorded.

A run and a folder of pictures are told apart by the adapters alone (`run.py`, `folder.py`), which describe their
pictures to the engine as a `Subject`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.distributed import arithmetic
from sclgan.evaluation.applicable import Offer, applicable
from sclgan.evaluation.batches import PictureBatch
from sclgan.evaluation.curve_picture import check_own_curves, write_curves
from sclgan.evaluation.measured import Measured, measure, only_frechet
from sclgan.evaluation.measures import Frechet
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.evaluation.reals import NO_REALS, Reals
from sclgan.evaluation.results import Result, results_of
from sclgan.metrics.curve import BiasCurve, bias_curve
from sclgan.metrics.gaussian import check_own_statistics
from sclgan.runs.evaluations import append_evaluations, check_own_records
from sclgan.runs.machines import machine

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation.

    `protocols` are names; without names, all that fit are measured. `num_images` replaces the number of pictures of
    the protocols. `seed` decides captions, noise and the choice of pictures. `reals` names real pictures to compare
    with, see `comparison.given_reals`. `save_statistics` is an npz to write, `curve` a PNG, `out` the file of the
    records. `num_workers` threads decode picture files.
    """

    protocols: Sequence[str] = ()
    num_images: int | None = None
    seed: int = 0
    reals: str | None = None
    save_statistics: Path | None = None
    curve: Path | None = None
    out: Path | None = None
    num_workers: int | None = None


DEFAULTS = EvaluationOptions()


@dataclass(frozen=True)
class Subject:
    """Generated pictures as an adapter describes them.

    `pictures` generates or reads them for the protocols that were chosen, `reals` measures the real ones that they are
    compared with (`NO_REALS` where there are none). `heading` is the column of a result. `about` and the results go
    into the file `records`, unless that is None.
    """

    offer: Offer
    pictures: Callable[[Sequence[EvaluationProtocol]], Iterator[PictureBatch]]
    reals: Callable[[Measured], Reals]
    encoders_sha256: Callable[[], str | None]
    about: Mapping[str, Any]
    records: Path | None
    heading: Callable[[Result], str] = lambda result: result.label


def evaluate(
    subject: Subject,
    named: Sequence[EvaluationProtocol],
    options: EvaluationOptions,
    *,
    show: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Measures the subject's pictures under the named protocols, or all that fit; every rank calls it.

    Each result is shown before anything is written, so that a full disk loses no value.

    Raises:
        ValueError: a named protocol does not fit, the files that are wanted do not belong to the protocols, or one of
            them is there and this package did not write it.
        OSError: a file cannot be written.
    """
    _check_own_files(options)
    chosen = _chosen(named, subject.offer, options)
    keep = options.curve is not None
    with arithmetic(distributed.device()):  # a protocol's networks are those of float32
        measured = measure(chosen, subject.pictures(chosen), seed=options.seed, keep_features=keep)
        reals = subject.reals(measured)
    compared = measured.without_comparisons() if reals is NO_REALS else measured
    curves = _curves(compared, reals)
    results = results_of(compared, reals, encoders_sha256=subject.encoders_sha256())
    results += [_limit(result, curves[result.protocol]) for result in results if result.protocol in curves]
    results = [replace(result, label=_heading(result, subject, reals)) for result in results]
    for result in results:
        show(result)
    if subject.records is not None:
        about = {**subject.about, "machine": machine()}
        append_evaluations(subject.records, [{**about, **result.to_json()} for result in results])
    if distributed.rank() == 0:
        if options.save_statistics is not None:
            measured.statistics().save(options.save_statistics)
        if options.curve is not None:
            write_curves(options.curve, curves)
    return results


def _check_own_files(options: EvaluationOptions) -> None:
    if options.save_statistics is not None:
        check_own_statistics(options.save_statistics)
    if options.curve is not None:
        check_own_curves(options.curve)
    if options.out is not None:
        check_own_records(options.out)


def _chosen(named: Sequence[EvaluationProtocol], offer: Offer, options: EvaluationOptions) -> list[EvaluationProtocol]:
    """The named protocols, or all that fit; logs what is left out and why."""
    chosen, left_out = applicable(named, offer)
    if options.save_statistics is not None:
        only_frechet(chosen)
    if options.curve is not None and (offer.reals == "none" or not any(p.metric == "frechet" for p in chosen)):
        raise ValueError("a curve is that of a Frechet distance from real pictures: name one, such as fd_lite0")
    if distributed.rank() == 0:
        for reason in dict.fromkeys(left_out.values()):
            names = [name for name, other in left_out.items() if other == reason]
            log.info("%s left out: %s", ", ".join(names), reason)
    return chosen


def _curves(measured: Measured, reals: Reals) -> dict[str, BiasCurve]:
    """The bias curve of each protocol whose features were kept, computed by rank 0."""
    curves: dict[str, BiasCurve] = {}
    if distributed.rank() == 0:
        for name in measured.kept:
            reference = reals.references[name]
            assert isinstance(reference, Frechet)
            curves[name] = bias_curve(measured.features(name), reference.gaussian, seed=measured.seed)
    first: dict[str, BiasCurve] = distributed.gather_objects(curves)[0]
    return first


def _limit(result: Result, curve: BiasCurve) -> Result:
    """The value at infinitely many samples, as a result of its own."""
    return replace(
        result,
        label=f"{result.label}_infinity",
        value=curve.limit.value,
        interval=curve.limit.interval,
        interval_kind=curve.limit.kind,
        floor=None,
    )


def _heading(result: Result, subject: Subject, reals: Reals) -> str:
    """The heading of a result's column; statistics of unknown origin have columns of their own."""
    unknown = reals.origin_unknown and result.num_reals != 0 and result.reals_sha256 is not None
    return subject.heading(result) + (f" ({Path(reals.source).name} names no network)" if unknown else "")
