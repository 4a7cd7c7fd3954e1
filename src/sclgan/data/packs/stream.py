"""Batches of same-label pairs from shards that are read in a stream, for data that do not fit on a disk.

The shards are WebDataset's, on a disk or behind a URL that its library opens. Since nothing is read at random, partners
come from a bounded buffer; docs/large-data.md computes what that costs.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from sclgan.data.captions import TextReader, thinned
from sclgan.data.labels import LabelRule
from sclgan.data.packs.buffer import BYTES, Item, PairBuffer
from sclgan.data.packs.decode import training_pixels
from sclgan.data.packs.members import Member, Readable, members_of_stream
from sclgan.data.packs.read import Packed
from sclgan.data.packs.shards import LeftOutError, Unused, groups, sample_of
from sclgan.data.packs.texts import Texts
from sclgan.data.pairs import Pictures
from sclgan.data.printable import printable
from sclgan.data.types import Batch, Picture
from sclgan.distributed import own_rows, rank, world_size
from sclgan.random import Stream, numpy_generator

try:
    import webdataset
except ImportError:
    webdataset = None

log = logging.getLogger(__name__)


class Streamed:
    """Batches of pairs like those of `PairedBatches`, from shards read one after the other in a random order.

    Each worker of each rank reads its own share of the shards of an epoch and has a buffer of `buffer_size`
    samples, as files, and of `buffer_bytes` where these are fewer. Anchors are drawn from the newer half of it,
    each sample once per epoch. The pair's label is drawn among the anchor's labels that another sample in the
    buffer has, with weights 1 / how often they were seen; the partner is uniform over those other samples. Without
    one the anchor is paired with itself.

    `source` is a pack of the same data, or of a part of it: its labels number those of the stream, and an epoch has as
    many pictures as it has rows. The order is a function of the seed, the step where a run began, ranks and workers; a
    run that continues sees a different order from one that was never interrupted.

    `urls` is in WebDataset's notation, such as "https://server/train-{000000..000999}.tar" or "pipe:command ...",
    which runs the command. `label_rule` may be "shared", which is described above, or "itself"; `thin_to` is that of
    `PairedBatches`.

    Raises:
        ValueError: the webdataset library is not installed, a number is too small, the label rule is another, or the
            data have no labels and there is more than one view.
    """

    def __init__(
        self,
        urls: str,
        source: Packed,
        tokenizer: TextReader,
        *,
        num_views: int,
        batch_size: int,
        image_size: int,
        seed: int,
        label_rule: LabelRule = "shared",
        thin_to: int | None = None,
        buffer_size: int = 4096,
        buffer_bytes: int = BYTES,
    ) -> None:
        if webdataset is None:
            raise ValueError("reading a stream needs the webdataset library: pip install 'sclgan[stream]'")
        if min(num_views, batch_size, buffer_size // 2) < 1:
            raise ValueError(
                f"num_views and batch_size must be at least 1 and buffer_size at least 2, not {num_views}, "
                f"{batch_size} and {buffer_size}"
            )
        if label_rule not in ("shared", "itself"):
            raise ValueError(f"a stream makes pairs by the label rules 'shared' and 'itself', not {label_rule!r}")
        if num_views > 1 and label_rule == "shared" and not source.label_names:
            raise ValueError(f"'{source.name}' has no labels, and two views of one label need them: set num_views=1")
        self.urls = webdataset.shardlists.expand_urls(urls)
        self.source, self.tokenizer = source, tokenizer
        self.num_views, self.batch_size, self.image_size, self.seed = num_views, batch_size, image_size, seed
        self.label_rule, self.thin_to = label_rule, thin_to
        self.buffer_size, self.buffer_bytes = buffer_size, buffer_bytes

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show as many pictures as `source` has, counting all views, rounded up."""
        return -(-len(self.source) // (self.batch_size * self.num_views))

    def from_step(self, step: int) -> Dataset[Batch]:
        """The endless batches of a run that begins after `step`, for a `DataLoader` with batch_size=None."""
        return _Batches(self, step)

    def batches(self, start: int) -> Iterator[Batch]:
        """This worker's share of these batches, with the rows of this rank."""
        info = get_worker_info()
        worker, num_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        place, num_places = rank() * num_workers + worker, world_size() * num_workers
        if len(self.urls) < num_places:
            raise ValueError(
                f"{len(self.urls)} shards cannot be divided among {num_places} processes that read: "
                "take fewer workers, or smaller shards"
            )
        rng = numpy_generator(Stream.STREAM, self.seed, start, place)
        buffer = PairBuffer(self._items(start, place, num_places), self.buffer_size, self.buffer_bytes)
        own = range(self.batch_size)[own_rows(self.batch_size)]
        while True:
            yield self._batch(len(own), buffer, rng, place, num_places)

    def _batch(self, num_rows: int, buffer: PairBuffer, rng: np.random.Generator, place: int, num_places: int) -> Batch:
        views = [Pictures(num_rows, self.image_size) for _ in range(self.num_views)]
        labels: list[int] = []
        has_partner: list[bool] = []
        while len(labels) < num_rows:
            anchor = buffer.anchor(rng)
            label, partners = buffer.partners(anchor, self.num_views - 1, rng)
            if self.label_rule == "itself":
                partners = [anchor] * len(partners)
            try:
                pictures = [self._picture(item, rng) for item in (anchor, *partners)]
            except ValueError as error:
                _warn_left_out(error)
                continue
            for view, picture in zip(views, pictures, strict=True):
                view.append(picture)
            unlike_any = len(self.source.label_names) + anchor.number * num_places + place
            labels.append(unlike_any if label is None else label)
            has_partner.append(bool(partners) and partners[-1] is not anchor)
        views_of_batch = tuple(view.collated(self.tokenizer) for view in views)
        return Batch(views_of_batch, torch.tensor(labels), torch.tensor(has_partner))

    def _picture(self, item: Item, rng: np.random.Generator) -> Picture:
        caption, *draws = rng.random(4).tolist()
        url, offset = item.origin
        pixels = training_pixels(
            bytearray(item.image), self.image_size, draws, name=f"{url}, picture at byte {offset:,}"
        )
        text = item.captions[int(caption * len(item.captions))]
        return Picture(pixels, text if self.thin_to is None else thinned(text, self.thin_to, rng))

    def _items(self, start: int, place: int, num_places: int) -> Iterator[Item]:
        """The samples of this process's shards, epoch after epoch; damaged ones are named and left out."""
        label_of = self.source.label_of
        number = 0
        for epoch in range(2**31):
            before = number
            order = numpy_generator(Stream.SHARD_ORDER, self.seed, start, epoch).permutation(len(self.urls))
            urls = [self.urls[shard] for shard in order[place::num_places]]
            for url in urls:
                unused = Unused()
                for picture, texts in _samples(url, unused):
                    labels = [label_of[label] for label in texts.labels if label in label_of]
                    if len(labels) < len(texts.labels):
                        unused.texts["labels that the pack does not have"] += len(texts.labels) - len(labels)
                    captions = [text for text in texts.captions if self.tokenizer.read(text).words]
                    if len(captions) < len(texts.captions):
                        unused.texts["captions without a word of the vocabulary"] += len(texts.captions) - len(captions)
                    if not captions:
                        continue
                    yield Item(number, (url, picture.offset), picture.content, captions, labels)
                    number += 1
                for note in unused.notes() if epoch == 0 else ():
                    _warn_left_out(f"{url}: {note}")
            if number == before:
                raise ValueError(f"none of {len(urls)} shards holds a sample that can be read, as {urls[0]}")


class _Batches(IterableDataset[Batch]):
    """The batches as a `DataLoader` copies them to its workers."""

    def __init__(self, stream: Streamed, start: int) -> None:
        self.stream, self.start = stream, start

    def __iter__(self):  # type: ignore[no-untyped-def]  # beartype refuses the hint that mypy wants
        return self.stream.batches(self.start)


def _samples(url: str, unused: Unused) -> Iterator[tuple[Member, Texts]]:
    """Picture and texts of the samples of a shard; damaged samples are named and left out, and after a damaged header
    the rest of the shard."""
    try:
        with _opened(url) as file:
            for group in groups(members_of_stream(file), unused):
                for problem in group.problems:
                    _warn_left_out(f"{url}: {problem}")
                if not group.files:
                    continue
                try:
                    sample = sample_of(group, unused)
                except LeftOutError:
                    continue
                except ValueError as error:
                    _warn_left_out(f"{url}: {group.name}: {error}")
                    continue
                yield sample
    except (OSError, ValueError) as error:
        _warn_left_out(f"{url}: {error}")


@contextmanager
def _opened(url: str) -> Iterator[Readable]:
    """A shard to read. A command that writes it is ended if the rest is not read: it may never end by itself."""
    file = webdataset.gopen(url)
    try:
        yield file
    except BaseException:
        if (command := getattr(file, "proc", None)) is not None:
            command.terminate()
        with suppress(OSError):  # says how the command ended
            file.close()
        raise
    file.close()


def _warn_left_out(what: object) -> None:
    log.warning("left out: %s", printable(" ".join(str(what).split())))
