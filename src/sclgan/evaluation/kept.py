"""What metrics are given of a picture, and what they keep of it until the last one is there."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.features.registry import Extractor
from sclgan.metrics.statistics import Estimate


@dataclass(frozen=True)
class GeneratedBatch:
    """Pictures to be graded and what they were made from.

    `indices` number the samples over all batches and ranks, each once: the result then depends neither on the batch
    size nor on the number of ranks. `labels` follow `reals.label_of`. The codes of the picture and of its caption in
    the encoders' common space are needed by R-precision alone.
    """

    indices: Int[Tensor, " b"]
    images: UInt8[Tensor, "b 3 h w"]
    captions: Sequence[str]
    labels: Int[Tensor, " b"]
    image_codes: Float[Tensor, "b d"] | None = None
    text_codes: Float[Tensor, "b d"] | None = None


Features = Mapping[str, Float[Tensor, "b d"]]
"""Rows by the name of the extractor."""

Encode = Callable[[UInt8[Tensor, "b 3 h w"], Sequence[str]], tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]]
"""Pictures and captions to their codes in the encoders' common space."""


@runtime_checkable
class Measure(Protocol):
    """What a protocol keeps of the pictures it has seen."""

    needs_reference: bool

    def update(self, batch: GeneratedBatch, features: Features) -> None: ...

    def over_ranks(self) -> "Measure":
        """Every rank's pictures, the same on every rank."""
        ...

    def estimate(self, reference: "Measure | None") -> Estimate:
        """The value; `reference` holds real pictures where `needs_reference`."""
        ...


@dataclass
class Rows:
    """Rows kept as they are, with the numbers of their samples."""

    indices: list[Tensor] = field(default_factory=list)
    columns: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, indices: Tensor, **columns: Tensor) -> None:
        self.indices.append(indices.cpu())
        for name, rows in columns.items():
            self.columns.setdefault(name, []).append(rows.detach().cpu())

    def over_ranks(self) -> "Rows":
        own = (torch.cat(self.indices), self.whole()) if self.indices else None
        parts = [part for part in distributed.gather_objects(own) if part is not None]
        order = torch.cat([indices for indices, _ in parts]).argsort() if parts else None
        names = parts[0][1] if parts else ()
        rows = Rows()
        if order is not None:
            columns = {name: torch.cat([part[name] for _, part in parts])[order] for name in names}
            rows.add(torch.cat([indices for indices, _ in parts])[order], **columns)
        return rows

    def whole(self) -> dict[str, Tensor]:
        return {name: torch.cat(parts) for name, parts in self.columns.items()}


class OfFeatures:
    """Keeps the features of an extractor and the labels."""

    needs_reference: bool = True

    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.rows = extractor, Rows()

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        self.rows.add(batch.indices, features=features[self.extractor.name], labels=batch.labels)

    def over_ranks(self) -> "OfFeatures":
        whole = copy(self)
        whole.rows = self.rows.over_ranks()
        return whole

    def estimate(self, reference: Measure | None) -> Estimate:
        raise NotImplementedError

    @property
    def features(self) -> Tensor:
        return self.rows.whole()["features"]


class KeptFeatures:
    """The features of every sample, in the order of their numbers: 4 bytes a number, 246 MB for 30,000 x 2,048."""

    def __init__(self, extractor: str) -> None:
        self.extractor = extractor
        self._indices: list[Tensor] = []
        self._rows: list[Tensor] = []

    def update(self, batch: GeneratedBatch, features: Features) -> None:
        """Adds the rows of a batch."""
        self._indices.append(batch.indices.cpu())
        self._rows.append(features[self.extractor].detach().cpu())

    def over_ranks(self) -> "KeptFeatures":
        """Those of every rank, the same on every rank; these stay as they are."""
        own = (torch.cat(self._indices), torch.cat(self._rows)) if self._indices else None
        parts = [part for part in distributed.gather_objects(own) if part is not None]
        whole = KeptFeatures(self.extractor)
        if parts:
            indices, rows = (torch.cat(column) for column in zip(*parts, strict=True))
            order = indices.argsort()
            whole._indices, whole._rows = [indices[order]], [rows[order]]
        return whole

    @property
    def rows(self) -> Float[Tensor, "n d"]:
        """All of them."""
        return torch.cat(self._rows)
