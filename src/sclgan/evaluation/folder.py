"""Evaluation of a folder of pictures, as any program leaves them, against other pictures or their statistics."""

from collections.abc import Sequence
from pathlib import Path

from sclgan.data.picture_files import PictureFolder
from sclgan.distributed import device
from sclgan.encoders.damsm import DAMSM
from sclgan.evaluation.applicable import Offer
from sclgan.evaluation.engine import Result, grade, measure_fakes
from sclgan.evaluation.grading import (
    RECORDS,
    append_records,
    choose,
    encode_with,
    finish,
    given_reals,
    kind_of_reals,
    pictures_of,
    sha256_of,
)
from sclgan.evaluation.kept import Encode
from sclgan.evaluation.protocols import protocols_named
from sclgan.evaluation.reals import NO_REALS
from sclgan.random import numpy_generator
from sclgan.runs.encoders import encoders_class, load_encoders
from sclgan.runs.folder import ENCODERS, saved_recipe


def evaluate_folder(
    path: Path,
    protocols: Sequence[str] = (),
    *,
    reals: str | None = None,
    encoders: Path | None = None,
    num_images: int | None = None,
    seed: int = 0,
    save_statistics: Path | None = None,
    curve: Path | None = None,
    out: Path | None = None,
    num_workers: int | None = None,
) -> list[Result]:
    """Grades the pictures of a folder under the named protocols, or all that fit, and appends to its records.

    `reals` is what to compare with, see `given_reals`; without it only protocols that compare with nothing are left,
    and statistics can be saved. `encoders` is a run, or a folder of `sclgan pretrain` or `import`: with captions, it
    gives R-precision. `num_images` grades a seeded choice of the pictures. The other arguments are those of
    `evaluate_run`; records go into the folder unless `out` says where.

    Raises:
        ValueError: a protocol does not fit, a picture is damaged, or the real pictures do not fit.
        FileNotFoundError: there is no such folder, or no picture in it.
    """
    folder, named = PictureFolder(path), protocols_named(protocols)
    if any(protocol.needs_captions or protocol.metric == "diversity" for protocol in named):
        folder.check()
    numbers = _chosen(len(folder), num_images, seed)
    labels = [folder.labels[number] for number in numbers]
    to_be_compared = kind_of_reals(reals)
    offer = Offer(
        # Statistics that are to be saved need no other pictures.
        reals="statistics" if reals is None and save_statistics is not None else to_be_compared,
        captions=folder.captions is not None,
        several_a_label=len(set(labels)) < len(labels),
        damsm=encoders is not None and issubclass(encoders_class(saved_recipe(encoders)), DAMSM),
        emoji=reals == "emoji",
    )
    chosen = choose(named, offer, save_statistics=save_statistics, curve=curve)
    encode = None
    if any(protocol.metric == "r_precision" for protocol in chosen):
        assert encoders is not None  # or the protocol did not fit
        encode = _encoder(encoders)
    batches = pictures_of(folder, numbers, title=f"reading {path}", encode=encode, num_workers=num_workers)
    measured = measure_fakes(chosen, batches, seed=seed, keep_features=curve is not None)
    if reals is None:
        finish([], measured, NO_REALS, save_statistics=save_statistics, curve=None)
        measured, real = measured.without_comparisons(), NO_REALS
    else:
        real = given_reals(reals, measured, num_workers=num_workers)
    encoders_sha256 = None if encode is None or encoders is None else sha256_of(encoders / ENCODERS)
    results = grade(measured, real, encoders_sha256=encoders_sha256)
    if reals is not None:
        results = finish(results, measured, real, save_statistics=save_statistics, curve=curve)
    append_records(out or path / RECORDS, results, {"pictures": str(path)})
    return results


def _chosen(num_pictures: int, num_images: int | None, seed: int) -> Sequence[int]:
    """The numbers of the pictures to grade, in order.

    Raises:
        ValueError: fewer than 2, or more than there are.
    """
    wanted = num_pictures if num_images is None else num_images
    if not 2 <= wanted <= num_pictures:
        raise ValueError(f"{wanted} of {num_pictures} pictures cannot be graded: ask for 2 to {num_pictures}")
    if wanted == num_pictures:
        return range(num_pictures)
    return sorted(numpy_generator(seed).permutation(num_pictures)[:wanted].tolist())


def _encoder(folder: Path) -> Encode:
    """Codes by the pre-trained pair of a folder."""
    pair, tokenizer = load_encoders(folder, saved_recipe(folder))
    return encode_with(pair, lambda captions: pair.encode_text(tokenizer(captions).to(device())))
