"""Evaluation of a run: generate from held-out captions once, grade under every protocol, keep the record."""

import hashlib
import json
import logging
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.data.emoji import Emoji
from sclgan.data.types import Source
from sclgan.metrics.evaluate import Result, evaluate
from sclgan.metrics.features import available
from sclgan.metrics.measures import GeneratedBatch
from sclgan.metrics.protocol import PROTOCOLS, EvaluationProtocol, protocols_named
from sclgan.metrics.reals import composition, label_of
from sclgan.random import normal
from sclgan.recipe import construct
from sclgan.run import ENCODERS, Run, open_run, to_uint8
from sclgan.train.log import ProgressLine

log = logging.getLogger(__name__)

BATCH = 64
SPLIT = "test"
RECORDS = "evaluations.jsonl"


def evaluate_run(
    folder: Path, protocols: Sequence[str] = (), *, num_images: int | None = None, seed: int = 0
) -> list[Result]:
    """Grades a run under the named protocols, or all that fit its data, and appends the results to its records.

    Captions are those of held-out real pictures, each with its own noise: functions of (seed, number), the same for
    every run, batch size and number of ranks. As many real pictures are measured as are generated, of photographs at
    most all; `num_images` replaces the protocols' number.

    Raises:
        ValueError: no such protocol, or fewer than 2 images.
        FileNotFoundError: `folder` is no trained run.
    """
    run = open_run(folder)
    source: Source = construct(run.recipe.source, SPLIT)
    chosen = protocols_named(protocols) or _fitting(source, num_images)
    num_samples = max(protocol.num_samples for protocol in chosen) if num_images is None else num_images
    if num_samples < 2:
        raise ValueError(f"{num_samples} images cannot be graded: ask for at least 2, better the protocol's number")

    @torch.no_grad()
    def encode(
        images: UInt8[Tensor, "b 3 h w"], captions: Sequence[str]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        pixels = images.to(distributed.device()).float() / 127.5 - 1
        return run.encoders.encode_image(pixels).image, run.encode(captions).sentence

    # A photograph is there once, an emoji anew on every ground.
    num_reals = num_samples if isinstance(source, Emoji) else min(num_samples, len(source))
    results = evaluate(
        chosen,
        source,
        generated(run, source, num_samples, seed=seed),
        num_reals=num_reals,
        floor=isinstance(source, Emoji) or num_reals + num_samples <= len(source),
        seed=seed,
        encode=encode,
        encoders_sha256=hashlib.sha256((folder / ENCODERS).read_bytes()).hexdigest(),
    )
    if distributed.rank() == 0:
        with (folder / RECORDS).open("a") as file:
            for result in results:
                record = {"recipe": run.recipe.name, "step": run.step, **result.to_json(), "machine": machine()}
                file.write(json.dumps(record) + "\n")
    return results


def _fitting(source: Source, num_images: int | None) -> list[EvaluationProtocol]:
    """The protocols that mean something for these data and so many images, and whose weights are here."""
    left_out = {name: _unfit(protocol, source, num_images) for name, protocol in PROTOCOLS.items()}
    if distributed.rank() == 0:
        for name, reason in left_out.items():
            if reason is not None:
                log.info("%s left out: %s", name, reason)
    return [protocol for name, protocol in PROTOCOLS.items() if left_out[name] is None]


def _unfit(protocol: EvaluationProtocol, source: Source, num_images: int | None) -> str | None:
    """Why a protocol that nobody named is left out, or None."""
    if protocol.metric == "ground" and not isinstance(source, Emoji):
        return "the data name no ground"
    if protocol.metric == "diversity" and num_images is not None and num_images <= len(source):
        return "too few images for several of each picture's label"
    if protocol.name == "r_precision":
        return "r_precision_damsm is the same on fewer pictures; name it to have it"
    return available(protocol)


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


def machine() -> str:
    """The accelerator, or the processor and the threads used on it."""
    if torch.cuda.is_available():
        return f"{distributed.world_size()} x {torch.cuda.get_device_name()}"
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else []
    return f"{models[0] if models else platform.processor()}, threads: {torch.get_num_threads()}"


def line(result: Result) -> str:
    """A result for the terminal."""
    interval = "" if result.interval is None else f" [{result.interval[0]:.4g}, {result.interval[1]:.4g}]"
    floor = "" if result.floor is None else f", real pictures {result.floor:.4g}"
    weights = "" if result.weights_sha256 is None else f", {result.extractor} sha256 {result.weights_sha256[:12]}"
    count = f"n {result.num_samples}"
    return f"{result.label}: {result.value:.4g}{interval} ({result.better} is better{floor}; {count}{weights})"
