"""The types that move from a data set to a training step: pictures with captions, views, batches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sclgan.distributed import copied


@dataclass(frozen=True)
class Picture:
    """One drawn or decoded picture and one caption that is true of it.

    `attributes` are those of an `Attributed` source that the picture has, as indices into `attribute_names`.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    caption: str
    attributes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One row as it is stored: a picture file's bytes and all that is true of it, for packing and for other tools.

    `box` is the bounding box (left, top, width, height) in stored pixels, or None. `as_stored` says that the picture
    is read without its EXIF orientation and colour profile, see `images.decode`.
    """

    image: bytes
    captions: tuple[str, ...]
    labels: tuple[int, ...]
    split: str
    key: str
    box: tuple[int, int, int, int] | None = None
    as_stored: bool = False


@runtime_checkable
class Source(Protocol):
    """The labelled, captioned pictures of one split of a data set.

    `labels[i]` are the labels of row i, as indices into `label_names`, the dominant one first: one for CUB, several for
    COCO, none where the data have no labels. Everything that is random comes from the generator that is passed in, so
    that a row and a seed name one picture, on every worker and rank.

    `composes` says whether a row is composed anew for every draw, so that its pictures are without number, and not
    a stored picture that is cropped and flipped at most. `plain_backgrounds` says whether pictures are on backgrounds
    of one colour, which captions may name (see `backgrounds.BACKGROUNDS`). `credits` name those who must be credited
    wherever the pictures, or pictures generated from them, are shown.
    """

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def composes(self) -> bool: ...

    @property
    def plain_backgrounds(self) -> bool: ...

    @property
    def label_names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[tuple[int, ...]]: ...

    @property
    def keys(self) -> Sequence[str]: ...

    @property
    def credits(self) -> Sequence[str]:
        """Those who must be credited wherever the pictures are shown, or pictures that were learnt from them."""
        ...

    def __len__(self) -> int: ...

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` as a `size` x `size` picture with one of its captions; `augment` crops, shifts and flips."""
        ...

    def captions(self) -> Iterable[str]:
        """Every caption that `picture` can return, for building a vocabulary (repeats allowed)."""
        ...

    def sample(self, index: int) -> Sample:
        """Row `index` as a file with all its captions and labels, for packing."""
        ...


@runtime_checkable
class NamedClasses(Protocol):
    """A source whose classes have captions of their own, and which has a split of classes that training never sees.

    `class_captions[label]` names the class: "a giraffe". `unseen_split` is the split of classes that are in no other.
    """

    class_captions: Sequence[str]
    unseen_split: str


@runtime_checkable
class Attributed(Protocol):
    """A source whose pictures have more in common than labels: `attribute_names`, such as "red" or "by the sea".

    They belong to a picture, not to a row: a row that is composed anew may get another background. They make no pairs;
    the label rule "attributes" gives each a term in the contrast.
    """

    attribute_names: Sequence[str]


@dataclass(frozen=True)
class Captions:
    """Tokenised captions, padded with 0 to one length. Lengths stay on the CPU, where packing asks for them."""

    tokens: Int[Tensor, "b t"]
    lengths: Int[Tensor, " b"]

    def to(self, device: torch.device) -> "Captions":
        return Captions(copied(self.tokens, device), self.lengths)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> "Captions":
        return Captions(self.tokens[rows], self.lengths[rows])


@dataclass(frozen=True)
class View:
    """One image-text pair for each anchor of the batch.

    Images come as pixels of 0 to 255, a quarter of the bytes to move; on the device that `to` names they are floats
    in [-1, 1].
    """

    image: Float[Tensor, "b 3 h w"] | UInt8[Tensor, "b 3 h w"]
    captions: Captions

    def to(self, device: torch.device) -> "View":
        image = copied(self.image, device)
        if image.dtype == torch.uint8:
            image = image.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)
        return View(image, self.captions.to(device))


@dataclass(frozen=True)
class Batch:
    """Views of the same anchors: `views[1]` holds a partner of the same label for each row of `views[0]`.

    `labels` is the label that the row's views share in this step; rows that have none get a label of their own.
    `has_partner` is False where a row is alone with its label and was paired with itself. `label_sets` are all labels
    of each view's row, and its attributes, where the contrast has a term for each ("weighted", "attributes").
    """

    views: tuple[View, ...]
    labels: Int[Tensor, " b"]
    has_partner: Bool[Tensor, " b"]
    label_sets: Bool[Tensor, "v b l"] | None = None

    def to(self, device: torch.device) -> "Batch":
        """The batch on the device, but for `has_partner` and the captions' lengths, which only the host reads."""
        label_sets = None if self.label_sets is None else copied(self.label_sets, device)
        views = tuple(view.to(device) for view in self.views)
        return Batch(views, copied(self.labels, device), self.has_partner, label_sets)

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU reads by itself; what a `DataLoader` calls."""
        views = tuple(
            View(view.image.pin_memory(), Captions(view.captions.tokens.pin_memory(), view.captions.lengths))
            for view in self.views
        )
        label_sets = None if self.label_sets is None else self.label_sets.pin_memory()
        return Batch(views, self.labels.pin_memory(), self.has_partner, label_sets)
