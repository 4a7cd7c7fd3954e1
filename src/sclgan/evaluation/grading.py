"""What evaluations of runs and of folders share: choosing protocols, finding real pictures, keeping the record."""

import hashlib
import json
import logging
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.data import sources
from sclgan.data.picture_files import PictureFolder, decoded_ahead, refuse_run
from sclgan.data.sets.emoji import Emoji
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders, TextCodes
from sclgan.evaluation import packaged_statistics as shipped
from sclgan.evaluation.applicable import Offer, RealsAre, fitting
from sclgan.evaluation.curve_picture import write_curves
from sclgan.evaluation.engine import Measured, Result, only_frechet
from sclgan.evaluation.kept import Encode, GeneratedBatch
from sclgan.evaluation.measures import Frechet
from sclgan.evaluation.protocols import EvaluationProtocol
from sclgan.evaluation.reals import Reals, known_statistics, measure_pictures, measure_reals
from sclgan.evaluation.training_reals import measure_training
from sclgan.features.cache import cache_folder
from sclgan.metrics.curve import bias_curve
from sclgan.metrics.statistics import Gaussian
from sclgan.progress import ProgressLine

log = logging.getLogger(__name__)

RECORDS = "evaluations.jsonl"
BATCH = 64
BATCH_PIXELS = 2**24  # bounds the memory that a batch of large pictures takes
WAITING = 8 * BATCH  # decoded pictures of all sizes that wait for a full batch of their size


def choose(
    named: Sequence[EvaluationProtocol], offer: Offer, *, save_statistics: Path | None, curve: Path | None
) -> list[EvaluationProtocol]:
    """The protocols that are named, or all that fit; says what is left out and why.

    Raises:
        ValueError: one that is named does not fit, or the files that are wanted are not theirs to give.
    """
    chosen, left_out = fitting(named, offer)
    if save_statistics is not None:
        only_frechet(chosen)
    if curve is not None and (offer.reals == "none" or not any(p.metric == "frechet" for p in chosen)):
        raise ValueError("a curve is that of a Frechet distance from real pictures: name one, such as fd_lite0")
    if distributed.rank() == 0:
        for reason in dict.fromkeys(left_out.values()):
            names = [name for name, other in left_out.items() if other == reason]
            log.info("%s left out: %s", ", ".join(names), reason)
    return chosen


def kind_of_reals(given: str | None) -> RealsAre:
    """What `--reals` names.

    Raises:
        FileNotFoundError: nothing that `given_reals` could read.
        ValueError: the folder of a run.
    """
    if given is None:
        return "none"
    path = Path(given)
    refuse_run(path)
    if path.is_dir() or given in sources.SOURCES:
        return "pictures"
    if given == shipped.NAME:
        return "statistics"
    if path.suffix != ".npz" or not path.is_file():
        known = ", ".join([*sources.SOURCES, shipped.NAME])
        raise FileNotFoundError(f"--reals {given} is no folder, no .npz file and no data set ({known})")
    return "statistics"


def given_reals(given: str, measured: Measured, *, num_workers: int | None = None) -> Reals:
    """Real pictures as the user names them: a folder of pictures, an npz of statistics, or what the package has.

    Raises:
        FileNotFoundError: it is none of these.
        ValueError: its content does not fit; see `known_statistics`, `PictureFolder`, `Measured.size`.
    """
    path = Path(given)
    if kind_of_reals(given) == "statistics":
        path, known = (shipped.PATH, shipped.shipped()) if given == shipped.NAME else (path, Gaussian.load(path))
        return known_statistics(measured.protocols, path, known, measured.extractors)
    if path.is_dir():
        folder = PictureFolder(path)
        batches = pictures_of(folder, range(len(folder)), title=f"reading {path}", num_workers=num_workers)
        return measure_pictures(
            measured.protocols,
            batches,
            measured.extractors,
            seed=measured.seed,
            source=str(path),
            cache=cache_folder(),
        )
    source = sources.source(given, "test")
    return composed_reals(measured, source, num_floor=0)


def composed_reals(
    measured: Measured, source: Source, *, num_floor: int | None = None, encode: Encode | None = None
) -> Reals:
    """Held-out pictures of a source at the size of the generated ones; their features are kept for the next time.

    As many are measured as were generated, of photographs at most all. None measures as many once more for the
    floors, where there are so many.
    """
    # A photograph is there once, an emoji anew on every ground.
    num_samples, composes = measured.num_samples, isinstance(source, Emoji)
    num_reals = num_samples if composes else min(num_samples, len(source))
    if num_floor is None:
        num_floor = num_samples if composes or num_reals + num_samples <= len(source) else 0
    return measure_reals(
        measured.protocols,
        source,
        measured.extractors,
        size=measured.size,
        num_reals=num_reals,
        num_floor=num_floor,
        seed=measured.seed,
        encode=encode,
        cache=cache_folder(),
    )


