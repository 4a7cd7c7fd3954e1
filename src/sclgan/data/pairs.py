"""Same-label pairs: the sampling that starts the two branches (Liu et al. 2024, Fig. 1 and 2).

How partners are drawn is not published in detail; this is our reconstruction (`docs/paper-to-code.md`).
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from sclgan.data.types import Batch, Captions, Picture, Source, View
from sclgan.distributed import own_rows
from sclgan.random import numpy_generator

log = logging.getLogger(__name__)


class PairedBatches(Dataset[Batch]):
    """Step -> this rank's rows of the step's batch: an anchor and, for each further view, a partner of its label.

    Anchors run through one shuffled epoch after the other. A partner is uniform over the other rows of the label;
    each view has its own caption and its own augmentation. All of it is a function of (seed, epoch, row), so the
    order does not depend on the number of workers or ranks, nor on where a run was resumed; and the first view of a
    run with two views is the only view of a run with one.

    Raises:
        ValueError: more than one view of data without labels, or of rows with several labels.
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
    ) -> None:
        if num_views < 1 or batch_size < 1:
            raise ValueError(f"num_views and batch_size must be at least 1, not {num_views} and {batch_size}")
        self.source, self.tokenizer = source, tokenizer
        self.num_views, self.batch_size, self.image_size, self.seed = num_views, batch_size, image_size, seed
        self._partners = self._rows_of_each_label() if num_views > 1 else {}
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)

    def _rows_of_each_label(self) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = {}
        for row, labels in enumerate(self.source.labels):
            if len(labels) > 1:
                raise ValueError(f"row {row} of '{self.source.name}' has {len(labels)} labels; pairs need one a row")
            for label in labels:
                rows.setdefault(label, []).append(row)
        if not rows:
            raise ValueError(
                f"'{self.source.name}' has no labels, and two views of one label need them: "
                "give the pictures labels, or train with num_views=1 and without 'contrast'"
            )
        num_alone = sum(len(members) == 1 for members in rows.values())
        num_without = sum(not labels for labels in self.source.labels)
        if num_alone or num_without:
            log.warning(
                "%d rows are alone with their label and %d have none: each is paired with itself",
                num_alone,
                num_without,
            )
        return rows

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show every row once, rounded up."""
        return -(-len(self.source) // self.batch_size)

    def rows(self, step: int) -> list[tuple[int, int]]:
        """(epoch, anchor) of every row of the global batch."""
        rows = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, place = divmod(position, len(self.source))
            if epoch != self._epoch:
                self._order = numpy_generator(self.seed, epoch).permutation(len(self.source))
                self._epoch = epoch
            rows.append((epoch, int(self._order[place])))
        return rows

    def partner(self, anchor: int, rng: np.random.Generator) -> int:
        """A uniform other row of the anchor's label; the anchor itself where there is none."""
        others = [row for label in self.source.labels[anchor] for row in self._partners[label] if row != anchor]
        return others[rng.integers(len(others))] if others else anchor

    def __getitem__(self, step: int) -> Batch:
        own = self.rows(step)[own_rows(self.batch_size)]
        views = [Pictures(len(own), self.image_size) for _ in range(self.num_views)]
        labels, has_partner = [], []
        for epoch, anchor in own:
            rng = numpy_generator(self.seed, epoch, anchor)
            row = anchor
            for number, view in enumerate(views):
                if number:
                    row = self.partner(anchor, rng)
                view.append(self.source.picture(row, self.image_size, rng))
            of_anchor = self.source.labels[anchor]
            labels.append(of_anchor[0] if of_anchor else len(self.source.label_names) + anchor)
            has_partner.append(row != anchor)
        return Batch(
            tuple(view.collated(self.tokenizer) for view in views), torch.tensor(labels), torch.tensor(has_partner)
        )


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
