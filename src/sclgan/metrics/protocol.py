"""Named evaluation protocols: everything that moves a value, under one name.

Parmar et al. 2022 (arXiv 2104.11222) on resizing and quantisation, Chong & Forsyth 2020 (arXiv 1911.07023) on the
number of samples. Two protocols never share a column of a table.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Metric = Literal["frechet", "kernel", "inception_score", "r_precision", "diversity", "ground"]

RESIZE_LITE0 = "to 128 px in float: bilinear, half-pixel centres, antialiased where it shrinks"
NO_RESIZE = "none"
EIGHT_BIT = "uint8, rounded to nearest"


@dataclass(frozen=True)
class EvaluationProtocol:
    """One way to grade generated pictures. `extractor` is a name in `features.EXTRACTORS`, or None."""

    name: str
    metric: Metric
    extractor: str | None
    resize: str
    quantisation: str
    num_samples: int
    num_folds: int
    split: str
    better: Literal["lower", "higher"]
    purpose: str

    def label(self, num_samples: int) -> str:
        """The heading of the column: the name, and the number of samples where it is not the protocol's."""
        return self.name if num_samples == self.num_samples else f"{self.name}@{num_samples}"


_ALL = (
    EvaluationProtocol(
        name="fd_lite0",
        metric="frechet",
        extractor="lite0@128",
        resize=RESIZE_LITE0,
        quantisation=EIGHT_BIT,
        num_samples=5_000,
        num_folds=1,
        split="held-out",
        better="lower",
        purpose="quality and variety against real pictures; biased upwards by few samples, so compare equal numbers",
    ),
    EvaluationProtocol(
        name="kid_lite0",
        metric="kernel",
        extractor="lite0@128",
        resize=RESIZE_LITE0,
        quantisation=EIGHT_BIT,
        num_samples=5_000,
        num_folds=1,
        split="held-out",
        better="lower",
        purpose="quality and variety against real pictures, unbiased: the one to trust on small sets",
    ),
    EvaluationProtocol(
        name="is_lite0",
        metric="inception_score",
        extractor="lite0@128",
        resize=RESIZE_LITE0,
        quantisation=EIGHT_BIT,
        num_samples=5_000,
        num_folds=10,
        split="none: real pictures are not used",
        better="higher",
        purpose="confidence and variety in ImageNet's classes; blind to captions; for completeness of tables",
    ),
    EvaluationProtocol(
        name="r_precision_damsm",
        metric="r_precision",
        extractor=None,
        resize="the encoders' own",
        quantisation="none: the encoders see what the generator drew",
        num_samples=5_000,
        num_folds=10,
        split="held-out captions",
        better="higher",
        purpose="agreement with the caption; self-grading: the run's own encoders, which also trained the generator",
    ),
    EvaluationProtocol(
        name="diversity_lite0",
        metric="diversity",
        extractor="lite0@128",
        resize=RESIZE_LITE0,
        quantisation=EIGHT_BIT,
        num_samples=5_000,
        num_folds=1,
        split="held-out",
        better="higher",
        purpose="variety within a label; compare with the value of real pictures, which is the aim, not with infinity",
    ),
    EvaluationProtocol(
        name="ground",
        metric="ground",
        extractor=None,
        resize=NO_RESIZE,
        quantisation=EIGHT_BIT,
        num_samples=5_000,
        num_folds=1,
        split="held-out captions",
        better="higher",
        purpose="emoji source only: does the background have the ground that the caption names; chance 1/len(GROUNDS)",
    ),
)

PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType({protocol.name: protocol for protocol in _ALL})


def protocol_named(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        ValueError: there is none; the nearest name is given.
    """
    if name not in PROTOCOLS:
        nearest = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)[0]
        raise ValueError(f"there is no protocol {name!r}; did you mean {nearest!r}? Known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
