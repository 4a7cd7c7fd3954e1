"""Evaluation of a run: generate from held-out captions once, grade under every protocol, keep the record."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from sclgan import distributed
from sclgan.data.emoji import Emoji
from sclgan.data.types import Source
from sclgan.grading import (
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
)
from sclgan.metrics.evaluate import Result, grade, measure_fakes
from sclgan.metrics.fitting import Offer
from sclgan.metrics.measures import GeneratedBatch
from sclgan.metrics.protocol import protocols_named
from sclgan.metrics.reals import composition, label_of
from sclgan.random import normal
from sclgan.recipe import construct
from sclgan.run import ENCODERS, Run, open_run, to_uint8
from sclgan.train.log import ProgressLine

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
    out: Path | None = None,
) -> list[Result]:
    """Grades a run under the named protocols, or all that fit its data, and appends the results to its records.

    Captions are those of held-out real pictures, each with its own noise: functions of (seed, number), the same for
    every run, batch size and number of ranks. As many real pictures are measured as are generated, of photographs at
    most all; `num_images` replaces the protocols' number. `reals` compares with others, see `given_reals`.
    `checkpoint` is "last", "best" or a step. `save_statistics` is an npz to write, `curve` a PNG, `out` the file of
    the records.

    Raises:
        ValueError: no such protocol, or one that does not fit; fewer than 2 images.
        FileNotFoundError: `folder` is no trained run, or one without that checkpoint.
    """
    run = open_run(folder, checkpoint)
    source: Source = construct(run.recipe.source, SPLIT)
    offer = Offer(
        reals=kind_of_reals(reals) if reals else "pictures",
        captions=True,
        several_a_label=num_images is None or num_images > len(source),
        encoders=True,
        emoji=isinstance(source, Emoji),
    )
    chosen = choose(protocols_named(protocols), offer)
    num_samples = max(protocol.num_samples for protocol in chosen) if num_images is None else num_images
    if num_samples < 2:
        raise ValueError(f"{num_samples} images cannot be graded: ask for at least 2, better the protocol's number")
    measured = measure_fakes(
        chosen, generated(run, source, num_samples, seed=seed), seed=seed, keep_features=curve is not None
    )
    if reals is None:
        # A photograph is there once, an emoji anew on every ground.
        num_reals = num_samples if isinstance(source, Emoji) else min(num_samples, len(source))
        has_floor = isinstance(source, Emoji) or num_reals + num_samples <= len(source)
        num_floor = num_samples if has_floor else 0
        encode = encode_with(run.encoders, run.encode)
        real = composed_reals(measured, source, num_reals=num_reals, num_floor=num_floor, encode=encode)
    else:
        real = given_reals(reals, measured)
    results = grade(measured, real, encoders_sha256=sha256_of(folder / ENCODERS))
    results = finish(results, measured, real, save_statistics=save_statistics, curve=curve)
    append_records(
        out or folder / RECORDS, results, {"recipe": run.recipe.name, "step": run.step, "checkpoint": checkpoint}
    )
    return results


def read_evaluations(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest record of each protocol, by the heading of its column."""
    path = folder / RECORDS
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {record["label"]: record for record in records}


@torch.no_grad()
def generated(run: Run, source: Source, num_samples: int, *, seed: int) -> Iterator[GeneratedBatch]:
    """This rank's share of the samples, in batches."""
    share = range(num_samples)[distributed.rank() :: distributed.world_size()]
    with ProgressLine(f"generating for {run.recipe.name}", total=len(share), done=0, unit_images=1) as progress:
        for start in range(0, len(share), BATCH):
            numbers = share[start : start + BATCH]
            drawn = [composition(source, i, run.recipe.image_size, seed, num_samples=num_samples) for i in numbers]
            rows, pictures = zip(*drawn, strict=True)
            captions = [picture.caption for picture in pictures]
            text = run.encode(captions)
            fake = run.generate(text, torch.cat([normal(1, run.gan.z_dim, seed, i) for i in numbers]))
            yield GeneratedBatch(
                indices=torch.tensor(list(numbers)),
                images=to_uint8(fake.image),
                captions=captions,
                labels=torch.tensor([label_of(source, row) for row in rows]),
                image_codes=run.gan.embed(fake).image,
                text_codes=text.sentence,
            )
            progress.advance(start + len(numbers))
