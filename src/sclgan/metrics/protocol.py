"""Named evaluation protocols: everything that moves a value, under one name.

Parmar et al. 2022 (arXiv 2104.11222) on resizing and quantisation, Chong & Forsyth 2020 (arXiv 1911.07023) on the
number of samples. Two protocols never share a column of a table.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
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
    "ground",
    "class_accuracy",
    "class_accuracy_top5",
]

RESIZE_LITE = "to 128 px in float: bilinear, half-pixel centres, antialiased where it shrinks"
RESIZE_TF1 = "to 299 px in float: TensorFlow 1's bilinear, no half-pixel centres, not antialiased"
RESIZE_CLEAN = "to 299 px in float: Pillow's bicubic, antialiased, clamped to [0, 255]"
RESIZE_LEGACY = "to 299 px in 8 bits: Pillow's bilinear, antialiased; then the mis-scaled input of early pytorch-fid"
RESIZE_CLIP = "to 224 px in 8 bits: Pillow's bicubic, antialiased"
EIGHT_BIT = "uint8, rounded to nearest"

PAPER_SIZE = 30_000
"""Generated pictures behind the tables of text-to-image GANs."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """One way to grade generated pictures. `extractor` is a name in `features.EXTRACTORS`, or None."""

    name: str
    metric: Metric
    extractor: str | None
    resize: str
    better: Literal["lower", "higher"]
    purpose: str
    used_by: str = "this package, where nothing can be fetched"
    quantisation: str = EIGHT_BIT
    num_samples: int = 5_000
    num_folds: int = 1
    """Splits, folds or subsets that the value is the mean of."""
    num_fitted: int = 0
    """Real training pictures that a classifier is fitted to, at least; 0 where none is; see `training_reals`."""
    split: str = "held-out"

    @property
    def needs_captions(self) -> bool:
        """Whether it compares a picture with its caption."""
        return self.metric in ("r_precision", "clip_r_precision", "clip_score", "ground")

    @property
    def needs_labels(self) -> bool:
        """Whether it tells pictures of one label from others; without labels each is its own."""
        return self.metric in ("r_precision", "clip_r_precision", "diversity")

    def label(self, num_samples: int) -> str:
        """The heading of the column: the name, and the number of samples where it is not the protocol's."""
        return self.name if num_samples == self.num_samples else f"{self.name}@{num_samples}"


NO_REALS = "none: real pictures are not used"

