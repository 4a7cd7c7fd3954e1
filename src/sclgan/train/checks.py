"""Checks before anything is written or pre-trained: the recipe, and encoders that come from elsewhere."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sclgan import distributed
from sclgan.data.objective import objective_notes
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders
from sclgan.gans import augmentation, feature_discriminator
from sclgan.gans.base import TextToImageGAN
from sclgan.recipe import Pretraining, Recipe, Training, class_of
from sclgan.recipe_fields import check_ranges
from sclgan.runs.data_record import changed_labels
from sclgan.runs.encoders import encoders_class, read_header
from sclgan.runs.folder import saved_recipe
from sclgan.runs.records import read_metrics
from sclgan.train import schedule
from sclgan.train.constructors import check_constructors
from sclgan.train.ema import decay_of
from sclgan.train.evaluator import protocols_of
from sclgan.train.label_terms import LABEL_TERMS, NEED_TWO_VIEWS

log = logging.getLogger(__name__)


def check_recipe(recipe: Recipe) -> None:
    """Refuses a recipe whose parts do not fit each other.

    Raises:
        ValueError: says which field, and what would be right.
    """
    check_ranges(recipe)
    check_constructors(recipe)
    for name, phase in (("pretraining", recipe.pretraining), ("training", recipe.training)):
        _check_phase(name, phase)
    if recipe.pretraining.projection is not None and "contrast" not in recipe.pretraining.objective:
        raise ValueError("pretraining.projection is a head of 'contrast', which pretraining.objective does not name")
    protocols_of(recipe.training)
    schedule.check(recipe.training)
    decay_of(recipe.training)
    augmentation.check(recipe.training.augment)
    _check_terms(recipe)


def _check_phase(name: str, phase: Pretraining | Training) -> None:
    weights = phase.objective if isinstance(phase, Pretraining) else phase.generator_objective
    for term in sorted(NEED_TWO_VIEWS & weights.keys()):
        if phase.num_views < 2:
            raise ValueError(f"{name}: '{term}' compares two views: set num_views=2, or leave it out")
    distributed.own_rows(phase.batch_size)  # refuses what does not divide among the ranks
    if isinstance(phase, Training):
        _check_parts(phase)


def _check_parts(settings: Training) -> None:
    rows, num_parts = settings.batch_size // distributed.world_size(), settings.accumulate * settings.penalty_parts
    if num_parts > 1 and (rows % num_parts or rows == num_parts):
        raise ValueError(
            f"training.accumulate={settings.accumulate} and penalty_parts={settings.penalty_parts} do not divide the "
            f"{rows} rows of a rank into parts of equally many rows, 2 or more: choose divisors of the batch size"
        )


def _check_terms(recipe: Recipe) -> None:
    """The objectives must name exactly the terms that the GAN computes."""
    gan: type[TextToImageGAN] = class_of(recipe.gan)
    if recipe.training.penalty_parts > 1 and not gan.penalty_terms:
        raise ValueError(f"training.penalty_parts: {gan.__name__} has no gradient penalty; leave it at 1")
    of_discriminator, of_generator = gan.discriminator_term_names, gan.generator_term_names
    if recipe.feature_discriminator is not None:
        of_discriminator |= feature_discriminator.DISCRIMINATOR_TERMS
        of_generator |= feature_discriminator.GENERATOR_TERMS
    tables = {
        "generator_objective": (recipe.training.generator_objective.keys() - LABEL_TERMS, of_generator),
        "discriminator_objectives": (
            [name for weights in recipe.training.discriminator_objectives for name in weights],
            of_discriminator,
        ),
    }
    for table, (named, computed) in tables.items():
        if sorted(named) != sorted(computed):
            raise ValueError(f"training.{table} names {sorted(named)}, but {gan.__name__} computes {sorted(computed)}")


def check_encoders(recipe: Recipe, encoders: Encoders, folder: Path, source: Source) -> None:
    """Refuses the pre-trained encoders in `folder` where their heads do not fit the recipe or the labels of the data.

    Raises:
        ValueError: says what to do.
    """
    weights = recipe.training.generator_objective
    wants, has = recipe.pretraining.projection is not None, encoders.projection is not None
    if "contrast" in weights and wants != has:
        raise ValueError(
            f"pretraining.projection is {recipe.pretraining.projection}, but the encoders were pre-trained "
            f"{'with' if has else 'without'} a head for the contrast: set it as there, or give others with --encoders"
        )
    header = read_header(folder)
    if "cross_entropy" in weights and encoders.label_classifier is not None:
        number, needed = encoders.label_classifier.out_features, len(source.label_names)
        changed = changed_labels(header.label_names, source.label_names) if header.source is not None else []
        if number != needed or changed:
            how = "; ".join(changed or [f"{number} labels then, {needed} now"])
            raise ValueError(
                f"the encoders in {folder} tell apart the labels of other data ({how}): 'cross_entropy' would compare "
                "wrong numbers; pre-train encoders on these data"
            )
    if distributed.rank() == 0 and header.source not in (None, source.name):
        log.warning("the encoders in %s were pre-trained on '%s', not on '%s'", folder, header.source, source.name)


def check_objectives(recipe: Recipe, source: Source, phases: Sequence[Literal["pretraining", "training"]]) -> None:
    """Warns where the data leave less of the phases' objectives than one would expect, see `objective_notes`.

    Raises:
        ValueError: a term has nothing to learn from.
    """
    notes = dict.fromkeys(note for phase in phases for note in _objective_notes(recipe, source, phase))
    for note in notes if distributed.rank() == 0 else ():
        log.warning("%s", note)


def _objective_notes(recipe: Recipe, source: Source, phase: Literal["pretraining", "training"]) -> list[str]:
    settings: Pretraining | Training = getattr(recipe, phase)
    if not settings.steps:
        return []
    masked: bool = encoders_class(recipe).mask_same_label
    return objective_notes(
        source,
        phase=phase,
        terms=settings.objective if isinstance(settings, Pretraining) else settings.generator_objective,
        num_views=settings.num_views,
        batch_size=settings.batch_size,
        label_rule=recipe.label_rule,
        mask_same_label=getattr(recipe.encoders, "keywords", {}).get("mask_same_label", masked),
    )


def report_unfinished(folder: Path) -> None:
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
