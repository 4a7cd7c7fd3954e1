"""The two phases as runs: pre-train a recipe's encoders, train its GAN, each into a folder and resumable."""

import copy
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torchvision.utils import save_image

from sclgan import distributed
from sclgan.data.captions import report_unknown
from sclgan.data.packs.read import Packed
from sclgan.data.packs.stream import Streamed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import NamedClasses, Source
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced, write_atomically
from sclgan.gans import augmentation, feature_discriminator
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.feature_discriminator import WithFeatureDiscriminator
from sclgan.random import normal, numpy_generator
from sclgan.recipe import Pretraining, Recipe, Training, class_of
from sclgan.recipe_fields import check_ranges
from sclgan.runs.encoders import encoders_class, load_encoders, save_encoders
from sclgan.runs.folder import ENCODERS, claim, pretraining_parts, saved_recipe
from sclgan.runs.opened import Run
from sclgan.runs.records import read_metrics
from sclgan.train import loop, schedule
from sclgan.train.constructors import check_constructors
from sclgan.train.ema import decay_of
from sclgan.train.evaluator import evaluations, protocols_of
from sclgan.train.gan import GANPhase
from sclgan.train.label_terms import LABEL_TERMS, NEED_TWO_VIEWS
from sclgan.train.pretrain import PretrainingPhase
from sclgan.train.scores import retrieval, zero_shot

log = logging.getLogger(__name__)

GRID = 8  # captions and noises of a sample grid


def pretrain(recipe: Recipe, out: Path, *, stream: str | None = None, num_workers: int = 0) -> None:
    """Phase 1 into the folder `out`. `encoders.safetensors` is the epoch with the best retrieval so far.

    With `stream` the training pictures come from these shards instead, see `Streamed`; the recipe's source must be a
    pack, which gives the vocabulary, the labels and the held-out rows.

    Raises:
        ValueError: the recipe, the data or the folder do not fit; see `claim`, `PairedBatches`.
    """
    settings = recipe.pretraining
    _check(recipe)
    source = recipe.source("train")
    held_out = recipe.source("test")
    unseen = recipe.source(source.unseen_split) if isinstance(source, NamedClasses) else None
    tokenizer = encoders_class(recipe).tokenizer.of(source.captions(), max_words=recipe.max_words)
    image_size = settings.image_size or recipe.image_size
    batches = _batches(recipe, source, tokenizer, settings, image_size, stream)
    claim(out, recipe, pretraining_parts)
    if distributed.rank() == 0:
        report_unknown(tokenizer.unknown_words, held_out.captions(), "test captions")

    torch.manual_seed(recipe.seed)
    encoders = recipe.encoders(tokenizer.num_tokens)
    if "cross_entropy" in settings.weights:
        if not source.label_names:
            raise ValueError(f"'{source.name}' has no labels, and 'cross_entropy' tells them apart: leave it out")
        encoders.add_label_classifier(len(source.label_names))
    if settings.projection is not None:
        encoders.add_projection(settings.projection)
    encoders.to(distributed.device()).train()
    phase = PretrainingPhase(encoders, settings, steps_per_epoch=batches.steps_per_epoch)

    def score(step: int) -> dict[str, float]:
        """Scores on held-out pictures; keeps the weights where retrieval is the best so far."""
        if distributed.rank():
            return {}
        values = retrieval(encoders, held_out, tokenizer, image_size=image_size, seed=recipe.seed)
        record = {f"retrieval/{name}": value for name, value in values.items()}
        if unseen is not None:
            values = zero_shot(encoders, unseen, tokenizer, image_size=image_size, seed=recipe.seed)
            record |= {f"zero_shot/{name}": value for name, value in values.items()}
        before = [r for r in read_metrics(out) if "retrieval/mean" in r and r["step"] < step]
        if record["retrieval/mean"] >= max((r["retrieval/mean"] for r in before), default=0.0):
            save_encoders(out, encoders, tokenizer)
        return record

    loop.run(
        phase,
        batches,
        out,
        title=f"pre-training {recipe.name}",
        steps=settings.steps,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        hooks=[loop.Hook(batches.steps_per_epoch, score, at_start=True)],
        num_workers=num_workers,
    )
    distributed.barrier()


