"""An evaluation protocol fixes everything that moves a value, under one name.

Parmar et al. 2022 (arXiv 2104.11222) on resizing and quantisation, Chong & Forsyth 2020 (arXiv 1911.07023) on the
number of samples. Two protocols never share a column of a table.
"""

from dataclasses import dataclass
from typing import Literal

Metric = Literal[
    "frechet",
    "kernel",
    "kernel_subsets",
    "inception_score",
    "precision",
    "recall",
    "r_precision",
    "clip_r_precision",
    "clip_score",
    "diversity",
    "background_accuracy",
    "class_accuracy",
    "class_accuracy_top5",
]

RESIZE_LITE = "to 128 px in float: bilinear, half-pixel centres, antialiased where it shrinks"
"""On emoji at 32 and 64 px, a classifier on Lite2's features recognises 56 and 54 % at an input of 96 px, 62 and 59 %
at 128 px, 68 and 67 % at 192 px, 70 and 70 % at 256 px, in 3.2, 4.7, 12.5 and 28 seconds of one core per 1,000
pictures: 128 px costs little more than Lite0 there, 3.9 seconds."""
RESIZE_TF1 = "to 299 px in float: TensorFlow 1's bilinear, no half-pixel centres, not antialiased"
RESIZE_CLEAN = "to 299 px in float: Pillow's bicubic, antialiased, clamped to [0, 255]"
RESIZE_LEGACY = "to 299 px in 8 bits: Pillow's bilinear, antialiased; then the mis-scaled input of early pytorch-fid"
RESIZE_CLIP = "to 224 px in 8 bits: Pillow's bicubic, antialiased"
EIGHT_BIT = "uint8, rounded to nearest"

PAPER_SIZE = 30_000
"""Generated pictures behind the tables of text-to-image GANs."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """One way to measure generated pictures. `extractor` is a name in `features.EXTRACTORS`, or None."""

    name: str
    metric: Metric
    extractor: str | None
    resize: str
    better: Literal["lower", "higher"]
    purpose: str
    used_by: str = "this package; needs no download"
    quantisation: str = EIGHT_BIT
    num_samples: int = 5_000
    num_folds: int = 1
    """Number of splits, folds or subsets whose mean is the value."""
    num_fitted: int = 0
    """Smallest number of real training pictures that a classifier is fitted to, 0 for none; see `training_reals`."""
    split: str = "held-out"

    @property
    def needs_captions(self) -> bool:
        """Whether it compares a picture with its caption."""
        return self.metric in ("r_precision", "clip_r_precision", "clip_score", "background_accuracy")

    def label(self, num_samples: int) -> str:
        """The heading of the column: the name, and the number of samples if it differs from the protocol's."""
        return self.name if num_samples == self.num_samples else f"{self.name}@{num_samples}"


NO_REALS = "none: real pictures are not used"
