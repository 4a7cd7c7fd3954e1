"""Evaluation of a run: pictures are generated from held-out captions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sclgan import distributed, models
from sclgan.data.pixels import to_8_bits
from sclgan.data.types import Source
from sclgan.encoders.damsm import DAMSM
from sclgan.evaluation.applicable import Offer
from sclgan.evaluation.batches import BATCH, PictureBatch, encode_with, with_progress
from sclgan.evaluation.comparison import composed_reals, given_reals, kind_of_reals, with_training
from sclgan.evaluation.engine import DEFAULTS, EvaluationOptions, Subject, evaluate
from sclgan.evaluation.measured import Measured
from sclgan.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocols_named
from sclgan.evaluation.reals import Reals, composition, label_of
from sclgan.evaluation.results import Result
from sclgan.evaluation.saved_pictures import saved
from sclgan.evaluation.training_reals import why_none
from sclgan.files import sha256_of
from sclgan.random import Stream, normal
from sclgan.runs.encoders import encoders_file
from sclgan.runs.evaluations import EVALUATIONS
from sclgan.runs.opened import Run, open_run

SPLIT = "test"


def evaluate_run(
    folder: Path,
    options: EvaluationOptions = DEFAULTS,
    *,
    checkpoint: str = "last",
    save_pictures: Path | None = None,
    show: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Evaluates a run and appends the results to its records.

    Captions are those of held-out real pictures, each with its own noise: functions of (seed, number), the same for
    every run, batch size and number of ranks. As many real pictures are measured as are generated, of photographs at
    most all. A classifier is fitted to the run's own training split, whatever `options.reals` is. `checkpoint` is
    "last", "best" or a step; `save_pictures` is a new folder for the generated pictures. A model that comes with the
    package has no records unless `options.out` is given. `show` is called with each result before it is recorded.

    Raises:
        ValueError: there is no such protocol, or it does not fit; fewer than 2 images.
        FileNotFoundError: `folder` is not a trained run, or has no such checkpoint.
        FloatingPointError: the generator draws NaN or infinity.
    """
    run = open_run(folder, checkpoint)
    source: Source = run.recipe.source(SPLIT)
    named = protocols_named(options.protocols)
    offer, training = _offer(run, source, named, options)

    def pictures(chosen: Sequence[EvaluationProtocol]) -> Iterator[PictureBatch]:
        number = options.num_images
        num_samples = max(protocol.num_samples for protocol in chosen) if number is None else number
        if num_samples < 2:
            raise ValueError(
                f"{num_samples} images cannot be evaluated: ask for at least 2, better the protocol's number"
            )
        batches = generated(run, source, num_samples, seed=options.seed, codes=_use_encoders(chosen))
        batches = with_progress(batches, f"generating for {run.recipe.name}", num_samples)
        return batches if save_pictures is None else saved(batches, save_pictures)

    def reals(measured: Measured) -> Reals:
        if options.reals is None:
            encode = encode_with(run.encoders, run.encode) if _use_encoders(measured.protocols) else None
            compared = composed_reals(measured, source, encode=encode)
        else:
            compared = given_reals(options.reals, measured, num_workers=options.num_workers)
        return with_training(compared, measured, training, source)

    def heading(result: Result) -> str:
        """Results of another checkpoint or against other real pictures have columns of their own."""
        own_reals = options.reals is None or result.num_reals == 0 or PROTOCOLS[result.protocol].num_fitted
        against = "" if own_reals else f" against {Path(options.reals or '').name}"
        return result.label + against + ("" if checkpoint == "last" else f" ({checkpoint})")

    about = {"recipe": run.recipe.name, "step": run.step, "checkpoint": checkpoint}
    # A model is whole, and may be where packages are installed or models cached: no place for records.
    records = options.out or (None if models.is_model(folder) else folder / EVALUATIONS)
    subject = Subject(offer, pictures, reals, lambda: sha256_of(encoders_file(folder)), about, records, heading)
    return evaluate(subject, named, options, show=show)


def _offer(
    run: Run, source: Source, named: Sequence[EvaluationProtocol], options: EvaluationOptions
) -> tuple[Offer, Source | None]:
    """Known facts about the pictures, and the training split if a protocol may fit a classifier to it."""
    own_photographs = options.reals is None and not source.composes
    offer = Offer(
        reals="pictures" if options.reals is None else kind_of_reals(options.reals),
        captions=True,
        repeats_labels=options.num_images is None or options.num_images > len(source) or _labels_repeat(source),
        damsm=isinstance(run.encoders, DAMSM),
        plain_backgrounds=source.plain_backgrounds,
        num_reals=len(source) if own_photographs else None,
    )
    if named and not any(protocol.num_fitted for protocol in named):
        return offer, None
    try:
        training = run.recipe.source("train")
    except FileNotFoundError as error:
        reason = f"fits a classifier to training pictures, which are not here: {error}"
        return replace(offer, no_classifier=reason), None
    return replace(offer, no_classifier=why_none(training, source)), training


def _use_encoders(protocols: Sequence[EvaluationProtocol]) -> bool:
    return any(protocol.metric == "r_precision" for protocol in protocols)


def _labels_repeat(source: Source) -> bool:
    dominant = [own[0] for own in source.labels if own]
    return len(set(dominant)) < len(dominant)


@torch.no_grad()
def generated(run: Run, source: Source, num_samples: int, *, seed: int, codes: bool = False) -> Iterator[PictureBatch]:
    """This rank's share of the samples, in batches; `codes` adds those that R-precision compares.

    Raises:
        FloatingPointError: a generated picture holds NaN or infinity.
    """
    share = range(num_samples)[distributed.rank() :: distributed.world_size()]
    for start in range(0, len(share), BATCH):
        numbers = share[start : start + BATCH]
        drawn = [composition(source, i, run.recipe.image_size, seed, num_samples=num_samples) for i in numbers]
        rows, pictures = zip(*drawn, strict=True)
        captions = [picture.caption for picture in pictures]
        text = run.encode(captions)
        fake = run.generate(text, torch.cat([normal(1, run.gan.z_dim, Stream.GRADED_NOISE, seed, i) for i in numbers]))
        finite = fake.image.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            num_wrong = int((~finite).sum())
            raise FloatingPointError(
                f"{run.folder}: the generator of step {run.step} draws NaN or infinity in {num_wrong} of "
                f"{len(numbers)} pictures: the training diverged; evaluate an earlier "
                "checkpoint (--checkpoint best, or a step), or train again with a lower learning rate"
            )
        yield PictureBatch(
            indices=torch.tensor(list(numbers)),
            images=to_8_bits(fake.image),
            captions=captions,
            labels=torch.tensor([label_of(source, row) for row in rows]),
            image_codes=run.gan.embed(fake).image if codes else None,
            text_codes=text.sentence if codes else None,
        )