def train(
    recipe: Recipe, out: Path, *, encoders: Path | None = None, stream: str | None = None, num_workers: int = 0
) -> None:
    """Phase 2 into the folder `out`, with the pre-trained encoders of the folder `encoders`.

    Without them phase 1 runs first, into `out`/pretraining. The encoders that were used are copied into `out`.
    `stream` is as in `pretrain`.

    Raises:
        ValueError: the recipe, the data, the encoders or the folder do not fit.
    """
    settings = recipe.training
    _check(recipe)
    source = recipe.source("train")
    claim(out, recipe)
    _provide_encoders(recipe, out, encoders, stream, num_workers)
    pair, tokenizer = load_encoders(out, recipe)
    wants, has = recipe.pretraining.projection is not None, pair.projection is not None
    if "contrast" in settings.generator_weights and wants != has:
        raise ValueError(
            f"pretraining.projection is {recipe.pretraining.projection}, but the encoders were pre-trained "
            f"{'with' if has else 'without'} a head for the contrast: set it as there, or give others with --encoders"
        )
    batches = _batches(recipe, source, tokenizer, settings, recipe.image_size, stream)
    if distributed.rank() == 0 and encoders is not None:  # pre-trained on other captions, perhaps
        report_unknown(tokenizer.unknown_words, source.captions(), "training captions")

    torch.manual_seed(recipe.seed)
    gan = recipe.gan(pair, image_size=recipe.image_size)
    judged = with_feature_discriminator(gan, recipe, pair)
    for network in (judged.generator, judged.discriminator):
        network.to(distributed.device()).train()
    phase = GANPhase(judged, pair, settings, seed=recipe.seed)
    drawing = copy.copy(gan)
    drawing.generator = phase.averaged.average.eval()
    grid = SampleGrid(recipe, drawing, pair, tokenizer, out / "grids")
    loop.run(
        phase,
        batches,
        out,
        title=f"training {recipe.name}",
        steps=settings.steps,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        hooks=[
            *([loop.Hook(settings.grid_every, grid.save)] if settings.grid_every else []),
            *evaluations(Run(out, recipe, 0, pair, tokenizer, drawing)),
        ],
        num_workers=num_workers,
    )
    distributed.barrier()


def with_feature_discriminator(gan: TextToImageGAN, recipe: Recipe, encoders: Encoders) -> TextToImageGAN:
    """The GAN as it is trained: with the feature discriminator that the recipe asks for, if it does."""
    if recipe.feature_discriminator is None:
        return gan
    return WithFeatureDiscriminator(gan, encoders, recipe.feature_discriminator(encoders))


def _check(recipe: Recipe) -> None:
    """Fails on what is wrong with a recipe before anything is written or pre-trained."""
    check_ranges(recipe)
    check_constructors(recipe)
    gan: type[TextToImageGAN] = class_of(recipe.gan)
    discriminator_terms, generator_terms = gan.discriminator_term_names, gan.generator_term_names
    if recipe.feature_discriminator is not None:
        discriminator_terms |= feature_discriminator.DISCRIMINATOR_TERMS
        generator_terms |= feature_discriminator.GENERATOR_TERMS
    phases = {"pretraining": recipe.pretraining.weights, "training": recipe.training.generator_weights}
    for phase, weights in phases.items():
        settings: Pretraining | Training = getattr(recipe, phase)
        for name in sorted(NEED_TWO_VIEWS & weights.keys()):
            if settings.num_views < 2:
                raise ValueError(f"{phase}: '{name}' compares two views: set num_views=2, or leave it out")
        distributed.own_rows(settings.batch_size)  # refuses what does not divide among the ranks
    if recipe.pretraining.projection is not None and "contrast" not in recipe.pretraining.weights:
        raise ValueError("pretraining.projection is a head of 'contrast', which pretraining.weights does not name")
    protocols_of(recipe.training)
    schedule.check(recipe.training)
    decay_of(recipe.training)
    augmentation.check(recipe.training.augment)
    tables = {
        "generator_weights": (recipe.training.generator_weights.keys() - LABEL_TERMS, generator_terms),
        "discriminator_weights": (
            [name for weights in recipe.training.discriminator_weights for name in weights],
            discriminator_terms,
        ),
    }
    for table, (named, computed) in tables.items():
        if sorted(named) != sorted(computed):
            raise ValueError(f"training.{table} names {sorted(named)}, but {gan.__name__} computes {sorted(computed)}")


