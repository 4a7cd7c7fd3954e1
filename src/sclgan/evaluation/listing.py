"""The evaluation protocols as text: the settings of each, where it is used, and which files are missing here."""

from sclgan.evaluation.applicable import remedy
from sclgan.evaluation.protocols import BOTH, PROTOCOLS, EvaluationProtocol
from sclgan.features.registry import weights_of
from sclgan.weights.registry import FILES, weights_folder


def listing() -> str:
    """A paragraph per protocol, then the missing files, each once, with its address and its place."""
    reasons = {name: remedy(protocol) for name, protocol in PROTOCOLS.items()}
    paragraphs = [_paragraph(protocol, reasons[name]) for name, protocol in PROTOCOLS.items()]
    pairs = [f"{name}: {' and '.join(singles)}" for name, singles in BOTH.items()]
    missing: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason is not None:
            missing.setdefault(reason, []).append(name)
    place = f"Weights belong in {weights_folder()}; nothing is downloaded. "
    gaps = [f"For {', '.join(names)}: {reason}." for reason, names in missing.items()]
    return "\n\n".join([*paragraphs, *pairs, place + ("Missing here:" if gaps else "All are here."), *gaps])


def _paragraph(protocol: EvaluationProtocol, reason: str | None) -> str:
    if protocol.extractor is None:
        network = "none" if protocol.metric == "background_accuracy" else "the run's own encoders"
    else:
        file = weights_of(protocol.extractor)
        network = protocol.extractor if file is None else f"{protocol.extractor}: {FILES[file].serves}"
    folds = f", {protocol.num_folds} splits" if protocol.num_folds > 1 else ""
    facts = {
        "measures": protocol.purpose,
        "network": network,
        "resize": protocol.resize,
        "pixels": protocol.quantisation,
        "pictures": f"{protocol.num_samples:,}{folds}; real ones: {protocol.split}; {protocol.better} is better",
        "used by": protocol.used_by,
        "here": "yes" if reason is None else "no, see below",
    }
    return "\n".join([protocol.name, *(f"    {what:<10}{fact}" for what, fact in facts.items())])
