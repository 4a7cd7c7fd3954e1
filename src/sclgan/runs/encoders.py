"""The pre-trained encoders of a run folder: writing them, and building them from their file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sclgan import distributed, models
from sclgan.data.types import Source
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced
from sclgan.recipe import Recipe, class_of
from sclgan.runs import checkpoint
from sclgan.runs.folder import ENCODERS
from sclgan.runs.json_files import is_kind, parsed_object
from sclgan.runs.shapes import check_shapes

HEADER = "sclgan"
"""The key of `Header` in the file's metadata."""


@dataclass(frozen=True)
class Header:
    """Facts about a pair of encoders that their file holds beside the weights."""

    label_classifier: int | None = None
    """Labels that the head for cross entropy tells apart."""
    projection: int | None = None
    """Width of the head between codes and contrast."""
    saves_trunk: bool = False
    """Whether the weights of the image trunk are in the file."""
    source: str | None = None
    """The name of the data that they were pre-trained on; None where nobody recorded it."""
    label_names: list[str] = field(default_factory=list)
    """The labels of these data, in the order of their numbers."""


def encoders_class(recipe: Recipe) -> type[Encoders]:
    """The class of the recipe's encoders; it says which tokenizer they read."""
    found: type[Encoders] = class_of(recipe.encoders)
    return found


def save_encoders(folder: Path, encoders: Encoders, tokenizer: Tokenizer, source: Source | None = None) -> None:
    """Writes the tokenizer and, last, the pre-trained weights; `source` is what they were pre-trained on."""
    header = Header(
        None if encoders.label_classifier is None else encoders.label_classifier.out_features,
        None if encoders.projection is None else encoders.projection_size,
        encoders.saves_trunk,
        None if source is None else source.name,
        [] if source is None else list(source.label_names),
    )
    tokenizer.save(folder / tokenizer.file_name)
    with replaced(folder / ENCODERS) as path:
        checkpoint.save_weights(path, encoders, {HEADER: json.dumps(asdict(header))})


def load_encoders(folder: Path, recipe: Recipe, *, images: bool = True) -> tuple[Encoders, Tokenizer]:
    """The pre-trained pair of a folder, frozen, on this rank's device, and its tokenizer.

    Without `images` an image trunk that texts do not need is left out: it takes longer to build than all the rest.

    Raises:
        FileNotFoundError: the folder holds no encoders.
        ValueError: a file is damaged, or the weights are not those of the recipe's encoders.
    """
    kind = encoders_class(recipe).tokenizer
    for name in (kind.file_name, ENCODERS):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder} has no {name}: `sclgan pretrain` makes it")
    header = read_header(folder)
    if images and header.saves_trunk and not getattr(recipe.encoders, "keywords", {}).get("save_backbone"):
        raise ValueError(
            f"{folder} holds encoders with an image trunk of their own, as the authors' published ones are, but the "
            "recipe takes the trunk from elsewhere: add encoders.save_backbone=true encoders.backbone.weights=none"
        )
    tokenizer = kind.load(folder / kind.file_name)
    check_shapes(folder / ENCODERS, recipe, tokenizer)
    encoders = built(recipe, tokenizer, images=images)
    if header.label_classifier is not None:
        encoders.add_label_classifier(header.label_classifier)
    if header.projection is not None:
        encoders.add_projection(header.projection)
    checkpoint.load_weights(folder / ENCODERS, encoders)
    return encoders.to(distributed.device()).requires_grad_(False).eval(), tokenizer


def read_header(folder: Path) -> Header:
    """The facts that the encoders of a folder state about themselves.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / ENCODERS
    advice = "pre-train the encoders again"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}): {advice}") from error
    if HEADER not in metadata:
        return _inferred(shapes)
    found = parsed_object(
        metadata[HEADER].encode(), {"label_names": list}, where=f"the header of {path}", advice=advice
    )
    header = Header(**{name: found[name] for name in Header.__dataclass_fields__ if name in found})
    sizes = [size for size in (header.label_classifier, header.projection) if size is not None]
    texts = [*header.label_names, *([] if header.source is None else [header.source])]
    if not all(is_kind(size, int) and size > 0 for size in sizes) or not all(is_kind(text, str) for text in texts):
        raise ValueError(f"the header of {path} does not describe encoders: {advice}")
    return header


def _inferred(shapes: dict[str, Any]) -> Header:
    """The header of a file that was written before there were headers, from the shapes of its tensors."""
    classifier, projection = shapes.get("label_classifier.bias"), shapes.get("projection.0.bias")
    return Header(
        classifier[0] if classifier else None,
        projection[0] if projection else None,
        any(".backbone." in name for name in shapes),
    )


def built(recipe: Recipe, tokenizer: Tokenizer, *, images: bool) -> Encoders:
    """The recipe's encoders before their weights are loaded."""
    constructor = recipe.encoders if images else encoders_class(recipe).for_texts(recipe.encoders)
    encoders = constructor(tokenizer.num_tokens)
    return encoders


def encoders_file(folder: Path) -> Path:
    """The file of a run or a model that holds its encoders; its SHA-256 names them in records."""
    return folder / (models.WEIGHTS if models.is_model(folder) else ENCODERS)