def _provide_encoders(recipe: Recipe, out: Path, given: Path | None, stream: str | None, num_workers: int) -> None:
    """Puts pre-trained encoders into the run folder, once: those given, or its own."""
    has_them = (out / ENCODERS).exists()
    distributed.barrier()  # every rank has looked before one writes
    if has_them:
        if given is not None and (given / ENCODERS).read_bytes() != (out / ENCODERS).read_bytes():
            raise ValueError(f"{out} was begun with other encoders than those of {given}: give another --out")
        return
    if given is None:
        given = out / "pretraining"
        pretrain(recipe, given, stream=stream, num_workers=num_workers)
    elif distributed.rank() == 0:
        _report_unfinished(given)
    pair, tokenizer = load_encoders(given, recipe)
    if distributed.rank() == 0:
        save_encoders(out, pair, tokenizer)
    distributed.barrier()


def _report_unfinished(folder: Path) -> None:
    """Warns where the pre-training of a folder was interrupted: it holds the best encoders so far, perhaps step 0's."""
    scored = [record["step"] for record in read_metrics(folder) if "retrieval/mean" in record]
    if scored and max(scored) < (steps := saved_recipe(folder).pretraining.steps):
        log.warning(
            "the pre-training of %s is not finished: its encoders are the best of those up to step %d of %d; "
            "to finish it, repeat its `sclgan pretrain`",
            folder,
            max(scored),
            steps,
        )


def _batches(
    recipe: Recipe,
    source: Source,
    tokenizer: Tokenizer,
    phase: Pretraining | Training,
    image_size: int,
    stream: str | None,
) -> PairedBatches | Streamed:
    make: Callable[..., PairedBatches | Streamed] = PairedBatches
    if stream is not None:
        if not isinstance(source, Packed):
            raise ValueError(f"--stream needs a pack beside it, for vocabulary and labels, not '{source.name}': --data")
        make = partial(Streamed, stream)
    return make(
        source,
        tokenizer,
        num_views=phase.num_views,
        batch_size=phase.batch_size,
        image_size=image_size,
        seed=recipe.seed,
        label_rule=recipe.label_rule,
        thin_to=recipe.max_words if recipe.long_captions == "thin" else None,
    )


class SampleGrid:
    """Held-out captions in rows, fixed noises in columns, as `gan` draws them; rank 0 only."""

    def __init__(
        self, recipe: Recipe, gan: TextToImageGAN, encoders: Encoders, tokenizer: Tokenizer, folder: Path
    ) -> None:
        held_out = recipe.source("test")
        rows = numpy_generator(recipe.seed).permutation(len(held_out))[:GRID]
        pictures = [held_out.picture(int(r), recipe.image_size, numpy_generator(recipe.seed, int(r))) for r in rows]
        self.captions = [picture.caption for picture in pictures]
        self.gan, self.encoders, self.folder = gan, encoders, folder
        self._tokens = tokenizer(self.captions)
        self._z = normal(GRID, gan.z_dim, recipe.seed).repeat(len(rows), 1)
        if distributed.rank() == 0:
            write_atomically(folder / "captions.txt", "".join(f"{c}\n" for c in self.captions).encode())

    @torch.no_grad()
    def save(self, step: int) -> None:
        """Writes step_00001000.png."""
        if distributed.rank():
            return
        device = distributed.device()
        text = self.encoders.encode_text(self._tokens.to(device))
        image = self.gan.generate(self._z.to(device), text.repeat_interleave(GRID)).image
        with replaced(self.folder / f"step_{step:08d}.png") as path:
            save_image(image, path, nrow=GRID, normalize=True, value_range=(-1, 1), format="png")
