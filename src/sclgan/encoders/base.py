"""Encoder pairs: codes of texts and of images in one common space."""

import abc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sclgan.data.captions import Reading
from sclgan.data.types import Captions
from sclgan.losses.terms import Terms


@runtime_checkable
class Tokenizer(Protocol):
    """Turns captions into the tokens of the pair's text encoder; its class says how it is made and saved."""

    file_name: ClassVar[str]
    """The name of its file in a run folder."""

    @classmethod
    def of(cls, captions: Iterable[str], *, max_words: int) -> "Tokenizer":
        """The tokenizer for training on these captions; one with a fixed vocabulary does not look at them."""
        ...

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads what `save` wrote."""
        ...

    @property
    def max_words(self) -> int:
        """The largest number of words of a caption that it passes on."""
        ...

    @property
    def num_tokens(self) -> int:
        """Rows of the text encoder's embedding table."""
        ...

    def __call__(self, captions: Sequence[str]) -> Captions: ...

    def read(self, caption: str) -> Reading:
        """The words of `caption` that it passes on, and those that it leaves out."""
        ...

    def save(self, path: Path) -> None: ...


@dataclass(frozen=True)
class TextCodes:
    """A batch of encoded captions. `mask` is True at real words, False at padding."""

    sentence: Float[Tensor, "b d"]
    words: Float[Tensor, "b d t"]
    mask: Bool[Tensor, "b t"]

    def __getitem__(self, rows: slice) -> "TextCodes":
        return TextCodes(self.sentence[rows], self.words[rows], self.mask[rows])

    def repeat_interleave(self, times: int) -> "TextCodes":
        """Each row repeated `times` times in succession."""
        rows = (part.repeat_interleave(times, dim=0) for part in (self.sentence, self.words, self.mask))
        return TextCodes(*rows)


@dataclass(frozen=True)
class ImageCodes:
    """A batch of encoded images: one code and a map of region codes per image, in the space of the text codes."""

    image: Float[Tensor, "b d"]
    regions: Float[Tensor, "b d r s"]
    maps: tuple[Float[Tensor, "b _c _h _w"], ...] = ()
    """The frozen trunk's own features on several scales, fine to coarse; `Encoders.map_channels` are their widths."""


class Encoders(nn.Module, abc.ABC):
    """A text and an image encoder with a common space; built with the number of tokens of its tokenizer."""

    tokenizer: ClassVar[type[Tokenizer]]
    """The tokenizer of its text encoder."""
    code_size: int
    """Width of the common space."""
    frozen_prefixes: tuple[str, ...] = ()
    """Beginnings of the state-dict keys that checkpoints leave out: public weights that training does not change."""
    saves_trunk: bool = False
    """Whether checkpoints hold the weights of an image trunk that others take from its public file."""
    mask_same_label: bool = True
    """Whether pairs of the same label are excluded as rivals in the matching terms of both phases."""
    map_channels: tuple[int, ...] = ()
    """Channels of each of `ImageCodes.maps`; empty where the trunk gives none."""

    def __init__(self) -> None:
        super().__init__()
        self.label_classifier: nn.Linear | None = None
        self.projection: nn.Sequential | None = None
        self.projection_size: int | None = None

    def add_label_classifier(self, num_labels: int) -> None:
        """Adds a linear classifier of either code, for cross entropy as the way to use labels."""
        self.label_classifier = nn.Linear(self.code_size, num_labels)

    def add_projection(self, size: int) -> None:
        """Adds a head of two layers between either code and the contrast (Chen et al. 2020, "SimCLR").

        The contrast then shapes the head's output, and the codes can keep what pictures of a label do not share.
        """
        self.projection_size = size
        self.projection = nn.Sequential(nn.Linear(self.code_size, size), nn.ReLU(), nn.Linear(size, size))

    @classmethod
    def for_texts(cls, constructor: "Callable[[int], Encoders]") -> "Callable[[int], Encoders]":
        """`constructor`, which builds this class, without the image trunk if texts can be encoded without it."""
        return constructor

    @classmethod
    def without_weights(cls, constructor: "Callable[[int], Encoders]") -> "Callable[[int], Encoders]":
        """`constructor`, which builds this class, without public weights: for networks of which only shapes matter."""
        return cls.for_texts(constructor)

    @abc.abstractmethod
    def encode_text(self, captions: Captions) -> TextCodes:
        """Codes of tokenised captions."""

    @abc.abstractmethod
    def encode_image(self, image: Float[Tensor, "b 3 h w"]) -> ImageCodes:
        """Codes of images in [-1, 1] of any size; differentiable in the image."""

    @abc.abstractmethod
    def matching_terms(self, text: TextCodes, image: ImageCodes, labels: Int[Tensor, " b"] | None) -> Terms:
        """The base method's own pre-training terms for one view, unweighted."""

    @abc.abstractmethod
    def text_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of the text encoder."""

    @abc.abstractmethod
    def trainable_parameters(self) -> list[nn.Parameter]:
        """All parameters that pre-training changes."""


@runtime_checkable
class Backbone(Protocol):
    """A pre-trained trunk below an image encoder; an `nn.Module` as well.

    It takes images in [-1, 1] of any size, resizes and normalises them itself, and is differentiable in them.
    """

    region_channels: int
    pooled_channels: int

    def __call__(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b p"]]:
        """The map that region codes are made of (c = `region_channels`), and one vector (p = `pooled_channels`)."""
        ...


@runtime_checkable
class MultiScaleBackbone(Backbone, Protocol):
    """A backbone that also gives its features on several scales, which a discriminator can judge."""

    map_channels: tuple[int, ...]

    def with_maps(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b p"], tuple[Float[Tensor, "b _c _h _w"], ...]]:
        """The outputs of the backbone for the images, and the maps, fine to coarse, of the same pass."""
        ...


class NoTrunk(nn.Module):
    """A trunk without weights, as wide as the one that it replaces: for encoders that only read texts."""

    def __init__(self, *, region_channels: int, pooled_channels: int, map_channels: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.region_channels, self.pooled_channels = region_channels, pooled_channels
        self.map_channels = map_channels

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b p"]]:
        return self.with_maps(image)[:2]

    def with_maps(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b p"], tuple[Float[Tensor, "b _c _h _w"], ...]]:
        """Fails: see `forward` of the trunk that it replaces."""
        del image
        raise RuntimeError("these encoders read texts alone: open them with images=True to encode pictures")