_LITERATURE = (
    EvaluationProtocol(
        name="fid",
        metric="frechet",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=PAPER_SIZE,
        better="lower",
        purpose="the FID: quality and variety against real pictures; biased upwards by few samples",
        used_by="Heusel et al. 2017 and most later work; SSA-GAN's table; DM-GAN's column of TensorFlow FID",
    ),
    EvaluationProtocol(
        name="fid_clean",
        metric="frechet",
        extractor="inception@clean",
        resize=RESIZE_CLEAN,
        num_samples=PAPER_SIZE,
        better="lower",
        purpose="the FID with a resize that does not alias: for pictures of other sizes than 299 px",
        used_by="Parmar et al. 2022 and those who use clean-fid",
    ),
    EvaluationProtocol(
        name="fid_t2i_legacy",
        metric="frechet",
        extractor="inception@t2i_legacy",
        resize=RESIZE_LEGACY,
        num_samples=PAPER_SIZE,
        better="lower",
        purpose="to compare with tables of text-to-image GANs that used torchvision's network; not the FID",
        used_by="DM-GAN, DF-GAN, GALIP and, as far as one can tell, the paper of this method",
    ),
    EvaluationProtocol(
        name="kid",
        metric="kernel_subsets",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=PAPER_SIZE,
        num_folds=100,
        better="lower",
        purpose="the KID, unbiased: for sets of some thousands; mean over random subsets of 1,000",
        used_by="Binkowski et al. 2018, LAFITE",
    ),
    EvaluationProtocol(
        name="inception_score",
        metric="inception_score",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=PAPER_SIZE,
        num_folds=10,
        split=NO_REALS,
        better="higher",
        purpose="confidence and variety in ImageNet's classes; blind to captions",
        used_by="Salimans et al. 2016; COCO columns of AttnGAN, DM-GAN",
    ),
    EvaluationProtocol(
        name="inception_score_cub",
        metric="inception_score",
        extractor="inception-cub",
        resize="to 299 px in 8 bits: bilinear",
        num_samples=PAPER_SIZE,
        num_folds=10,
        split=NO_REALS,
        better="higher",
        purpose="confidence and variety in 50 bird classes",
        used_by="StackGAN and the CUB columns of AttnGAN, DM-GAN, DF-GAN, SSA-GAN",
    ),
    EvaluationProtocol(
        name="r_precision",
        metric="r_precision",
        extractor=None,
        resize="the encoders' own",
        quantisation="none: the encoders see what the generator drew",
        num_samples=PAPER_SIZE,
        num_folds=10,
        split="held-out captions",
        better="higher",
        purpose="is the own caption nearer than 99 of other classes; self-grading: the encoders that trained the GAN",
        used_by="DM-GAN; on fewer pictures AttnGAN",
    ),
    EvaluationProtocol(
        name="r_precision_clip",
        metric="clip_r_precision",
        extractor="clip-vit-b-32",
        resize=RESIZE_CLIP,
        num_samples=PAPER_SIZE,
        num_folds=10,
        split="held-out captions",
        better="higher",
        purpose="the same by an untouched CLIP, which did not train the GAN (but see GALIP)",
        used_by="after Park et al. 2021, who fine-tune CLIP: not comparable with theirs",
    ),
    EvaluationProtocol(
        name="clip_score",
        metric="clip_score",
        extractor="clip-vit-b-32",
        resize=RESIZE_CLIP,
        num_samples=PAPER_SIZE,
        split="held-out captions",
        better="higher",
        purpose="mean cosine of picture and caption in an untouched CLIP; GALIP trains with this very network",
        used_by="GALIP prints it, times 100, of an input that it scales twice; Hessel et al. 2021 times 2.5",
    ),
    EvaluationProtocol(
        name="clip_score_l14",
        metric="clip_score",
        extractor="clip-vit-l-14",
        resize=RESIZE_CLIP,
        num_samples=PAPER_SIZE,
        split="held-out captions",
        better="higher",
        purpose="the same in a CLIP that no GAN here trains with: the one to trust for GALIP",
        used_by="after StyleGAN-T, which takes a still larger tower",
    ),
    EvaluationProtocol(
        name="precision",
        metric="precision",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=10_000,
        better="higher",
        purpose="the share of generated pictures among the neighbours of real ones: quality",
        used_by="Kynkaanniemi et al. 2019, there with VGG-16; with these features Dhariwal & Nichol 2021",
    ),
    EvaluationProtocol(
        name="recall",
        metric="recall",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=10_000,
        better="higher",
        purpose="the share of real pictures among the neighbours of generated ones: variety",
        used_by="as precision",
    ),
    EvaluationProtocol(
        name="fd_clip",
        metric="frechet",
        extractor="clip-vit-b-32",
        resize=RESIZE_CLIP,
        num_samples=PAPER_SIZE,
        better="lower",
        purpose="quality and variety by features that ImageNet's classes have not shaped",
        used_by="after Kynkaanniemi et al. 2023",
    ),
    EvaluationProtocol(
        name="fd_dino",
        metric="frechet",
        extractor="dino-resnet-50",
        resize=RESIZE_CLIP,
        num_samples=PAPER_SIZE,
        better="lower",
        purpose="quality and variety by features learned without labels",
        used_by="after Morozov et al. 2021 (there SwAV), Stein et al. 2023 (there DINOv2)",
    ),
    EvaluationProtocol(
        name="diversity",
        metric="diversity",
        extractor="inception@tf1",
        resize=RESIZE_TF1,
        num_samples=PAPER_SIZE,
        better="higher",
        purpose="variety within a label: mean cosine distance; the aim is the value of real pictures, not infinity",
        used_by="after Odena et al. 2017, there MS-SSIM",
    ),
)


