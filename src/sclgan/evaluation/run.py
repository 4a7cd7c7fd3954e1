"""Evaluation of a run: generate from held-out captions once, grade under every protocol, keep the record."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sclgan import distributed, models
from sclgan.data.pixels import to_8_bits
from sclgan.data.sets.emoji import Emoji
from sclgan.data.sets.own.table import NAMES
from sclgan.data.types import Source
from sclgan.encoders.damsm import DAMSM
from sclgan.evaluation.applicable import Offer
from sclgan.evaluation.engine import Result, grade, measure_fakes
from sclgan.evaluation.grading import (
    BATCH,
    RECORDS,
    append_records,
    choose,
    composed_reals,
    encode_with,
    finish,
    given_reals,
    kind_of_reals,
    sha256_of,
    shown,
    with_training,
)
from sclgan.evaluation.kept import GeneratedBatch
from sclgan.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocols_named
from sclgan.evaluation.reals import composition, label_of
from sclgan.evaluation.training_reals import why_none
from sclgan.files import write_atomically
from sclgan.random import normal
from sclgan.runs.encoders import encoders_file
from sclgan.runs.opened import Run, open_run

SPLIT = "test"


def evaluate_run(
    folder: Path,
    protocols: Sequence[str] = (),
    *,
    num_images: int | None = None,
    seed: int = 0,
    checkpoint: str = "last",
    reals: str | None = None,
    save_statistics: Path | None = None,
    curve: Path | None = None,
    save_pictures: Path | None = None,
    out: Path | None = None,
) -> list[Result]:
    """Grades a run under the named protocols, or all that fit its data, and appends the results to its records.

    Captions are those of held-out real pictures, each with its own noise: functions of (seed, number), the same for
    every run, batch size and number of ranks. As many real pictures are measured as are generated, of photographs at
    most all; `num_images` replaces the protocols' number. `reals` compares with others, see `given_reals`;
    a classifier is fitted to the run's own training split whatever it is.
    `checkpoint` is "last", "best" or a step. `save_statistics` is an npz to write, `curve` a PNG,
    `save_pictures` a new folder for the graded pictures, `out` the file of the records; a model that comes with the
    package has none unless it is given.

    Raises:
        ValueError: no such protocol, or one that does not fit; fewer than 2 images.
        FileNotFoundError: `folder` is no trained run, or one without that checkpoint.
    """
    run = open_run(folder, checkpoint)
    source = run.recipe.source(SPLIT)
    named = protocols_named(protocols)
    offer, training = _offered(run, source, named, num_images=num_images, reals=reals)
    chosen = choose(named, offer, save_statistics=save_statistics, curve=curve)
    num_samples = max(protocol.num_samples for protocol in chosen) if num_images is None else num_images
    if num_samples < 2:
        raise ValueError(f"{num_samples} images cannot be graded: ask for at least 2, better the protocol's number")
    codes = any(protocol.metric == "r_precision" for protocol in chosen)
    fakes = generated(run, source, num_samples, seed=seed, codes=codes)
    fakes = shown(fakes, f"generating for {run.recipe.name}", num_samples)
    if save_pictures is not None:
        fakes = saved(fakes, save_pictures)
    measured = measure_fakes(chosen, fakes, seed=seed, keep_features=curve is not None)
    if reals is None:
        encode = encode_with(run.encoders, run.encode) if codes else None
        real = composed_reals(measured, source, encode=encode)
    else:
        real = given_reals(reals, measured)
    real = with_training(real, measured, training, source)
    results = grade(measured, real, encoders_sha256=sha256_of(encoders_file(folder)))
    results = finish(results, measured, real, save_statistics=save_statistics, curve=curve)
    results = [replace(result, label=_label(result, checkpoint, reals)) for result in results]
    if out is None and models.comes_with_the_package(folder):
        return results  # where packages are installed is no place for records
    append_records(
        out or folder / RECORDS, results, {"recipe": run.recipe.name, "step": run.step, "checkpoint": checkpoint}
    )
    return results


def _offered(
    run: Run, source: Source, named: Sequence[EvaluationProtocol], *, num_images: int | None, reals: str | None
) -> tuple[Offer, Source | None]:
    """What there is to grade, and the training split where a protocol may fit a classifier to it."""
    offer = Offer(
        reals=kind_of_reals(reals) if reals is not None else "pictures",
        captions=True,
        several_a_label=num_images is None or num_images > len(source) or _labels_repeat(source),
        damsm=isinstance(run.encoders, DAMSM),
        emoji=isinstance(source, Emoji),
    )
    if named and not any(protocol.num_fitted for protocol in named):
        return offer, None
    try:
        training = run.recipe.source("train")
    except FileNotFoundError as error:
        reason = f"fits a classifier to training pictures, which are not here: {error}"
        return replace(offer, no_classifier=reason), None
    return replace(offer, no_classifier=why_none(training, source)), training


def _label(result: Result, checkpoint: str, reals: str | None) -> str:
    """The heading of a result's column: another checkpoint or other real pictures have columns of their own."""
    own_reals = reals is None or result.num_reals == 0 or PROTOCOLS[result.protocol].num_fitted
    other_reals = "" if own_reals else f" against {Path(reals or '').name}"
    return result.label + other_reals + ("" if checkpoint == "last" else f" ({checkpoint})")


