"""The weight of a term at a step: terms that come later, and terms that are taken every k-th step."""

from collections.abc import Mapping

from sclgan.recipe import TermWeights, Training


def weights_at(step: int, weights: TermWeights, recipe: Training) -> dict[str, float]:
    """The terms that are due at this step (from 1 on), with what they weigh.

        weight * k * clamp((step - start) / rise, 0, 1)          k of `every`, start and rise of `ramps`

    A term with k > 1 is due at steps 1, 1 + k, 1 + 2k ...; one with a ramp after `start` steps, at its full weight
    where `rise` is 0.
    """
    due: dict[str, float] = {}
    for name, weight in weights.items():
        period = recipe.every.get(name, 1)
        start, rise = recipe.ramps.get(name, (0, 0))
        if step > start and (step - 1) % period == 0:
            due[name] = weight * period * (min(1.0, (step - start) / rise) if rise else 1.0)
    return due


def check(recipe: Training) -> None:
    """Refuses a schedule that names no term of the objectives, or has impossible numbers.

    Raises:
        ValueError: says which term, and what would be right.
    """
    tables: tuple[Mapping[str, float], ...] = (recipe.generator_objective, *recipe.discriminator_objectives)
    named = {name for table in tables for name in table}
    for field, chosen in (("every", recipe.every), ("ramps", recipe.ramps)):
        if unknown := sorted(chosen.keys() - named):
            raise ValueError(f"training.{field} names {unknown}, which no objective has; they have {sorted(named)}")
    for name, period in recipe.every.items():
        if period < 1:
            raise ValueError(f"training.every.{name} must be 1 (every step) or more, not {period}")
    for name, (start, rise) in recipe.ramps.items():
        if start < 0 or rise < 0:
            raise ValueError(f"training.ramps.{name} must be two numbers of steps, 0 or more, not {(start, rise)}")
    always = [name for name in recipe.generator_objective if weights_at(1, {name: 1.0}, recipe)]
    if not [name for name in always if recipe.every.get(name, 1) == 1]:
        raise ValueError("training.every and training.ramps leave steps without any term of the generator: spare one")
