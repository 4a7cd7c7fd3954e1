"""Run folders: what a training leaves behind, and opening it to generate.

recipe.json  vocabulary.json  encoders.safetensors      what decides and what pre-training made
checkpoints/step_00001000/    weights and optimizers    metrics.jsonl  events.*  the records
grids/                        samples at fixed noise    evaluations.jsonl        results of `sclgan evaluate`
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sclgan import distributed, models
from sclgan.encoders.base import Encoders, TextCodes, Tokenizer
from sclgan.files import replaced, write_atomically
from sclgan.gans.base import Fake, TextToImageGAN
from sclgan.random import normal
from sclgan.recipe import Recipe, class_of, construct, from_json, to_json
from sclgan.train import checkpoint

log = logging.getLogger(__name__)

RECIPE, ENCODERS = "recipe.json", "encoders.safetensors"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Everything that a recipe decides, as JSON."""
    content: dict[str, Any] = json.loads(to_json(recipe))
    return content


def pretraining_parts(recipe: Recipe) -> dict[str, Any]:
    """What phase 1 depends on, as JSON: not the name, not the GAN and its training."""
    return {name: part for name, part in resolved(recipe).items() if name not in ("name", "about", "gan", "training")}


def claim(folder: Path, recipe: Recipe, parts: Callable[[Recipe], dict[str, Any]] = resolved) -> None:
    """Makes `folder` the run of `recipe`, or checks that it is, so that one run never continues another.

    `parts` of the recipe decide the run. Steps and cadences may differ: they say how long and how often, not what.

    Raises:
        ValueError: the folder holds a run of another recipe, or something else.
    """
    path = folder / RECIPE
    if path.exists() and any(folder.rglob("*.safetensors")):  # before, nothing was trained that could be lost
        differences = _differences(parts(from_json(path.read_text())), parts(recipe))
        if differences:
            raise ValueError(f"{folder} holds another run: {'; '.join(differences)}. Give another --out")
    elif folder.is_dir() and any(folder.iterdir()) and not path.exists():
        raise ValueError(f"{folder} is not empty and holds no run of sclgan: give another --out")
    elif folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --out names a folder")
    distributed.barrier()
    if distributed.rank() == 0:
        write_atomically(path, to_json(recipe).encode())


