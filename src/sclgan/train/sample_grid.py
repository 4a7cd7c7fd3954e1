"""Grids of samples while the GAN trains: held-out captions in rows, fixed noises in columns."""

from pathlib import Path

import torch

from sclgan import distributed
from sclgan.data.pixels import to_8_bits
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced, write_atomically
from sclgan.gans.base import TextToImageGAN
from sclgan.random import Stream, normal, numpy_generator
from sclgan.recipe import Recipe
from sclgan.runs.pictures import grid

GRID = 8  # captions and noises


class SampleGrid:
    """Held-out captions in rows, fixed noises in columns, as `gan` draws them; rank 0 only."""

    def __init__(
        self,
        recipe: Recipe,
        held_out: Source,
        gan: TextToImageGAN,
        encoders: Encoders,
        tokenizer: Tokenizer,
        folder: Path,
    ) -> None:
        rows = numpy_generator(Stream.CHOICE, recipe.seed).permutation(len(held_out))[:GRID]
        pictures = [
            held_out.picture(int(r), recipe.image_size, numpy_generator(Stream.SCORED_PICTURE, recipe.seed, int(r)))
            for r in rows
        ]
        self.captions = [picture.caption for picture in pictures]
        self.gan, self.encoders, self.folder = gan, encoders, folder
        self._tokens = tokenizer(self.captions)
        self._z = normal(GRID, gan.z_dim, Stream.SAMPLE, recipe.seed).repeat(len(rows), 1)
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
            grid(to_8_bits(image).cpu().numpy(), GRID).save(path, "PNG")
