"""The ablations: SSA-GAN on the embedded data with the method, one choice changed at a time.

A name is that of the method's row and the difference from it: `ssagan_emoji_scl-temperature0.5`. A field that both
phases have is changed in both.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sclgan.data.labels import RULES, LabelRule
from sclgan.losses.contrastive import Pairs
from sclgan.recipe import Recipe
from sclgan.recipes import emoji, scenes
from sclgan.recipes.variants import with_contrast


def pretraining_only() -> Recipe:
    """The contrast in pre-training alone, with the GAN phase of the plain row."""
    return _named(replace(_method(), training=emoji.ssagan_emoji().training), "pretraining-only")


def gan_only() -> Recipe:
    """The contrast in the GAN phase alone, with the encoders of the plain row."""
    return _named(replace(_method(), pretraining=emoji.ssagan_emoji().pretraining), "gan-only")


def with_pairs(pairs: Pairs) -> Recipe:
    """Texts with texts and images with images alone ("intra"), or texts with images alone ("cross", UniCL)."""
    made = _method()
    first, second = replace(made.pretraining, pairs=pairs), replace(made.training, pairs=pairs)
    return _named(replace(made, pretraining=first, training=second), f"pairs-{pairs}")


def with_temperature(temperature: float) -> Recipe:
    """Another temperature of the contrast."""
    made = _method()
    first, second = made.pretraining, made.training
    first, second = replace(first, temperature=temperature), replace(second, temperature=temperature)
    return _named(replace(made, pretraining=first, training=second), f"temperature{temperature}")


def with_weight(factor: float) -> Recipe:
    """The contrast weighted `factor` times as much."""
    made = _method()
    first, second = made.pretraining.objective, made.training.generator_objective
    made = replace(
        made,
        pretraining=replace(made.pretraining, objective={**first, "contrast": factor * first["contrast"]}),
        training=replace(made.training, generator_objective={**second, "contrast": factor * second["contrast"]}),
    )
    return _named(made, f"weight-times{factor:g}")


def with_projection(size: int) -> Recipe:
    """The contrast on the output of a head of this width, pre-trained with the encoders and frozen with them."""
    made = _method()
    return _named(replace(made, pretraining=replace(made.pretraining, projection=size)), f"projection{size}")


def with_shared_noise() -> Recipe:
    """Both views of an anchor are drawn from one noise."""
    made = _method()
    return _named(replace(made, training=replace(made.training, noise="shared")), "noise-shared")


def with_reals() -> Recipe:
    """The codes of the real pictures in the GAN phase's contrast: (t1, f1, r1, t2, f2, r2) in place of the quadruple.

    After arXiv 2312.10854 and XMC-GAN (Zhang et al. 2021), which contrast generated pictures with real ones.
    """
    made = _method()
    return _named(replace(made, training=replace(made.training, contrast_reals=True)), "reals")


def with_attributes(base: Recipe) -> Recipe:
    """A term of the contrast for everything that captions name: the label, and the attributes of each picture."""
    return _named(replace(with_contrast(base), label_rule="attributes"), "attributes")


def with_batch(batch_size: int) -> Recipe:
    """Another number of anchors per step in the GAN phase, and so of rivals in the contrast."""
    made = _method()
    return _named(replace(made, training=replace(made.training, batch_size=batch_size)), f"batch{batch_size}")


def with_label_rule(rule: LabelRule) -> Recipe:
    """Another rule for the labels that a pair shares, on scenes, whose pictures have several labels."""
    return _named(replace(with_contrast(scenes.ssagan_scenes()), label_rule=rule), f"rule-{rule}")


def _method() -> Recipe:
    return with_contrast(emoji.ssagan_emoji())


def _named(made: Recipe, difference: str) -> Recipe:
    return replace(made, row=replace(made.row, difference=difference), about=f"{made.about}; {difference}")


_ALL: tuple[Callable[[], Recipe], ...] = (
    pretraining_only,
    gan_only,
    partial(with_pairs, "intra"),
    partial(with_pairs, "cross"),
    *(partial(with_temperature, temperature) for temperature in (0.07, 0.2, 0.5)),
    *(partial(with_weight, factor) for factor in (0.25, 4.0)),
    partial(with_projection, 128),
    with_shared_noise,
    with_reals,
    partial(with_attributes, emoji.ssagan_emoji()),
    partial(with_attributes, scenes.ssagan_scenes()),
    *(partial(with_batch, size) for size in (16, 128)),
    *(partial(with_label_rule, rule) for rule in RULES if rule != "shared"),
)

ABLATIONS = {make().name: make for make in _ALL}
"""Name -> the function that makes the recipe; the method's own row is `ssagan_emoji_scl`, or `ssagan_scenes_scl`."""
