"""The samples of a stream that wait to be anchors or serve as partners: a buffer bounded in samples and in bytes."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

BYTES = 2**30
"""Bytes of the files in a buffer, unless another number is asked for."""


@dataclass(eq=False)
class Item:
    """A sample in the buffer. `origin` is its shard and its byte there, the same in every epoch; `places` are
    its positions among the samples of each of its labels."""

    number: int
    origin: tuple[str, int]
    image: bytes
    captions: Sequence[str]
    labels: Sequence[int]
    places: dict[int, int] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """The size of the picture's file and of the captions."""
        return len(self.image) + sum(map(len, self.captions))


class PairBuffer:
    """A bounded number of samples of a stream: the newer half are anchors to come, the older half were anchors.

    Each half holds at most half of `size` samples, and of `num_bytes` bytes beside the sample that is beyond them. Both
    halves serve as partners. At the end of an epoch a sample of the next may enter before its copy has left; the
    two are one picture and never partners.
    """

    def __init__(self, items: Iterator[Item], size: int, num_bytes: int = BYTES) -> None:
        self._items, self._half, self._half_bytes = items, size // 2, num_bytes // 2
        self._fresh: list[Item] = []
        self._used: deque[Item] = deque()
        self._fresh_bytes = self._used_bytes = 0
        self._of_label: dict[int, list[Item]] = {}
        self._of_origin: dict[tuple[str, int], list[Item]] = {}
        self._seen: Counter[int] = Counter()

    def anchor(self, rng: np.random.Generator) -> Item:
        """A sample that has not been an anchor yet, uniform over the newer half."""
        while not self._fresh or (len(self._fresh) < self._half and self._fresh_bytes < self._half_bytes):
            self._enter(next(self._items))
        place = int(rng.integers(len(self._fresh)))
        anchor, self._fresh[place] = self._fresh[place], self._fresh[-1]
        self._fresh.pop()
        self._fresh_bytes -= anchor.num_bytes
        self._used.append(anchor)
        self._used_bytes += anchor.num_bytes
        while len(self._used) > self._half or (len(self._used) > 1 and self._used_bytes > self._half_bytes):
            self._leave(self._used.popleft())
        return anchor

    def partners(self, anchor: Item, num: int, rng: np.random.Generator) -> tuple[int | None, list[Item]]:
        """The label of the anchor's pairs, None without labels, and its partners: the anchor itself if it is alone."""
        if not anchor.labels:
            return None, [anchor] * num
        copies = self._of_origin[anchor.origin]
        shared = [label for label in anchor.labels if len(self._of_label[label]) > len(copies)]
        if not shared:
            return anchor.labels[0], [anchor] * num
        weights = np.array([1 / self._seen[label] for label in shared])
        label = shared[int(rng.choice(len(shared), p=weights / weights.sum()))] if len(shared) > 1 else shared[0]
        members = self._of_label[label]
        own_places = sorted(copy.places[label] for copy in copies)
        partners = []
        for _ in range(num):
            place = int(rng.integers(len(members) - len(copies)))
            for own_place in own_places:
                place += place >= own_place
            partners.append(members[place])
        return label, partners

    def _enter(self, item: Item) -> None:
        self._fresh.append(item)
        self._fresh_bytes += item.num_bytes
        self._of_origin.setdefault(item.origin, []).append(item)
        for label in item.labels:
            members = self._of_label.setdefault(label, [])
            item.places[label] = len(members)
            members.append(item)
            self._seen[label] += 1

    def _leave(self, item: Item) -> None:
        self._used_bytes -= item.num_bytes
        copies = self._of_origin[item.origin]
        copies.remove(item)
        if not copies:
            del self._of_origin[item.origin]
        for label, place in item.places.items():
            last = self._of_label[label].pop()
            if last is not item:
                self._of_label[label][place] = last
                last.places[label] = place
