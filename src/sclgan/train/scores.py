"""How good encoders are on held-out pictures: retrieval, and zero-shot classification of classes never seen."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan import distributed
from sclgan.data.pairs import collate
from sclgan.data.types import NamedClasses, Source
from sclgan.distributed import copied
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.metrics.retrieval import recall_at
from sclgan.metrics.zero_shot import zero_shot_accuracy
from sclgan.random import Stream, numpy_generator

NUM_SCORED = 1000
"""Rows that a score is made on: enough for a curve, and an epoch's score takes seconds."""
BATCH = 64
AT = (1, 5)


def retrieval(
    encoders: Encoders, source: Source, tokenizer: Tokenizer, *, image_size: int, seed: int
) -> dict[str, float]:
    """R@1 and R@5 of image-to-text and text-to-image retrieval, and the mean of the four.

    Over one picture and caption of every row, at most `NUM_SCORED` rows; only a picture's own caption counts as
    found, not one of its label.
    """
    images, texts, _ = _codes(encoders, source, tokenizer, image_size=image_size, seed=seed)
    recall = recall_at(AT, images, texts)
    directions = {"image_to_text": recall.image_to_text, "text_to_image": recall.text_to_image}
    values = {f"{name}_r{k}": value for name, at in directions.items() for k, value in at.items()}
    return values | {"mean": sum(values.values()) / len(values)}


def zero_shot(
    encoders: Encoders, source: Source, tokenizer: Tokenizer, *, image_size: int, seed: int
) -> dict[str, float]:
    """Top-1 and top-5 accuracy of telling the source's classes by their captions, each with chance.

    Over at most `NUM_SCORED` rows. Empty where the source does not name its classes, and where its names hold words
    that the tokenizer leaves out: such a text encoder cannot tell them.
    """
    if not isinstance(source, NamedClasses) or any(tokenizer.read(name).unknown for name in source.class_captions):
        return {}
    images, _, rows = _codes(encoders, source, tokenizer, image_size=image_size, seed=seed)
    labels = copied(torch.tensor([source.labels[row][0] for row in rows]), images.device)
    accuracy = zero_shot_accuracy(AT, images, _class_codes(encoders, source.class_captions, tokenizer), labels)
    chance = {f"chance_top{k}": min(1.0, k / len(source.class_captions)) for k in AT}
    return {f"top{k}": value for k, value in accuracy.items()} | chance


@torch.no_grad()
def _codes(
    encoders: Encoders, source: Source, tokenizer: Tokenizer, *, image_size: int, seed: int
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], list[int]]:
    """Codes of images and of captions, in evaluation mode, and the rows that they are of."""
    was_training = encoders.training
    encoders.eval()
    images, texts = [], []
    chosen = numpy_generator(Stream.CHOICE, seed).permutation(len(source))[:NUM_SCORED].tolist()
    for start in range(0, len(chosen), BATCH):
        rows = chosen[start : start + BATCH]
        pictures = [
            source.picture(row, image_size, numpy_generator(Stream.SCORED_PICTURE, seed, row), augment=False)
            for row in rows
        ]
        view = collate(pictures, tokenizer).to(distributed.device())
        texts.append(encoders.encode_text(view.captions).sentence)
        images.append(encoders.encode_image(view.image).image)
    encoders.train(was_training)
    return torch.cat(images), torch.cat(texts), chosen


@torch.no_grad()
def _class_codes(encoders: Encoders, captions: Sequence[str], tokenizer: Tokenizer) -> Float[Tensor, "c d"]:
    was_training = encoders.training
    encoders.eval()
    batches = [tokenizer(captions[start : start + BATCH]) for start in range(0, len(captions), BATCH)]
    codes = [encoders.encode_text(batch.to(distributed.device())).sentence for batch in batches]
    encoders.train(was_training)
    return torch.cat(codes)
