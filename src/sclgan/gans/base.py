"""What a text-to-image GAN is to the training loop: four verbs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.losses.terms import Terms


@dataclass(frozen=True)
class Fake:
    """What a generator returns: images in [-1, 1] from coarse to fine, and the maps that a user can look at."""

    images: tuple[Float[Tensor, "b 3 _h _w"], ...]
    maps: tuple[Float[Tensor, "b _n _h _w"], ...] = ()

    @property
    def image(self) -> Float[Tensor, "b 3 _h _w"]:
        """The last, finest image."""
        return self.images[-1]


@runtime_checkable
class TextToImageGAN(Protocol):
    """A generator and a discriminator of one paper, with that paper's losses as named, unweighted terms.

    A GAN knows neither views nor ranks nor the contrastive loss: the training step calls it once per view.
    `encoders` are frozen and belong to the caller; they are passed in, never stored in a checkpoint of the GAN.
    """

    generator: nn.Module
    discriminator: nn.Module
    z_dim: int
    discriminator_term_names: frozenset[str]
    generator_term_names: frozenset[str]

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> Fake: ...

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the last image; gradients flow into the image."""
        ...

    def discriminator_terms(
        self, real: Float[Tensor, "b 3 h w"], fake: Fake, text: TextCodes, only: Collection[str]
    ) -> Terms:
        """The terms of D named in `only`; `fake` is not differentiated."""
        ...

    def generator_terms(self, fake: Fake, codes: ImageCodes, text: TextCodes, labels: Int[Tensor, " b"]) -> Terms:
        """The terms of G; `codes` is what `embed` returned for `fake`."""
        ...


__all__ = ["Encoders", "Fake", "TextToImageGAN"]