def _differences(old: object, new: object, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in sorted(old.keys() | new.keys())
            if name not in ("about", "steps") and not name.startswith("evaluate_") and not name.endswith("_every")
            for line in _differences(old.get(name), new.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if old == new else [f"{path} is {old} there, {new} here"]


def saved_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder.

    Raises:
        FileNotFoundError: it is no run folder.
    """
    path = folder / RECIPE
    if not path.exists():
        raise FileNotFoundError(f"{folder} is no run folder: it has no {RECIPE}; `sclgan train` makes one")
    return from_json(path.read_text())


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
    encoders = _built(recipe, tokenizer, images=images)
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


@dataclass(frozen=True)
class Run:
    """A trained run, ready to generate: encoders and (averaged) generator in evaluation mode.

    The GAN's discriminator holds no weights: it is on the device "meta".
    """

    folder: Path
    recipe: Recipe
    step: int
    encoders: Encoders
    tokenizer: Tokenizer
    gan: TextToImageGAN

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> TextCodes:
        """The codes of some captions; words the tokenizer does not know are left out.

        Raises:
            ValueError: a caption is empty or holds no known word.
        """
        return self.encoders.encode_text(self.tokenizer(captions).to(distributed.device()))

    @torch.no_grad()
    def generate(self, text: TextCodes, z: Float[Tensor, "b z"]) -> Fake:
        """One image a row."""
        return self.gan.generate(z.to(text.sentence.device), text)

    def sample(
        self, captions: Sequence[str], *, num_images: int, seed: int, batch_size: int = 64
    ) -> UInt8[Tensor, "n 3 h w"]:
        """`num_images` pictures of each caption, caption by caption. Picture k has the same noise for every caption.

        Raises:
            ValueError: a caption is empty or holds no known word, or there are fewer than one picture to draw.
        """
        drawn = self.draw(captions, num_images=num_images, seed=seed, batch_size=batch_size)
        return torch.cat([to_uint8(fake.image).cpu() for fake in drawn])

    def draw(self, captions: Sequence[str], *, num_images: int, seed: int, batch_size: int = 64) -> Iterator[Fake]:
        """What `sample` takes its pictures from, batch by batch."""
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, not {num_images}")
        self.tokenizer(captions)  # refuses a caption by its number among those given, before each is repeated
        z = normal(num_images, self.gan.z_dim, seed).repeat(len(captions), 1)
        each = [caption for caption in captions for _ in range(num_images)]
        for start in range(0, len(each), batch_size):
            rows = slice(start, start + batch_size)
            yield self.generate(self.encode(each[rows]), z[rows])


def to_uint8(image: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Images in [-1, 1] as 8 bits, rounded to the nearest; what lies outside is clipped."""
    return (image.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def open_run(folder: Path, name: str = "last", *, images: bool = True) -> Run:
    """Opens a checkpoint of a run: the "last", the "best" of the evaluations in training, or that of a step.

    `folder` may be that of a model (`sclgan.models`), which has but one. Its weights in half precision become float32.

    Without `images` the run draws, and cannot encode pictures: no image trunk is loaded that it does not draw with.

    Raises:
        FileNotFoundError: no run folder, or a run without that checkpoint.
        ValueError: its files are damaged or of another recipe.
    """
    if models.is_model(folder):
        return _open_model(folder, name, images=images)
    recipe = saved_recipe(folder)
    checkpoints = folder / "checkpoints"
    newest = checkpoint.latest(checkpoints)
    if newest is None or not (newest / "averaged_generator.safetensors").exists():
        raise FileNotFoundError(f"{folder} has no GAN checkpoint yet: `sclgan train {recipe.name} --out {folder}`")
    path, best = checkpoint.named(checkpoints, name), checkpoint.best_score(checkpoints)
    if path is None:
        kept = ", ".join([*(["best"] if best else []), *map(str, checkpoint.steps(checkpoints))])
        raise FileNotFoundError(f"{folder} has no checkpoint '{name}': it has {kept}")
    encoders, tokenizer = load_encoders(folder, recipe, images=images)
    weights = path / "averaged_generator.safetensors"
    gan = _gan_with(checkpoint.read_weights(weights), recipe, encoders, weights)
    step = int(best["step"]) if best and name == "best" else int(path.name.removeprefix("step_"))
    return Run(folder, recipe, step, encoders, tokenizer, gan)


def _open_model(folder: Path, name: str, *, images: bool) -> Run:
    """The run that a model was built from, but for what its weights were rounded."""
    about, path = models.about(folder), folder / models.WEIGHTS
    if name not in ("last", str(about["step"])):
        raise FileNotFoundError(f"{folder} is a model and has no checkpoint '{name}': it has {about['step']} alone")
    recipe = saved_recipe(folder)
    parts: dict[str, dict[str, Tensor]] = {"encoders": {}, "generator": {}}
    for full_name, tensor in checkpoint.read_weights(path).items():
        part, _, own_name = full_name.partition(".")
        parts[part][own_name] = tensor
    kind = encoders_class(recipe).tokenizer
    tokenizer = kind.load(folder / kind.file_name)
    encoders = _built(recipe, tokenizer, images=images)
    checkpoint.fill(encoders, parts["encoders"], path)
    encoders = encoders.to(distributed.device()).requires_grad_(False).eval()
    gan = _gan_with(parts["generator"], recipe, encoders, path)
    return Run(folder, recipe, int(about["step"]), encoders, tokenizer, gan)


def _built(recipe: Recipe, tokenizer: Tokenizer, *, images: bool) -> Encoders:
    """The recipe's encoders before their weights are loaded."""
    constructor = recipe.encoders if images else encoders_class(recipe).for_texts(recipe.encoders)
    encoders: Encoders = construct(constructor, tokenizer.num_tokens)
    return encoders


def encoders_file(folder: Path) -> Path:
    """The file of a run or a model that holds its encoders; its SHA-256 names them in records."""
    return folder / (models.WEIGHTS if models.is_model(folder) else ENCODERS)


def _gan_with(weights: Mapping[str, Tensor], recipe: Recipe, encoders: Encoders, path: Path) -> TextToImageGAN:
    """The recipe's GAN with these weights in its generator; no random ones are drawn, and nothing is kept for D."""
    with torch.device("meta"):
        gan: TextToImageGAN = construct(recipe.gan, encoders, image_size=recipe.image_size)
    checkpoint.fill(gan.generator, weights, path, from_meta_to=distributed.device())
    gan.generator.requires_grad_(False).eval()
    return gan
