"""Which protocols mean something for what there is to grade, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from sclgan.evaluation.protocols import PROTOCOLS, EvaluationProtocol
from sclgan.features.registry import CUB_CLASSIFIER, weights_of
from sclgan.weights import registry as weights

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


def available(protocol: EvaluationProtocol) -> str | None:
    """In a few words why this protocol cannot be used here, or None if its weights and packages are there."""
    if protocol.extractor is None:
        return None
    if protocol.extractor == "inception-cub":
        return "its weights cannot be read; `sclgan protocols` says what to do"
    if protocol.extractor.startswith("clip") and find_spec("open_clip") is None:
        return "CLIP needs the package open_clip_torch: pip install 'sclgan[clip]'"
    file = weights_of(protocol.extractor)
    if file is None:
        return None
    if weights.found(file) is None:
        return f"{next(iter(weights.FILES[file].names))} is missing; `sclgan protocols` says where to get it"
    try:
        weights.verified(file)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def remedy(protocol: EvaluationProtocol) -> str | None:
    """What to do to make this protocol available, or None if it is."""
    if protocol.extractor == "inception-cub":
        return CUB_CLASSIFIER
    file = None if protocol.extractor is None else weights_of(protocol.extractor)
    if file is not None and weights.found(file) is None:
        return weights.instructions(file)
    return available(protocol)
