"""Tiny runs: recipes that take seconds, how the command line asks for them, and what they leave behind."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from sclgan.encoders.base import Encoders
from sclgan.gans.base import TextToImageGAN
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.runs import checkpoint
from sclgan.runs.encoders import encoders_class, save_encoders
from sclgan.runs.folder import claim
from tiny import tiny, tiny_assignments

SCL = "ssagan_emoji_scl"
GANS = ("ssagan_emoji", "attngan_emoji", "dmgan_emoji", "galip_emoji")
SIX_STEPS = ("pretraining.steps=6", "training.steps=6")


def small(name: str = SCL, *assignments: str) -> Recipe:
    """The recipe at its smallest, a checkpoint each step."""
    return override(tiny(recipe(name)), ["pretraining.checkpoint_every=1", "training.checkpoint_every=1", *assignments])


def small_fields(name: str = SCL, *assignments: str) -> list[str]:
    """What `small` sets, as the command line takes it."""
    made = small(name, *assignments)
    given: dict[str, object] = {}
    given |= dict(assignment.split("=") for assignment in tiny_assignments(recipe(name)))
    given |= {"pretraining.batch_size": made.pretraining.batch_size, "training.batch_size": made.training.batch_size}
    given |= {"pretraining.checkpoint_every": 1, "training.checkpoint_every": 1}
    given |= dict(assignment.split("=") for assignment in assignments)
    return [f"{path}={value}" for path, value in given.items()]


def untrained(folder: Path, name: str, *assignments: str) -> tuple[Encoders, TextToImageGAN]:
    """Makes `folder` a run of that recipe with random weights; returns its networks as training builds them."""
    recipe = small(name, *assignments)
    captions = ["a red apple on a white background", "a blue fish"]
    tokenizer = encoders_class(recipe).tokenizer.of(captions, max_words=recipe.max_words)
    torch.manual_seed(0)
    encoders = recipe.encoders(tokenizer.num_tokens)
    gan = recipe.gan(encoders, image_size=recipe.image_size)
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)  # some begin as 0, so that texts have no influence
    claim(folder, recipe)
    save_encoders(folder, encoders, tokenizer)
    saved = folder / "checkpoints" / "step_00000002"
    saved.mkdir(parents=True)
    checkpoint.save_weights(saved / "averaged_generator.safetensors", gan.generator)
    return encoders, gan


def newest_weights(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint."""
    newest = checkpoint.latest(run / "checkpoints")
    assert newest is not None
    return {f"{file.stem}.{k}": v for file in sorted(newest.glob("*.safetensors")) for k, v in load_file(file).items()}


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint and of the encoders."""
    return newest_weights(run) | {f"encoders.{k}": v for k, v in load_file(run / "encoders.safetensors").items()}


def assert_identical(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different
