"""What encoders score on held-out pictures, with a pair whose codes are known."""

import numpy as np
import pytest
import torch

from fakes import COLOURS, Squares
from sclgan.data.captions import Vocabulary
from sclgan.data.sets.cub import Cub
from sclgan.data.sets.emoji import Emoji
from sclgan.data.types import Captions, NamedClasses
from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.train.scores import retrieval, zero_shot

VOCABULARY = Vocabulary.of(Squares().captions(), max_words=6)


class NamedSquares(Squares):
    """Squares whose classes are told by their colours."""

    unseen_split = "test"
    class_captions = tuple(f"a {colour} square" for colour in COLOURS)


class ByColour(Encoders):
    """Codes are the colours: of a text that which it names, of an image that of its brightest place."""

    tokenizer = Vocabulary
    code_size = 3

    def encode_text(self, captions: Captions) -> TextCodes:
        assert not self.training
        numbers = {VOCABULARY.words.index(colour) + 1: value for colour, value in COLOURS.items()}
        codes = [next(numbers[token] for token in row if token in numbers) for row in captions.tokens.tolist()]
        mask = captions.tokens > 0
        return TextCodes(torch.tensor(codes).float(), torch.zeros(len(codes), 3, mask.shape[1]), mask)

    def encode_image(self, image: torch.Tensor) -> ImageCodes:
        assert not self.training
        return ImageCodes((image.amax(dim=(2, 3)) + 1) * 127.5, image[:, :, :1, :1])

    def matching_terms(self, text, image, labels):
        raise NotImplementedError

    def text_parameters(self):
        return []

    def trainable_parameters(self):
        return []


def test_encoders_that_know_the_colours_tell_every_class_and_retrieve_up_to_the_row():
    encoders = ByColour().train()
    assert zero_shot(encoders, NamedSquares("test"), VOCABULARY, image_size=8, seed=0) == {
        "top1": 1.0,
        "top5": 1.0,
        "chance_top1": 0.25,
        "chance_top5": 1.0,
    }
    values = retrieval(encoders, Squares("test"), VOCABULARY, image_size=8, seed=0)
    assert values["image_to_text_r1"] == pytest.approx(1 / 4)  # four pictures of a colour, which are all alike
    assert values["mean"] == pytest.approx((1 / 4 + 1) / 2)
    assert encoders.training


def test_classes_that_cannot_be_told_are_left_out():
    encoders = ByColour()
    assert zero_shot(encoders, Squares("test"), VOCABULARY, image_size=8, seed=0) == {}
    knows_no_blue = Vocabulary.of(["a red green white square"], max_words=6)
    assert zero_shot(encoders, NamedSquares("test"), knows_no_blue, image_size=8, seed=0) == {}


def test_emoji_and_birds_name_their_classes():
    unseen = Emoji("unseen")
    assert isinstance(unseen, NamedClasses)
    assert len(unseen.class_captions) == len(unseen.label_names)
    for (label,), words in zip(unseen.labels, unseen.words, strict=True):
        assert unseen.class_captions[label] == words.phrase()
    assert unseen.unseen_split == "unseen"
    assert not set(unseen.label_names) & set(Emoji("train").label_names)
    assert Cub.unseen_split == "test"


def test_a_tokenizer_of_byte_pairs_leaves_no_word_out():
    tokenizer = CLIPTokenizer.of(iter(()), max_words=12)
    assert (tokenizer.context_length, tokenizer.max_words) == (12, 10)
    assert tokenizer.read("a zyzzyva").unknown == ()
    assert np.array_equal(tokenizer(["a zyzzyva"]).tokens[0, :2], [49406, 320])
