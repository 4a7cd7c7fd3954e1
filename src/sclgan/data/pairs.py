"""Same-label pairs: the sampling that starts the two branches (Liu et al. 2024, Fig. 1 and 2).

How partners are drawn is not published in detail; this is our reconstruction (`docs/paper-to-code.md`), and
`labels.py` has its rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset

from sclgan.data.captions import thinned
from sclgan.data.labels import LabelRule, Partners
from sclgan.data.types import Attributed, Batch, Captions, Picture, Source, View
from sclgan.distributed import own_rows
from sclgan.random import Stream, numpy_generator


class PairedBatches(Dataset[Batch]):
    """Step -> this rank's rows of the step's batch: an anchor and, for each further view, a partner of its label.

    Anchors run through one shuffled epoch after the other. Their label in the step and their partners follow
    `label_rule`; each view has its own caption and its own augmentation. All of it is a function of (seed, epoch, row),
    so the order does not depend on the number of workers or ranks, nor on where a run was resumed; and the first view
    of a run with two views is the only view of a run with one.

    `thin_to` is the number of words that longer captions are thinned to, see `captions.thinned`; None leaves them to
    the tokenizer. Whether the labels are worth anything is `objective.objective_notes`' to say.
    """

    def __init__(
        self,
        source: Source,
        tokenizer: Callable[[Sequence[str]], Captions],
        *,
        num_views: int,
        batch_size: int,
        image_size: int,
        seed: int,
        label_rule: LabelRule = "shared",
        thin_to: int | None = None,
    ) -> None:
        if num_views < 1 or batch_size < 1:
            raise ValueError(f"num_views and batch_size must be at least 1, not {num_views} and {batch_size}")
        self.source, self.tokenizer = source, tokenizer
        self.num_views, self.batch_size, self.image_size, self.seed = num_views, batch_size, image_size, seed
        self.thin_to = thin_to
        self.partners = Partners(source.labels, len(source.label_names), label_rule)
        self.num_attributes = num_attributes(source) if label_rule == "attributes" else 0
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show as many pictures as there are rows, all views counted, rounded up."""
        return -(-len(self.source) // (self.batch_size * self.num_views))

    def rows(self, step: int) -> list[tuple[int, int]]:
        """(epoch, anchor) of every row of the global batch."""
        rows = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, place = divmod(position, len(self.source))
            if epoch != self._epoch:
                self._order = numpy_generator(Stream.ORDER, self.seed, epoch).permutation(len(self.source))
                self._epoch = epoch
            rows.append((epoch, int(self._order[place])))
        return rows

    def __getitem__(self, step: int) -> Batch:
        own = self.rows(step)[own_rows(self.batch_size)]
        views = [Pictures(len(own), self.image_size) for _ in range(self.num_views)]
        rows_of_views: list[list[int]] = [[] for _ in range(self.num_views)]
        attributes = np.zeros((self.num_views, len(own), self.num_attributes), bool)
        labels = []
        for place, (epoch, anchor) in enumerate(own):
            rng = numpy_generator(Stream.PAIR, self.seed, epoch, anchor)
            label, row = -1, anchor
            for number in range(self.num_views):
                if number:
                    row = self.partners.partner(anchor, label, rng)
                picture = self.picture(row, rng)
                views[number].append(picture)
                if self.num_attributes:
                    attributes[number, place, list(picture.attributes)] = True
                rows_of_views[number].append(row)
                if not number:  # after the first picture, which then does not depend on the rule
                    label = self.partners.label(anchor, rng)
            labels.append(label)
        has_partner = [last != anchor for anchor, last in zip(rows_of_views[0], rows_of_views[-1], strict=True)]
        label_sets = None
        if self.partners.rule in ("weighted", "attributes"):
            labels_of_rows = np.stack([self.partners.multi_hot(rows) for rows in rows_of_views])
            label_sets = torch.from_numpy(np.concatenate([labels_of_rows, attributes], axis=2))
        return Batch(
            tuple(view.collated(self.tokenizer) for view in views),
            torch.tensor(labels),
            torch.tensor(has_partner),
            label_sets,
        )

    def picture(self, row: int, rng: np.random.Generator) -> Picture:
        """A row, augmented, with a caption as short as the text encoder reads it."""
        picture = self.source.picture(row, self.image_size, rng)
        if self.thin_to is None:
            return picture
        return replace(picture, caption=thinned(picture.caption, self.thin_to, rng))


def num_attributes(source: Source) -> int:
    """How many attributes the pictures of a source can have.

    Raises:
        ValueError: they have none, so that the label rule "attributes" cannot be used.
    """
    if not isinstance(source, Attributed):
        raise ValueError(
            f"'{source.name}' has no attributes, which label_rule=attributes needs: take another label_rule, such as "
            "weighted, which has a term for every label of a picture"
        )
    return len(source.attribute_names)


def collate(pictures: Sequence[Picture], tokenizer: Callable[[Sequence[str]], Captions]) -> View:
    """Pictures of one size as a view: pixels and tokens."""
    view = Pictures(len(pictures), len(pictures[0].pixels))
    for picture in pictures:
        view.append(picture)
    return view.collated(tokenizer)


class Pictures:
    """A view while its pictures come in: each is copied to its place at once, while it is in the processor's cache."""

    def __init__(self, num_pictures: int, size: int) -> None:
        self._pixels = np.empty((num_pictures, size, size, 3), np.uint8)
        self._captions: list[str] = []

    def append(self, picture: Picture) -> None:
        """The next picture."""
        self._pixels[len(self._captions)] = picture.pixels
        self._captions.append(picture.caption)

    def collated(self, tokenizer: Callable[[Sequence[str]], Captions]) -> View:
        """The view: pixels and tokens."""
        return View(torch.from_numpy(self._pixels).permute(0, 3, 1, 2), tokenizer(self._captions))
