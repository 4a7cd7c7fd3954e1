"""The pre-trained encoders of a run folder: writing them, and building them from their file."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from sclgan import distributed, models
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced
from sclgan.recipe import Recipe, class_of
from sclgan.runs import checkpoint
from sclgan.runs.folder import ENCODERS
from sclgan.runs.shapes import check_shapes


def encoders_class(recipe: Recipe) -> type[Encoders]:
    """The class that the recipe's encoders are of; it says which tokenizer they read."""
    found: type[Encoders] = class_of(recipe.encoders)
    return found


def save_encoders(folder: Path, encoders: Encoders, tokenizer: Tokenizer) -> None:
    """Writes the tokenizer and, last, the pre-trained weights."""
    tokenizer.save(folder / tokenizer.file_name)
    with replaced(folder / ENCODERS) as path:
        checkpoint.save_weights(path, encoders)


def load_encoders(folder: Path, recipe: Recipe, *, images: bool = True) -> tuple[Encoders, Tokenizer]:
    """The pre-trained pair of a folder, frozen, on this rank's device, and its tokenizer.

    Without `images` an image trunk that texts do not need is left out: it takes longer to build than all the rest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the weights are not those of the recipe's encoders.
    """
    kind = encoders_class(recipe).tokenizer
    for name in (kind.file_name, ENCODERS):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder} has no {name}: `sclgan pretrain` makes it")
    if (
        images
        and _holds_backbone(folder / ENCODERS)
        and not getattr(recipe.encoders, "keywords", {}).get("save_backbone")
    ):
        raise ValueError(
            f"{folder} holds encoders with an image trunk of their own, as the authors' published ones are, but the "
            "recipe takes the trunk from elsewhere: add encoders.save_backbone=true encoders.backbone.weights=none"
        )
    tokenizer = kind.load(folder / kind.file_name)
    check_shapes(folder / ENCODERS, recipe, tokenizer)
    encoders = built(recipe, tokenizer, images=images)
    if num_labels := _length(folder / ENCODERS, "label_classifier.bias"):
        encoders.add_label_classifier(num_labels)
    if size := _length(folder / ENCODERS, "projection.0.bias"):
        encoders.add_projection(size)
    checkpoint.load_weights(folder / ENCODERS, encoders)
    return encoders.to(distributed.device()).requires_grad_(False).eval(), tokenizer


def _holds_backbone(weights: Path) -> bool:
    try:
        with safe_open(weights, "pt") as file:
            return any(".backbone." in name for name in file.keys())  # noqa: SIM118 - it is no dictionary
    except SafetensorError:
        return False  # `load_weights` says what is wrong with it


def _length(weights: Path, name: str) -> int:
    """The length of a tensor of a file; 0 where it holds none of that name."""
    try:
        with safe_open(weights, "pt") as file:
            return file.get_slice(name).get_shape()[0] if name in file.keys() else 0  # noqa: SIM118
    except SafetensorError:
        return 0  # `load_weights` says what is wrong with it


def built(recipe: Recipe, tokenizer: Tokenizer, *, images: bool) -> Encoders:
    """The recipe's encoders before their weights are loaded."""
    constructor = recipe.encoders if images else encoders_class(recipe).for_texts(recipe.encoders)
    encoders = constructor(tokenizer.num_tokens)
    return encoders


def encoders_file(folder: Path) -> Path:
    """The file of a run or a model that holds its encoders; its SHA-256 names them in records."""
    return folder / (models.WEIGHTS if models.is_model(folder) else ENCODERS)
