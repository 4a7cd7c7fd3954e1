"""The protocol of a text-to-image GAN, as the training loop sees it: four verbs."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.gans.augmentation import Augment, unchanged
from sclgan.losses.terms import Terms


@dataclass(frozen=True)
class Fake:
    """The output of a generator: images in [-1, 1] from coarse to fine, and maps that a user can look at."""

    images: tuple[Float[Tensor, "b 3 _h _w"], ...]
    maps: tuple[Float[Tensor, "b _n _h _w"], ...] = ()
    maps_of_words: bool = False
    """Whether a map has a channel per word, as attention has; a mask has one."""

    @property
    def image(self) -> Float[Tensor, "b 3 _h _w"]:
        """The last, finest image."""
        return self.images[-1]


@dataclass(frozen=True, kw_only=True)
class EncodedFake(Fake):
    """A fake and how to encode it, for GANs whose D judges the encoder's features, which are computed once for D and G.

    `dataclasses.replace` makes one that is not encoded yet.
    """

    encode: Callable[[Tensor], ImageCodes]

    @cached_property
    def codes(self) -> ImageCodes:
        """The frozen encoder's codes of the image; gradients flow into the image."""
        return self.encode(self.image)


def embedded(fake: Fake, encoders: Encoders) -> ImageCodes:
    """The codes of the last image; gradients flow into the image."""
    return fake.codes if isinstance(fake, EncodedFake) else encoders.encode_image(fake.image)


def refuse_unknown(only: Collection[str], names: Collection[str]) -> None:
    """Refuses terms of D that a GAN does not have.

    Raises:
        ValueError: names them and those that it has.
    """
    if unknown := set(only) - set(names):
        raise ValueError(f"D has no terms {sorted(unknown)}, only {sorted(names)}")


@runtime_checkable
class TextToImageGAN(Protocol):
    """A generator and a discriminator of one paper, with that paper's losses as named, unweighted terms.

    A GAN knows neither views nor ranks nor the contrastive loss: the training step calls it once per view.
    `encoders` are frozen and belong to the caller; they are passed in, never stored in a checkpoint of the GAN.
    """

    generator: nn.Module
    z_dim: int
    discriminator_term_names: frozenset[str]
    generator_term_names: frozenset[str]
    terms_without_codes: frozenset[str]
    """Terms of the generator that do not read the codes of its images, so that these need not be computed."""

    @property
    def discriminator(self) -> nn.Module: ...

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> Fake: ...

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the last image; gradients flow into the image."""
        ...

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        only: Collection[str],
        augment: Augment = unchanged,
    ) -> Terms:
        """The terms of D named in `only`; `fake` is not differentiated.

        `augment` is applied to `real` here, so that a penalty can be on the raw picture; `fake` comes augmented.
        """
        ...

    def generator_terms(
        self,
        fake: Fake,
        codes: ImageCodes | None,
        text: TextCodes,
        labels: Int[Tensor, " b"],
        only: Collection[str] | None = None,
    ) -> Terms:
        """The terms of G named in `only`, or all; `codes` is what `embed` returned for `fake`.

        `codes` may be None where `only` holds nothing but `terms_without_codes`.
        """
        ...


__all__ = ["EncodedFake", "Encoders", "Fake", "TextToImageGAN", "embedded"]
