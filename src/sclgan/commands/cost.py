"""`sclgan describe RECIPE --cost`: the tables of what a recipe costs."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from sclgan.recipe import Recipe
    from sclgan.train.cost import DataSizes, Settings, StepCost

GIB = 2**30


def show_cost(recipe: "Recipe") -> None:
    """Prints parameters, operations, memory and the largest batch, then, after two real steps of each phase, the hours.

    Raises:
        ValueError: the parts of the recipe do not fit each other.
    """
    from sclgan.train.checks import check_recipe
    from sclgan.train.cost import data_sizes, largest_batch, parameters, step_cost
    from sclgan.train.memory import available_memory

    check_recipe(recipe)
    console, sizes, available = Console(highlight=False, soft_wrap=True), data_sizes(recipe), available_memory()
    console.print(f"{recipe.name}: {recipe.about}")
    if sizes.note:
        console.print(sizes.note)
    networks = _table("network", "parameters")
    for name, number in parameters(recipe, sizes).items():
        networks.add_row(name, f"{number:,}")
    console.print(networks)

    phases: dict[str, Settings] = {"pre-training": recipe.pretraining} if recipe.pretraining.steps else {}
    phases["training"] = recipe.training
    costs = {name: step_cost(recipe, settings, sizes) for name, settings in phases.items()}
    steps = _table("a step in one process", *phases)
    for title, values in _rows(phases, costs).items():
        steps.add_row(title, *values)
    fitting = [largest_batch(recipe, phases[name], sizes, cost, available) for name, cost in costs.items()]
    steps.add_row(f"largest batch in {available / GIB:.1f} GiB", *(f"about {n}" if n else "none" for n in fitting))
    console.print(steps)

    hours = _table("on this machine", *phases)
    timed = [_timed(recipe, phases[name], sizes, cost, available) for name, cost in costs.items()]
    for row in zip(("seconds a step", "pictures a second", "hours"), *timed, strict=False):
        hours.add_row(*row)
    console.print(hours)
    for reason in dict.fromkeys(one[3] for one in timed if one[3]):
        console.print(reason)


def _rows(phases: "dict[str, Settings]", costs: "dict[str, StepCost]") -> dict[str, list[str]]:
    settings, memory = list(phases.values()), [cost.memory for cost in costs.values()]
    return {
        "steps": [f"{one.steps:,}" for one in settings],
        "pictures": [f"{one.batch_size * one.num_views:,}" for one in settings],
        "TFLOP": [f"{cost.operations / 1e12:.3g}" for cost in costs.values()],
        "GiB of weights": [_gib(one.weights) for one in memory],
        "  averaged weights": [_gib(one.averaged) for one in memory],
        "  optimizer states": [_gib(one.optimizers) for one in memory],
        "  gradients": [_gib(one.gradients) for one in memory],
        "  activations": [_gib(one.activations) for one in memory],
        "  in all": [_gib(one.total) for one in memory],
    }


def _timed(
    recipe: "Recipe", settings: "Settings", sizes: "DataSizes", cost: "StepCost", available: int
) -> tuple[str, str, str, str]:
    """Seconds per step, pictures per second, hours of the phase, and why they are not known."""
    import torch

    from sclgan.train.cost import seconds_per_step

    needed = f"a step needs {_gib(cost.memory.total)} GiB, {_gib(available)} are free: it was not timed"
    if cost.memory.total > available:
        return "-", "-", "-", needed
    try:
        seconds = seconds_per_step(recipe, settings, sizes)
    except torch.OutOfMemoryError:
        return "-", "-", "-", needed
    pictures = settings.batch_size * settings.num_views / seconds
    return f"{seconds:.3g}", f"{pictures:.3g}", f"{settings.steps * seconds / 3600:,.3g}", ""


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title, box=None)
    for column in columns:
        table.add_column(column, justify="right")
    return table
