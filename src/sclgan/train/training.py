"""Phase 2 as a run: trains a recipe's GAN into a folder, resumable; pre-trains its encoders where none are given."""

import copy
import logging
import shutil
from pathlib import Path

import torch

from sclgan import distributed
from sclgan.data.captions import check_captions
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.feature_discriminator import WithFeatureDiscriminator
from sclgan.recipe import Recipe
from sclgan.runs.data_record import check_data
from sclgan.runs.divergence import PRETRAINING
from sclgan.runs.encoders import encoders_class, load_encoders
from sclgan.runs.folder import ENCODERS, claim, held
from sclgan.runs.opened import Run
from sclgan.runs.tracking import TrackerName
from sclgan.train import gan_parts, loop
from sclgan.train.batches import training_batches
from sclgan.train.checks import check_encoders, check_objectives, check_recipe, report_unfinished
from sclgan.train.evaluator import evaluations
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretraining import pretrain
from sclgan.train.sample_grid import SampleGrid
from sclgan.train.splits import Splits

log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    out: Path,
    *,
    encoders: Path | None = None,
    stream: str | None = None,
    num_workers: int | None = None,
    accept_changed_data: bool = False,
    track: TrackerName | None = None,
) -> None:
    """Phase 2 into the folder `out`, with the pre-trained encoders of the folder `encoders`.

    Without them phase 1 runs first, into `out`/pretraining. The encoders that were used are copied into `out`.
    `stream` and `track` are as in `pretrain`.

    Raises:
        ValueError: the recipe, the data, the encoders or the folder do not fit; see `claim` and `check_data`.
        StoppedError, DivergedError: see `loop.run`.
    """
    settings = recipe.training
    check_recipe(recipe)
    splits = Splits(recipe)
    check_objectives(recipe, splits["train"], ["training"] if encoders is not None else ["pretraining", "training"])
    if encoders is not None:
        _check_words_of(encoders, recipe, splits)
    recorded = splits.recorded()
    with held(out):
        claim(out, recipe)
        numbers_labels = "cross_entropy" in settings.generator_objective
        check_data(out, recorded, accept_changes=accept_changed_data, numbers_labels=numbers_labels)
        if encoders is None and not _has_encoders(out):
            encoders = out / PRETRAINING
            pretrain(
                recipe,
                encoders,
                stream=stream,
                num_workers=num_workers,
                accept_changed_data=accept_changed_data,
                splits=splits,
                track=track,
            )
        provide_encoders(recipe, out, encoders)
        pair, tokenizer = load_encoders(out, recipe)
        check_encoders(recipe, pair, out, splits["train"])
        batches = training_batches(recipe, splits["train"], tokenizer, settings, stream)
        if accept_changed_data:  # pre-trained on the captions as they were
            _check_words(tokenizer, splits)
        phase, drawing = new_phase(recipe, pair)
        grid = SampleGrid(recipe, splits["test"], drawing, pair, tokenizer, out / "grids")
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
                *evaluations(Run(out, recipe, 0, pair, tokenizer, drawing), splits),
            ],
            num_workers=num_workers,
            track=track,
            tf32=settings.tf32,
            cudnn_benchmark=settings.cudnn_benchmark,
        )
        distributed.barrier()


def _check_words_of(encoders: Path, recipe: Recipe, splits: Splits) -> None:
    """Compares the words of given encoders, pre-trained on other captions perhaps, before the folder is claimed."""
    kind = encoders_class(recipe).tokenizer
    if (encoders / kind.file_name).exists():
        _check_words(kind.load(encoders / kind.file_name), splits)


def _check_words(tokenizer: Tokenizer, splits: Splits) -> None:
    """Compares the words of a text encoder with the captions that it will read."""
    for split in ("train", "test"):
        check_captions(tokenizer, splits[split].captions(), f"{'training' if split == 'train' else 'test'} captions")


def new_phase(recipe: Recipe, encoders: Encoders) -> tuple[GANPhase, TextToImageGAN]:
    """The GAN as it is trained, and the same GAN as it draws: with the averaged generator."""
    torch.manual_seed(recipe.seed)
    gan = recipe.gan(encoders, image_size=recipe.image_size)
    judged = with_feature_discriminator(gan, recipe, encoders)
    for network in (judged.generator, judged.discriminator):
        network.to(distributed.device()).train()
    phase = gan_parts.gan_phase(judged, encoders, recipe.training, seed=recipe.seed)
    for note in gan_parts.notes(judged, recipe.training) if distributed.rank() == 0 else ():
        log.warning("%s", note)
    drawing = copy.copy(gan)
    drawing.generator = phase.averaged.average.eval()
    return phase, drawing


def with_feature_discriminator(gan: TextToImageGAN, recipe: Recipe, encoders: Encoders) -> TextToImageGAN:
    """The GAN as it is trained: with the feature discriminator that the recipe asks for, if it does."""
    if recipe.feature_discriminator is None:
        return gan
    return WithFeatureDiscriminator(gan, encoders, recipe.feature_discriminator(encoders))


def _has_encoders(folder: Path) -> bool:
    """Whether the folder holds encoders; every rank has looked when this returns."""
    found = (folder / ENCODERS).exists()
    distributed.barrier()
    return found


def provide_encoders(recipe: Recipe, out: Path, given: Path | None) -> None:
    """Copies the pre-trained encoders of the folder `given` into the run folder, once.

    Raises:
        ValueError: they do not fit the recipe, or the run was begun with others.
    """
    if _has_encoders(out):
        if given is not None and (given / ENCODERS).read_bytes() != (out / ENCODERS).read_bytes():
            raise ValueError(f"{out} was begun with other encoders than those of {given}: give another --out")
        return
    assert given is not None
    load_encoders(given, recipe)  # refuses what does not fit before it is copied
    if distributed.rank() == 0:
        if given != out / PRETRAINING:
            report_unfinished(given)
        for name in (encoders_class(recipe).tokenizer.file_name, ENCODERS):  # the weights last
            with replaced(out / name) as path:
                shutil.copyfile(given / name, path)
    distributed.barrier()
