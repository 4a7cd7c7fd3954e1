"""Which protocols mean something for what there is to grade, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sclgan.metrics.features import available
from sclgan.metrics.protocol import PROTOCOLS, EvaluationProtocol

RealsAre = Literal["pictures", "statistics", "none"]


FOLDERS = "fits a classifier to the training pictures of a run: it grades runs, not folders of pictures"


@dataclass(frozen=True)
class Offer:
    """What is known of the generated pictures and of the real ones."""

    reals: RealsAre
    captions: bool
    several_a_label: bool
    """Whether a label has several generated pictures."""
    damsm: bool
    """Whether a pre-trained DAMSM is there, such as a run's own."""
    emoji: bool
    """Whether captions and pictures are of the embedded emoji."""
    no_classifier: str | None = FOLDERS
    """Why no classifier of labels can be fitted to real training pictures, in words that say what to give."""


def obstacle(protocol: EvaluationProtocol, offer: Offer) -> str | None:
    """Why the protocol cannot grade these pictures, in words that say what to give; None where it can."""
    match protocol.metric:
        case "frechet" if offer.reals == "none":
            return "compares with real pictures: give --reals"
        case "kernel" | "kernel_subsets" | "precision" | "recall" if offer.reals != "pictures":
            return "compares with real pictures one by one: give their folder as --reals"
        case "diversity" if not offer.several_a_label:
            return "needs several pictures of a label: more pictures, or a folder for each label"
        case "r_precision" if not offer.damsm:
            return "needs the codes of a DAMSM: give --encoders; a run with other encoders has r_precision_clip"
        case "ground" if not offer.emoji:
            return "is for the emoji source alone"
    if protocol.num_fitted and offer.no_classifier is not None:
        return offer.no_classifier
    if protocol.needs_captions and not offer.captions:
        return "compares pictures with captions: write metadata.jsonl, or KEY.txt beside KEY.png"
    return None


def fitting(named: Sequence[EvaluationProtocol], offer: Offer) -> tuple[list[EvaluationProtocol], dict[str, str]]:
    """The protocols to use, and the reasons for what is left out: those named, or all that fit and can be used here.

    Raises:
        ValueError: one that is named does not fit, or none does.
    """
    if named:
        obstacles = {p.name: reason for p in named if (reason := obstacle(p, offer)) is not None}
        if obstacles:
            raise ValueError(_listed(obstacles))
        return list(named), {}
    left_out = {p.name: reason for p in PROTOCOLS.values() if (reason := _unasked(p) or obstacle(p, offer)) is not None}
    chosen = [p for p in PROTOCOLS.values() if p.name not in left_out]
    if not chosen:
        raise ValueError(f"no protocol fits: {_listed(left_out)}")
    return chosen, left_out


def _unasked(protocol: EvaluationProtocol) -> str | None:
    """Why a protocol is used only where it is named."""
    if protocol.name == "r_precision":
        return "is r_precision_damsm on more pictures: name it to have it"
    return available(protocol)


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {reason}" for name, reason in reasons.items())