def with_training(
    reals: Reals, measured: Measured, training: Source | None, held_out: Source, *, floor: bool = True
) -> Reals:
    """The same with pictures of the training split, where a protocol fits a classifier to them.

    The floor is of as many held-out pictures as were generated, of photographs at most all.

    Raises:
        ValueError: no classifier can be fitted, see `training_reals.why_none`.
    """
    fitted = [protocol for protocol in measured.protocols if protocol.num_fitted]
    if not fitted or training is None:
        return reals
    num_floor = measured.num_samples if isinstance(held_out, Emoji) else min(measured.num_samples, len(held_out))
    pictures = measure_training(
        fitted,
        training,
        held_out,
        measured.extractors,
        size=measured.size,
        num_floor=num_floor if floor else 0,
        seed=measured.seed,
        cache=cache_folder(),
    )
    return replace(reals, training=pictures)


def encode_with(encoders: Encoders, encode_text: Callable[[Sequence[str]], TextCodes]) -> Encode:
    """Codes of 8-bit pictures and of captions, by a pair of pre-trained encoders."""

    @torch.no_grad()
    def encode(
        images: UInt8[Tensor, "b 3 h w"], captions: Sequence[str]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        pixels = images.to(distributed.device()).float() / 127.5 - 1
        return encoders.encode_image(pixels).image, encode_text(captions).sentence

    return encode


def finish(
    results: list[Result], measured: Measured, reals: Reals, *, save_statistics: Path | None, curve: Path | None
) -> list[Result]:
    """Writes statistics and curve where they are wanted; the results with the curves' limits."""
    if save_statistics is not None and distributed.rank() == 0:
        measured.statistics().save(save_statistics)
    if curve is None:
        return results
    curves = {}
    if distributed.rank() == 0:
        for name, kept in measured.curves.items():
            reference = reals.references[name]
            assert isinstance(reference, Frechet)
            curves[name] = bias_curve(kept.rows, reference.gaussian, seed=measured.seed)
        write_curves(curve, curves)
    curves = distributed.gather_objects(curves)[0]
    limits = [
        replace(
            result,
            label=f"{result.label}_infinity",
            value=curves[result.protocol].limit.value,
            interval=curves[result.protocol].limit.interval,
            interval_kind=curves[result.protocol].limit.kind,
            floor=None,
        )
        for result in results
        if result.protocol in curves
    ]
    return results + limits


def append_records(path: Path, results: Sequence[Result], about: Mapping[str, Any]) -> None:
    """Appends a line for each result; `about` says what was graded."""
    if distributed.rank() == 0 and results:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for result in results:
                file.write(json.dumps({**about, **result.to_json(), "machine": machine()}) + "\n")


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures_of(
    folder: PictureFolder,
    numbers: Sequence[int],
    *,
    title: str,
    encode: Encode | None = None,
    num_workers: int | None = None,
) -> Iterator[GeneratedBatch]:
    """This rank's share of the files with these numbers, in batches of one size, decoded ahead by threads.

    Files of other sizes wait until theirs fill a batch, or too many wait. `encode` adds codes of pictures and
    captions.
    """

    def batches() -> Iterator[GeneratedBatch]:
        own = numbers[distributed.rank() :: distributed.world_size()]
        waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
        for place, pixels in decoded_ahead([folder.files[number] for number in own], num_workers):
            alike = waiting.setdefault(pixels.shape, [])
            alike.append((own[place], pixels))
            held = {size: len(rows) * size[0] * size[1] for size, rows in waiting.items()}
            full = len(alike) == BATCH or held[pixels.shape] >= BATCH_PIXELS
            if full or sum(map(len, waiting.values())) > WAITING or sum(held.values()) > 4 * BATCH_PIXELS:
                yield _batch(folder, waiting.pop(pixels.shape if full else max(held, key=held.__getitem__)), encode)
        for rest in waiting.values():
            yield _batch(folder, rest, encode)

    return shown(batches(), title, len(numbers))


def shown(batches: Iterator[GeneratedBatch], title: str, num_pictures: int) -> Iterator[GeneratedBatch]:
    """The batches, with a line of progress; `num_pictures` are those of all ranks."""
    own = len(range(num_pictures)[distributed.rank() :: distributed.world_size()])
    with ProgressLine(title, total=own, done=0, unit_images=1) as progress:
        for batch in batches:
            yield batch
            progress.advance(progress.done + len(batch.indices))


def _batch(folder: PictureFolder, rows: list[tuple[int, np.ndarray]], encode: Encode | None) -> GeneratedBatch:
    numbers = [number for number, _ in rows]
    images = torch.from_numpy(np.stack([pixels for _, pixels in rows])).permute(0, 3, 1, 2).contiguous()
    captions = [folder.captions[number] if folder.captions else "" for number in numbers]
    codes: tuple[Tensor | None, Tensor | None] = (None, None) if encode is None else encode(images, captions)
    labels = torch.tensor([folder.labels[number] for number in numbers])
    return GeneratedBatch(torch.tensor(numbers), images, captions, labels, *codes)


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
