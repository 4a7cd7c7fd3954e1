"""The two phases as runs: pre-train a recipe's encoders, train its GAN, each into a folder and resumable."""

import copy
import logging
from functools import partial
from pathlib import Path

import torch
from torchvision.utils import save_image

from sclgan import distributed
from sclgan.data.captions import Vocabulary
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders
from sclgan.files import replaced, write_atomically
from sclgan.gans.base import TextToImageGAN
from sclgan.random import normal, numpy_generator
from sclgan.recipe import Pretraining, Recipe, Training, construct
from sclgan.run import ENCODERS, Run, claim, load_encoders, pretraining_parts, save_encoders
from sclgan.train import loop
from sclgan.train.evaluator import evaluations, protocols_of
from sclgan.train.gan import GANPhase
from sclgan.train.log import read_metrics
from sclgan.train.pretrain import PretrainingPhase, retrieval

log = logging.getLogger(__name__)

GRID = 8  # captions and noises of a sample grid


def pretrain(recipe: Recipe, out: Path, *, num_workers: int = 0) -> None:
    """Phase 1 into the folder `out`. `encoders.safetensors` is the epoch with the best retrieval so far.

    Raises:
        ValueError: the recipe, the data or the folder do not fit; see `claim`, `PairedBatches`.
    """
    settings = recipe.pretraining
    _check(recipe)
    source: Source = construct(recipe.source, "train")
    held_out: Source = construct(recipe.source, "test")
    vocabulary = Vocabulary.of(source.captions(), max_words=recipe.max_words)
    image_size = settings.image_size or recipe.image_size
    batches = _batches(recipe, source, vocabulary, settings, image_size)
    claim(out, recipe, pretraining_parts)

    torch.manual_seed(recipe.seed)
    encoders: Encoders = construct(recipe.encoders, vocabulary.num_tokens)
    encoders.to(distributed.device()).train()
    phase = PretrainingPhase(encoders, settings, steps_per_epoch=batches.steps_per_epoch)

    def score(step: int) -> dict[str, float]:
        """Retrieval of the held-out pictures; keeps the weights where it is the best so far."""
        if distributed.rank():
            return {}
        values = retrieval(
            encoders, held_out, vocabulary, image_size=image_size, seed=recipe.seed, device=distributed.device()
        )
        record = {f"retrieval/{name}": value for name, value in values.items()}
        before = [r for r in read_metrics(out) if "retrieval/mean" in r and r["step"] < step]
        if record["retrieval/mean"] >= max((r["retrieval/mean"] for r in before), default=0.0):
            save_encoders(out, encoders, vocabulary)
        return record

    loop.run(
        phase,
        batches,
        out,
        title=f"pre-training {recipe.name}",
        steps=settings.steps,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        hooks=[loop.Hook(batches.steps_per_epoch, score)],
        num_workers=num_workers,
    )
    distributed.barrier()


def train(recipe: Recipe, out: Path, *, encoders: Path | None = None, num_workers: int = 0) -> None:
    """Phase 2 into the folder `out`, with the pre-trained encoders of the folder `encoders`.

    Without them phase 1 runs first, into `out`/pretraining. The encoders that were used are copied into `out`.

    Raises:
        ValueError: the recipe, the data, the encoders or the folder do not fit.
    """
    settings = recipe.training
    _check(recipe)
    source: Source = construct(recipe.source, "train")
    claim(out, recipe)
    _provide_encoders(recipe, out, encoders, num_workers)
    pair, vocabulary = load_encoders(out, recipe)
    batches = _batches(recipe, source, vocabulary, settings, recipe.image_size)

    torch.manual_seed(recipe.seed)
    gan: TextToImageGAN = construct(recipe.gan, pair, image_size=recipe.image_size)
    for network in (gan.generator, gan.discriminator):
        network.to(distributed.device()).train()
    phase = GANPhase(gan, pair, settings, seed=recipe.seed)
    grid = SampleGrid(recipe, phase, vocabulary, out / "grids")
    loop.run(
        phase,
        batches,
        out,
        title=f"training {recipe.name}",
        steps=settings.steps,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        hooks=[
            loop.Hook(settings.grid_every, grid.save),
            *evaluations(Run(out, recipe, 0, pair, vocabulary, grid.gan)),
        ],
        num_workers=num_workers,
    )
    distributed.barrier()


def _check(recipe: Recipe) -> None:
    """Fails on what is wrong with a recipe before anything is written or pre-trained."""
    gan: type[TextToImageGAN] = recipe.gan.func if isinstance(recipe.gan, partial) else recipe.gan  # type: ignore[assignment]
    phases = {"pretraining": recipe.pretraining.weights, "training": recipe.training.generator_weights}
    for phase, weights in phases.items():
        settings: Pretraining | Training = getattr(recipe, phase)
        if settings.steps < 1:
            raise ValueError(f"{phase}.steps must be at least 1, not {settings.steps}")
        if "contrast" in weights and settings.num_views < 2:
            raise ValueError(f"{phase}: 'contrast' compares views of one label: set num_views=2, or leave it out")
        distributed.own_rows(settings.batch_size)  # refuses what does not divide among the ranks
    protocols_of(recipe.training)
    tables = {
        "generator_weights": (recipe.training.generator_weights.keys() - {"contrast"}, gan.generator_term_names),
        "discriminator_weights": (
            [name for weights in recipe.training.discriminator_weights for name in weights],
            gan.discriminator_term_names,
        ),
    }
    for table, (named, computed) in tables.items():
        if sorted(named) != sorted(computed):
            raise ValueError(f"training.{table} names {sorted(named)}, but {gan.__name__} computes {sorted(computed)}")


def _provide_encoders(recipe: Recipe, out: Path, given: Path | None, num_workers: int) -> None:
    """Puts pre-trained encoders into the run folder, once: those given, or its own."""
    has_them = (out / ENCODERS).exists()
    distributed.barrier()  # every rank has looked before one writes
    if has_them:
        if given is not None and (given / ENCODERS).read_bytes() != (out / ENCODERS).read_bytes():
            raise ValueError(f"{out} was begun with other encoders than those of {given}: give another --out")
        return
    if given is None:
        given = out / "pretraining"
        pretrain(recipe, given, num_workers=num_workers)
    pair, vocabulary = load_encoders(given, recipe)
    if distributed.rank() == 0:
        save_encoders(out, pair, vocabulary)
    distributed.barrier()


def _batches(
    recipe: Recipe, source: Source, vocabulary: Vocabulary, phase: Pretraining | Training, image_size: int
) -> PairedBatches:
    return PairedBatches(
        source,
        vocabulary,
        num_views=phase.num_views,
        batch_size=phase.batch_size,
        image_size=image_size,
        seed=recipe.seed,
    )


class SampleGrid:
    """Held-out captions in rows, fixed noises in columns, drawn by the averaged generator; rank 0 only."""

    def __init__(self, recipe: Recipe, phase: GANPhase, vocabulary: Vocabulary, folder: Path) -> None:
        held_out: Source = construct(recipe.source, "test")
        rows = numpy_generator(recipe.seed).permutation(len(held_out))[:GRID]
        pictures = [held_out.picture(int(r), recipe.image_size, numpy_generator(recipe.seed, int(r))) for r in rows]
        self.captions = [picture.caption for picture in pictures]
        self.gan, self.encoders, self.folder = copy.copy(phase.gan), phase.encoders, folder
        self.gan.generator = phase.averaged.average.eval()
        self._tokens = vocabulary(self.captions)
        self._z = normal(GRID, phase.gan.z_dim, recipe.seed).repeat(len(rows), 1)
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