def _by_lite(network: str, resize: str, judge: str) -> tuple[EvaluationProtocol, ...]:
    """The protocols that compare features of an EfficientNet-Lite; `judge` says what else of them is to be known."""
    shared = partial(EvaluationProtocol, extractor=f"{network}@128", resize=resize)
    return (
        shared(
            name=f"fd_{network}",
            metric="frechet",
            better="lower",
            purpose="quality and variety against real pictures; biased upwards by few samples, so compare equal numbers"
            + judge,
        ),
        shared(
            name=f"kid_{network}",
            metric="kernel",
            better="lower",
            purpose=f"quality and variety against real pictures, unbiased: the one to trust on small sets{judge}",
        ),
        shared(
            name=f"precision_{network}",
            metric="precision",
            better="higher",
            purpose=f"the share of generated pictures among the neighbours of real ones: quality{judge}",
        ),
        shared(
            name=f"recall_{network}",
            metric="recall",
            better="higher",
            purpose=f"the share of real pictures among the neighbours of generated ones: variety{judge}",
        ),
        shared(
            name=f"diversity_{network}",
            metric="diversity",
            better="higher",
            purpose="variety within a label; compare with the value of real pictures, which is the aim, not with "
            f"infinity{judge}",
        ),
    )


_LITE0 = _by_lite("lite0", RESIZE_LITE, "")
_LITE2 = _by_lite("lite2", RESIZE_LITE, "; by a network that trains nothing here")

_CLASSIFIER = partial(
    EvaluationProtocol,
    extractor="lite2@128",
    resize=RESIZE_LITE,
    num_fitted=5_000,
    split="5,000 or more for training, to fit; held-out ones for what real pictures get",
    better="higher",
)

_OFFLINE = (
    *_LITE0,
    EvaluationProtocol(
        name="is_lite0",
        metric="inception_score",
        extractor="lite0@128",
        resize=RESIZE_LITE,
        num_folds=10,
        split=NO_REALS,
        better="higher",
        purpose="confidence and variety in ImageNet's classes; blind to captions; for completeness of tables",
    ),
    EvaluationProtocol(
        name="r_precision_damsm",
        metric="r_precision",
        extractor=None,
        resize="the encoders' own",
        quantisation="none: the encoders see what the generator drew",
        num_folds=10,
        split="held-out captions",
        better="higher",
        purpose="r_precision on fewer pictures; self-grading: the run's own encoders, which also trained the generator",
    ),
    EvaluationProtocol(
        name="ground",
        metric="ground",
        extractor=None,
        resize="none",
        split="held-out captions",
        better="higher",
        purpose="emoji source only: does the background have the ground that the caption names; chance 1/len(GROUNDS)",
    ),
    *_LITE2,
    _CLASSIFIER(
        name="class_accuracy",
        metric="class_accuracy",
        purpose="is the thing recognised: does a linear classifier, fitted to real training pictures, see the "
        "caption's label (of several the dominant one); chance 1 / number of labels",
    ),
    _CLASSIFIER(
        name="class_accuracy_top5",
        metric="class_accuracy_top5",
        purpose="the same, the label among the five of highest score; chance 5 / number of labels",
    ),
)

PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {protocol.name: protocol for protocol in _LITERATURE + _OFFLINE}
)


BOTH = {
    "precision_recall": ("precision", "recall"),
    "precision_recall_lite0": ("precision_lite0", "recall_lite0"),
    "precision_recall_lite2": ("precision_lite2", "recall_lite2"),
}
"""Names that stand for two protocols."""


def protocols_named(names: Iterable[str]) -> list[EvaluationProtocol]:
    """The protocols of these names; `precision_recall` is two.

    Raises:
        ValueError: there is none of a name; the nearest name is given.
    """
    return [protocol_named(single) for name in names for single in BOTH.get(name, (name,))]


def protocol_named(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        ValueError: there is none; the nearest name is given.
    """
    if name not in PROTOCOLS:
        nearest = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)[0]
        raise ValueError(f"there is no protocol {name!r}; did you mean {nearest!r}? Known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
