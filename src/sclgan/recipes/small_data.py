"""Settings for small data: some thousands of pictures instead of COCO's 83,000, and minutes to days on a CPU.

None of it is in the four papers. `docs/small-data.md` measures the worth of each part.
"""

from dataclasses import replace
from functools import partial

from sclgan.gans.feature_discriminator import FeatureDiscriminator
from sclgan.recipe import Recipe, Training


def for_small_data(base: Recipe, *, feature_discriminator: bool = True) -> Recipe:
    """The recipe with a feature discriminator, augmentation, a lazy penalty and averaging by pictures.

    The networks do not change, and the method's rows are made from the result as from any other. GALIP takes no
    feature discriminator, because its own D is one.
    """
    training = with_averaging(with_lazy_penalty(with_augmentation(base.training)))
    if not feature_discriminator:
        return replace(base, training=training)
    return replace(base, training=with_features(training), feature_discriminator=partial(FeatureDiscriminator))


def with_features(training: Training) -> Training:
    """The terms of a feature discriminator, in D's first optimizer step and in G's."""
    first, *others = training.discriminator_objectives
    features = {"features_real": 1.0, "features_mismatched": 0.5, "features_fake": 0.5}
    return replace(
        training,
        discriminator_objectives=({**first, **features}, *others),
        generator_objective={**training.generator_objective, "features": 1.0},
    )


def with_augmentation(training: Training) -> Training:
    """Translation and cutout; no colour, which captions name."""
    return replace(training, augment=("translation", "cutout"))


def with_averaging(training: Training) -> Training:
    """Averaged weights with a half-life of 10,000 pictures."""
    return replace(training, ema_decay=0.0, ema_images=10_000)


def with_matching(training: Training, weight: float) -> Training:
    """Another weight for DAMSM's two terms."""
    return replace(training, generator_objective={**training.generator_objective, "words": weight, "sentence": weight})


def with_lazy_penalty(training: Training) -> Training:
    """The gradient penalty, where there is one, in every fourth step, and one optimizer step for all terms of D."""
    merged = {name: weight for table in training.discriminator_objectives for name, weight in table.items()}
    every = {"magp": 4} if "magp" in merged else {}
    return replace(training, discriminator_objectives=(merged,), every={**training.every, **every})
