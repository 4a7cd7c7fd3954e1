"""Evaluation of a folder of pictures of any program, against other pictures or their statistics."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sclgan import distributed
from sclgan.data.picture_files import PictureFolder
from sclgan.encoders.base import Tokenizer
from sclgan.encoders.damsm import DAMSM
from sclgan.evaluation.applicable import Offer
from sclgan.evaluation.batches import Encode, PictureBatch, encode_with, pictures_of
from sclgan.evaluation.comparison import given_reals, kind_of_reals
from sclgan.evaluation.engine import DEFAULTS, EvaluationOptions, Subject, evaluate
from sclgan.evaluation.measured import Measured
from sclgan.evaluation.protocols import EvaluationProtocol, protocols_named
from sclgan.evaluation.reals import NO_REALS, Reals
from sclgan.evaluation.results import Result
from sclgan.files import sha256_of
from sclgan.random import Stream, numpy_generator
from sclgan.runs.encoders import encoders_class, load_encoders
from sclgan.runs.evaluations import EVALUATIONS
from sclgan.runs.folder import ENCODERS, saved_recipe

log = logging.getLogger(__name__)


def evaluate_folder(
    path: Path,
    options: EvaluationOptions = DEFAULTS,
    *,
    encoders: Path | None = None,
    show: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Evaluates the pictures of a folder and appends the results to its records.

    Without `options.reals` only protocols that compare with nothing are left, and statistics can be saved.
    `options.num_images` takes a seeded choice of the pictures. `encoders` is a run, or a folder of `sclgan pretrain`
    or `import`: with captions, it gives R-precision. `show` is called with each result before it is recorded.

    Raises:
        ValueError: a protocol does not fit, a picture is damaged, or the real pictures do not fit.
        FileNotFoundError: there is no such folder, or no picture in it.
    """
    folder, named = PictureFolder(path), protocols_named(options.protocols)
    if any(protocol.needs_captions or protocol.metric == "diversity" for protocol in named):
        folder.check()
    numbers = _chosen(len(folder), options.num_images, options.seed)
    labels = [folder.labels[number] for number in numbers]
    offer = Offer(
        reals=kind_of_reals(options.reals),
        captions=folder.captions is not None,
        repeats_labels=len(set(labels)) < len(labels),
        damsm=encoders is not None and issubclass(encoders_class(saved_recipe(encoders)), DAMSM),
        plain_backgrounds=options.reals == "emoji",
        saves_statistics=options.save_statistics is not None,
    )
    about = {"pictures": str(path)} | ({} if encoders is None else {"encoders": str(encoders)})

    def pictures(chosen: Sequence[EvaluationProtocol]) -> Iterator[PictureBatch]:
        encode = None
        if encoders is not None and any(protocol.metric == "r_precision" for protocol in chosen):
            encode = _encoder(encoders, [(folder.captions or ())[number] for number in numbers])
        return pictures_of(folder, numbers, encode=encode, num_workers=options.num_workers)

    def reals(measured: Measured) -> Reals:
        if options.reals is None:
            return NO_REALS
        return given_reals(options.reals, measured, num_workers=options.num_workers)

    def encoders_sha256() -> str | None:
        return None if encoders is None else sha256_of(encoders / ENCODERS)

    subject = Subject(offer, pictures, reals, encoders_sha256, about, options.out or path / EVALUATIONS)
    return evaluate(subject, named, options, show=show)


def _chosen(num_pictures: int, num_images: int | None, seed: int) -> Sequence[int]:
    """The numbers of the pictures to evaluate, in order.

    Raises:
        ValueError: fewer than 2, or more than there are.
    """
    wanted = num_pictures if num_images is None else num_images
    if not 2 <= wanted <= num_pictures:
        raise ValueError(f"{wanted} of {num_pictures} pictures cannot be evaluated: ask for 2 to {num_pictures}")
    if wanted == num_pictures:
        return range(num_pictures)
    return sorted(numpy_generator(Stream.CHOICE, seed).permutation(num_pictures)[:wanted].tolist())


def _encoder(folder: Path, captions: Sequence[str]) -> Encode:
    """Codes by the pre-trained pair of a folder, which goes into the records; says what the pair was trained on."""
    recipe = saved_recipe(folder)
    pair, tokenizer = load_encoders(folder, recipe)
    if distributed.rank() == 0:
        unknown = _unknown_words(tokenizer, captions)
        log.info("R-precision by the encoders of %s, pre-trained for %s%s", folder, recipe.name, unknown)
    return encode_with(pair, lambda captions: pair.encode_text(tokenizer(captions).to(distributed.device())))


def _unknown_words(tokenizer: Tokenizer, captions: Sequence[str]) -> str:
    """A clause on the words of the captions that the encoders do not know; empty where they know all."""
    unknown: dict[str, None] = {}
    num_captions = 0
    for caption in captions:
        words = tokenizer.read(caption).unknown
        num_captions += bool(words)
        unknown |= dict.fromkeys(words)
    if not unknown:
        return ""
    examples = ", ".join(list(unknown)[:5]) + (", ..." if len(unknown) > 5 else "")
    return (
        f": {num_captions} of {len(captions)} captions have words that they never saw and leave out "
        f"({len(unknown)} words: {examples}), so the value says little of these pictures"
    )
