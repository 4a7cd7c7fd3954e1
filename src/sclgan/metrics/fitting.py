"""Which protocols mean something for what there is to grade, and why the others do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sclgan.metrics.protocol import EvaluationProtocol

RealsAre = Literal["pictures", "statistics", "none"]


@dataclass(frozen=True)
class Offer:
    """What is known of the generated pictures and of the real ones."""

    reals: RealsAre
    captions: bool
    several_a_label: bool
    """Whether a label has several generated pictures."""
    encoders: bool
    """Whether a pair of pre-trained encoders is there, such as a run's own."""
    emoji: bool
    """Whether captions and pictures are of the embedded emoji."""


def obstacle(protocol: EvaluationProtocol, offer: Offer) -> str | None:
    """Why the protocol cannot grade these pictures, in words that say what to give; None where it can."""
    match protocol.metric:
        case "frechet" if offer.reals == "none":
            return "compares with real pictures: give --reals"
        case "kernel" if offer.reals != "pictures":
            return "compares with real pictures one by one: give their folder as --reals"
        case "diversity" if not offer.several_a_label:
            return "needs several pictures of a label: more pictures, or a folder for each label"
        case "r_precision" if not (offer.captions and offer.encoders):
            return "needs captions (metadata.jsonl, or KEY.txt beside KEY.png) and --encoders"
        case "ground" if not (offer.emoji and offer.captions):
            return "is for the emoji source alone"
    return None


def fitting(
    named: Sequence[EvaluationProtocol], every: Sequence[EvaluationProtocol], offer: Offer
) -> tuple[list[EvaluationProtocol], dict[str, str]]:
    """The protocols to use, those `named` or `every` one that fits, and the reasons for what is left out.

    Raises:
        ValueError: one that was named does not fit, or none does.
    """
    obstacles = {p.name: reason for p in named or every if (reason := obstacle(p, offer)) is not None}
    if named and obstacles:
        raise ValueError("; ".join(f"{name} {reason}" for name, reason in obstacles.items()))
    chosen = [p for p in named or every if p.name not in obstacles]
    if not chosen:
        raise ValueError(f"no protocol fits: {'; '.join(f'{name} {reason}' for name, reason in obstacles.items())}")
    return chosen, obstacles
