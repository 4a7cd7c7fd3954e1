"""A trained run or model, opened to generate from."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan import distributed, models
from sclgan.data.pixels import to_8_bits
from sclgan.encoders.base import Encoders, TextCodes, Tokenizer
from sclgan.gans.base import Fake, TextToImageGAN
from sclgan.random import Stream, normal
from sclgan.recipe import Recipe
from sclgan.runs import checkpoint
from sclgan.runs.encoders import built, encoders_class, load_encoders
from sclgan.runs.folder import saved_recipe
from sclgan.runs.shapes import check_shapes, without_memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A trained run, ready to generate: encoders and (averaged) generator in evaluation mode.

    The GAN's discriminator holds no weights: it is on the device "meta".
    """

    folder: Path
    recipe: Recipe
    step: int
    encoders: Encoders
    tokenizer: Tokenizer
    gan: TextToImageGAN

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> TextCodes:
        """The codes of some captions; words the tokenizer does not know are left out.

        Raises:
            ValueError: a caption is empty or holds no known word.
        """
        return self.encoders.encode_text(self.tokenizer(captions).to(distributed.device()))

    @torch.no_grad()
    def generate(self, text: TextCodes, z: Float[Tensor, "b z"]) -> Fake:
        """One image a row."""
        return self.gan.generate(z.to(text.sentence.device), text)

    def sample(
        self, captions: Sequence[str], *, num_images: int, seed: int, batch_size: int = 64
    ) -> UInt8[Tensor, "n 3 h w"]:
        """`num_images` pictures of each caption, caption by caption. Picture k has the same noise for every caption.

        Raises:
            ValueError: a caption is empty or holds no known word, or there are fewer than one picture to draw.
        """
        drawn = self.draw(captions, num_images=num_images, seed=seed, batch_size=batch_size)
        return torch.cat([to_8_bits(fake.image).cpu() for fake in drawn])

    def draw(self, captions: Sequence[str], *, num_images: int, seed: int, batch_size: int = 64) -> Iterator[Fake]:
        """The fakes whose pictures `sample` returns, batch by batch."""
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, not {num_images}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}")
        self.tokenizer(captions)  # refuses a caption by its number among those given, before each is repeated
        z = normal(num_images, self.gan.z_dim, Stream.SAMPLE, seed).repeat(len(captions), 1)
        each = [caption for caption in captions for _ in range(num_images)]
        for start in range(0, len(each), batch_size):
            rows = slice(start, start + batch_size)
            yield self.generate(self.encode(each[rows]), z[rows])


def open_run(folder: Path, name: str = "last", *, images: bool = True) -> Run:
    """Opens a checkpoint of a run: the "last", the "best" of the evaluations in training, or that of a step.

    `folder` may be that of a model (`sclgan.models`), which has but one. Its weights in half precision become float32.

    Without `images` the run draws, and cannot encode pictures: no image trunk is loaded that it does not draw with.

    Raises:
        FileNotFoundError: no run folder, or a run without that checkpoint.
        ValueError: its files are damaged or of another recipe.
    """
    if models.is_model(folder):
        return _open_model(folder, name, images=images)
    recipe = saved_recipe(folder)
    checkpoints = folder / "checkpoints"
    newest = checkpoint.latest(checkpoints)
    if newest is None or not (newest / "averaged_generator.safetensors").exists():
        raise FileNotFoundError(f"{folder} has no GAN checkpoint yet: `sclgan train {recipe.name} --out {folder}`")
    path, best = checkpoint.named(checkpoints, name), checkpoint.best_score(checkpoints)
    if path is None:
        kept = ", ".join([*(["best"] if best else []), *map(str, checkpoint.steps(checkpoints))])
        raise FileNotFoundError(f"{folder} has no checkpoint '{name}': it has {kept}")
    encoders, tokenizer = load_encoders(folder, recipe, images=images)
    weights = path / "averaged_generator.safetensors"
    gan = _gan_with(checkpoint.read_weights(weights), recipe, encoders, weights)
    step = int(best["step"]) if best and name == "best" else int(path.name.removeprefix("step_"))
    return Run(folder, recipe, step, encoders, tokenizer, gan)


def _open_model(folder: Path, name: str, *, images: bool) -> Run:
    """The run that a model was built from, but for what its weights were rounded."""
    about, path = models.about(folder), folder / models.WEIGHTS
    if name not in ("last", str(about["step"])):
        raise FileNotFoundError(f"{folder} is a model and has no checkpoint '{name}': it has {about['step']} alone")
    recipe = saved_recipe(folder)
    parts: dict[str, dict[str, Tensor]] = {"encoders": {}, "generator": {}}
    for full_name, tensor in checkpoint.read_weights(path).items():
        part, _, own_name = full_name.partition(".")
        parts[part][own_name] = tensor
    kind = encoders_class(recipe).tokenizer
    tokenizer = kind.load(folder / kind.file_name)
    check_shapes(path, recipe, tokenizer, prefix="encoders.")
    encoders = built(recipe, tokenizer, images=images)
    checkpoint.fill(encoders, parts["encoders"], path)
    encoders = encoders.to(distributed.device()).requires_grad_(False).eval()
    gan = _gan_with(parts["generator"], recipe, encoders, path)
    return Run(folder, recipe, int(about["step"]), encoders, tokenizer, gan)


def _gan_with(weights: Mapping[str, Tensor], recipe: Recipe, encoders: Encoders, path: Path) -> TextToImageGAN:
    """The recipe's GAN with these weights in its generator; no random ones are drawn, and nothing is kept for D."""
    with without_memory():
        gan = recipe.gan(encoders, image_size=recipe.image_size)
    checkpoint.fill(gan.generator, weights, path, from_meta_to=distributed.device())
    gan.generator.requires_grad_(False).eval()
    return gan
