"""Which protocols apply to the pictures of an evaluation, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from sclgan.evaluation.protocols import PROTOCOLS, EvaluationProtocol
from sclgan.features.registry import CUB_CLASSIFIER, weights_of
from sclgan.weights import registry

RealsAre = Literal["pictures", "statistics", "none"]

FEWEST_REALS: Mapping[str, int] = {"frechet": 2, "kernel": 2, "kernel_subsets": 2, "precision": 4, "recall": 4}
"""The fewest real pictures that a metric compares with."""

FOLDERS = "fits a classifier to the training pictures of a run: it is for runs, not for folders of pictures"


@dataclass(frozen=True)
class Offer:
    """Known facts about the generated pictures and the real ones."""

    reals: RealsAre
    captions: bool
    repeats_labels: bool
    """Whether a label has several generated pictures."""
    damsm: bool
    """Whether a pre-trained DAMSM is given, such as a run's own."""
    plain_backgrounds: bool
    """Whether pictures are on plain backgrounds that captions may name, as the embedded emoji are."""
    no_classifier: str | None = FOLDERS
    """The reason if no classifier of labels can be fitted to real training pictures, with advice."""
    num_reals: int | None = None
    """The number of real pictures, if it is known beforehand and limited."""
    saves_statistics: bool = False
    """Whether statistics of the generated pictures are to be saved, which needs no real ones."""


def obstacle(protocol: EvaluationProtocol, offer: Offer) -> str | None:
    """The reason why the protocol does not apply to these pictures, with advice; None if it applies."""
    fewest = FEWEST_REALS.get(protocol.metric, 0)
    if fewest and offer.num_reals is not None and offer.num_reals < fewest:
        return (
            f"compares with {fewest} or more real pictures, and the held-out split has {offer.num_reals}: "
            "add pictures to it, or give --reals"
        )
    match protocol.metric:
        case "frechet" if offer.reals == "none" and not offer.saves_statistics:
            return "compares with real pictures: give --reals"
        case "kernel" | "kernel_subsets" | "precision" | "recall" if offer.reals != "pictures":
            return "compares with real pictures one by one: give their folder as --reals"
        case "diversity" if not offer.repeats_labels:
            return "needs several pictures of a label: more pictures, or a folder for each label"
        case "r_precision" if not offer.damsm:
            return "needs the codes of a DAMSM: give --encoders; a run with other encoders has r_precision_clip"
        case "background_accuracy" if not offer.plain_backgrounds:
            return "is for the emoji source alone"
    if protocol.num_fitted and offer.no_classifier is not None:
        return offer.no_classifier
    if protocol.needs_captions and not offer.captions:
        return "compares pictures with captions: write metadata.jsonl, or KEY.txt beside KEY.png"
    return None


def applicable(named: Sequence[EvaluationProtocol], offer: Offer) -> tuple[list[EvaluationProtocol], dict[str, str]]:
    """The named protocols, or all that apply and whose weights are here, with the reasons for those left out.

    Raises:
        ValueError: a named protocol does not apply, or none does.
    """
    if named:
        obstacles = {p.name: reason for p in named if (reason := obstacle(p, offer)) is not None}
        if obstacles:
            raise ValueError(_listed(obstacles))
        return list(named), {}
    left_out = {p.name: reason for p in PROTOCOLS.values() if (reason := _unasked(p) or obstacle(p, offer)) is not None}
    chosen = [p for p in PROTOCOLS.values() if p.name not in left_out]
    if not chosen:
        raise ValueError(f"no protocol applies: {_listed(left_out)}")
    return chosen, left_out


def _unasked(protocol: EvaluationProtocol) -> str | None:
    """The reason why a protocol is used only if it is named."""
    if protocol.name == "r_precision":
        return "is r_precision_damsm on more pictures: name it to have it"
    return unavailable(protocol)


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {reason}" for name, reason in reasons.items())


def unavailable(protocol: EvaluationProtocol) -> str | None:
    """The reason why this protocol cannot be used here, in a few words; None if its weights and packages are here."""
    if protocol.extractor is None:
        return None
    if protocol.extractor == "inception-cub":
        return "its weights cannot be read; `sclgan protocols` says what to do"
    if protocol.extractor.startswith("clip") and find_spec("open_clip") is None:
        return "CLIP needs the package open_clip_torch: pip install 'sclgan[clip]'"
    file = weights_of(protocol.extractor)
    if file is None:
        return None
    if registry.found(file) is None:
        return f"{next(iter(registry.FILES[file].names))} is missing; `sclgan protocols` says where to get it"
    try:
        registry.verified(file)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def remedy(protocol: EvaluationProtocol) -> str | None:
    """Instructions that make this protocol available; None if it is available."""
    if protocol.extractor == "inception-cub":
        return CUB_CLASSIFIER
    file = None if protocol.extractor is None else weights_of(protocol.extractor)
    if file is not None and registry.found(file) is None:
        return registry.instructions(file)
    return unavailable(protocol)
