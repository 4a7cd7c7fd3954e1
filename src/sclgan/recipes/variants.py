"""The rows of an experiment table that are made from a plain one: twice the batch, the method, other uses of the label.

All but `2x` draw two views of an anchor, and so see twice as many pictures per step as the plain row, as `2x` does.
None of the weights below is published with the method; those of `scl` are ours, those of `cl` its own paper's.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sclgan.losses.contrastive import Pairs
from sclgan.recipe import Recipe, TermWeights

SEVERAL_LABELS = ("scenes", "coco")
"""Data sets whose rows have several labels."""


def with_contrast(base: Recipe, *, pairs: Pairs = "all") -> Recipe:
    """The `scl` row of a recipe: two views of a label and the contrast in both phases (Liu et al. 2024).

    The paper's weights are not published: 1.0 in pre-training and 0.2 in the GAN phase are ours.
    """
    method = _two_views(base, {"contrast": 1.0}, {"contrast": 0.2})
    return replace(
        method,
        row=base.row.with_variant("scl"),
        about=f"{base.about}, with label-guided contrast in both phases",
        pretraining=replace(method.pretraining, pairs=pairs),
        training=replace(method.training, pairs=pairs),
    )


def with_unicl(base: Recipe) -> Recipe:
    """The `unicl` row: text with image only, in both phases (Yang et al. 2022, "UniCL"), weighted as in `scl`.

    UniCL's loss is `losses.contrastive.quadruple` with pairs="cross"; its learned temperature is fixed here.
    """
    return replace(
        with_contrast(base, pairs="cross"),
        row=base.row.with_variant("unicl"),
        about=f"{base.about}, with UniCL's contrast in both phases",
    )


def with_cross_entropy(base: Recipe) -> Recipe:
    """The `ce` row: a linear classifier of labels on both codes in pre-training, on generated images in the GAN phase.

    Views and weights are those of `scl`. Where rows have several labels, each label is told by itself.
    """
    return replace(
        _two_views(base, {"cross_entropy": 1.0}, {"cross_entropy": 0.2}),
        row=base.row.with_variant("ce"),
        about=f"{base.about}, with cross entropy of labels in both phases",
        label_rule="weighted" if base.row.data in SEVERAL_LABELS else base.label_rule,
    )


def with_contrast_of_captions(base: Recipe) -> Recipe:
    """The `cl` row: two captions of one picture, contrasted without labels (Ye et al. 2021, "T2I_CL").

    NT-Xent on sentences in pre-training (weight 1), on the images drawn from both captions and one noise in the GAN
    phase (weight 0.2), at temperature 0.5 as there.
    """
    method = _two_views(base, {"nt_xent": 1.0}, {"nt_xent": 0.2})
    return replace(
        method,
        row=base.row.with_variant("cl"),
        about=f"{base.about}, with contrast of two captions in both phases",
        pretraining=replace(method.pretraining, temperature=0.5),
        training=replace(method.training, temperature=0.5, noise="shared"),
        label_rule="itself",
    )


def with_twice_the_batch(base: Recipe) -> Recipe:
    """The `2x` row of a recipe, the control: as many images per step as the method, one view, no contrast."""
    return replace(
        base,
        row=base.row.with_variant("2x"),
        about=f"{base.about}, twice the batch: the control of the method's cost",
        pretraining=replace(base.pretraining, batch_size=2 * base.pretraining.batch_size),
        training=replace(base.training, batch_size=2 * base.training.batch_size),
    )


def _two_views(base: Recipe, pretraining: TermWeights, training: TermWeights) -> Recipe:
    """The recipe with two views in both phases and these terms more."""
    first, second = base.pretraining, base.training
    return replace(
        base,
        pretraining=replace(first, num_views=2, objective={**first.objective, **pretraining}),
        training=replace(second, num_views=2, generator_objective={**second.generator_objective, **training}),
    )


VARIANTS: dict[str, tuple[str, Callable[[Recipe], Recipe]]] = {
    "2x": ("twice the batch", with_twice_the_batch),
    "cl": ("contrast of captions", with_contrast_of_captions),
    "ce": ("cross entropy", with_cross_entropy),
    "unicl": ("UniCL", with_unicl),
    "scl": ("with the contrast", with_contrast),
}
"""Variant -> its title in tables, and how it is made from the plain recipe."""


def rows(plain: Callable[[], Recipe], *, fine_tuning_steps: int | None = None) -> dict[str, Callable[[], Recipe]]:
    """A plain recipe and its variants, by name: NAME, NAME_2x, NAME_cl ...

    `fine_tuning_steps` are the steps of pre-training of the variants where the plain row takes none.
    """

    def variant(change: Callable[[Recipe], Recipe]) -> Recipe:
        base = plain()
        if fine_tuning_steps is not None and change is not with_twice_the_batch:
            base = replace(base, pretraining=replace(base.pretraining, steps=fine_tuning_steps))
        return change(base)

    made = {plain().name: plain}
    for _, change in VARIANTS.values():
        make = partial(variant, change)
        made[make().name] = make
    return made