def saved(batches: Iterator[GeneratedBatch], folder: Path) -> Iterator[GeneratedBatch]:
    """The batches, each also written: NUMBER.png, and captions and labels in metadata.jsonl, as `PictureFolder` reads.

    Raises:
        ValueError: the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something: --save-pictures names a new folder")
    distributed.barrier()  # every rank has looked before one writes
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[tuple[int, dict[str, Any]]] = []
    for batch in batches:
        pixels = batch.images.permute(0, 2, 3, 1).cpu().numpy()
        rows = zip(batch.indices.tolist(), pixels, batch.captions, batch.labels.tolist(), strict=True)
        for index, picture, caption, label in rows:
            name = f"{index:06d}.png"
            Image.fromarray(picture).save(folder / name)
            entries.append((index, {"file_name": name, "text": caption, "label": label}))
        yield batch
    every = sorted((entry for part in distributed.gather_objects(entries) for entry in part), key=lambda e: e[0])
    if distributed.rank() == 0:
        write_atomically(folder / NAMES[0], "".join(json.dumps(entry) + "\n" for _, entry in every).encode())


def read_evaluations(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest record of each protocol, by the heading of its column."""
    path = folder / RECORDS
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {record["label"]: record for record in records}


def _labels_repeat(source: Source) -> bool:
    dominant = [own[0] for own in source.labels if own]
    return len(set(dominant)) < len(dominant)


@torch.no_grad()
def generated(
    run: Run, source: Source, num_samples: int, *, seed: int, codes: bool = False
) -> Iterator[GeneratedBatch]:
    """This rank's share of the samples, in batches; `codes` adds those that R-precision compares."""
    share = range(num_samples)[distributed.rank() :: distributed.world_size()]
    for start in range(0, len(share), BATCH):
        numbers = share[start : start + BATCH]
        drawn = [composition(source, i, run.recipe.image_size, seed, num_samples=num_samples) for i in numbers]
        rows, pictures = zip(*drawn, strict=True)
        captions = [picture.caption for picture in pictures]
        text = run.encode(captions)
        fake = run.generate(text, torch.cat([normal(1, run.gan.z_dim, seed, i) for i in numbers]))
        yield GeneratedBatch(
            indices=torch.tensor(list(numbers)),
            images=to_8_bits(fake.image),
            captions=captions,
            labels=torch.tensor([label_of(source, row) for row in rows]),
            image_codes=run.gan.embed(fake).image if codes else None,
            text_codes=text.sentence if codes else None,
        )
