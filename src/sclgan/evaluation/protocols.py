"""The evaluation protocols by name: those of the literature, and those that need no file."""

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType

from sclgan.data.names import nearest
from sclgan.evaluation.literature import LITERATURE
from sclgan.evaluation.protocol import NO_REALS, RESIZE_LITE, EvaluationProtocol

__all__ = ["BOTH", "PROTOCOLS", "EvaluationProtocol", "protocol_named", "protocols_named"]


def _by_lite(network: str, judge: str) -> tuple[EvaluationProtocol, ...]:
    """The protocols that compare features of an EfficientNet-Lite; `judge` adds a remark."""
    shared = partial(EvaluationProtocol, extractor=f"{network}@128", resize=RESIZE_LITE)
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


_LITE0 = _by_lite("lite0", "")
_LITE2 = _by_lite("lite2", "; by a network that trains nothing here")

_CLASSIFIER = partial(
    EvaluationProtocol,
    extractor="lite2@128",
    resize=RESIZE_LITE,
    num_fitted=2_500,
    split="2,500 or more of the training split, to fit; held-out ones for the value of real pictures",
    better="higher",
)

_OFFLINE = (
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
    *_LITE2,
    EvaluationProtocol(
        name="background_accuracy",
        metric="background_accuracy",
        extractor=None,
        resize="none",
        split="held-out captions",
        better="higher",
        purpose="emoji source only: is the background the one that the caption names; chance 1/len(BACKGROUNDS)",
    ),
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
        purpose="r_precision on fewer pictures; biased: by the run's own encoders, which also trained the generator",
    ),
)
"""Those judged by a network that trains nothing first."""

PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {protocol.name: protocol for protocol in LITERATURE + _OFFLINE}
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
        ValueError: a name is unknown; the nearest name is given.
    """
    return [protocol_named(single) for name in names for single in BOTH.get(name, (name,))]


def protocol_named(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        ValueError: the name is unknown; the nearest name is given.
    """
    if name not in PROTOCOLS:
        near = nearest(name, PROTOCOLS)
        raise ValueError(f"there is no protocol {name!r}; did you mean {near!r}? Known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
