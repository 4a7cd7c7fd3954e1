"""Captions to CLIP's tokens: byte pairs between a start and an end sign.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 2.4. The merges
are OpenAI's, as they come with open_clip.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from sclgan.data.captions import Reading, words_of
from sclgan.data.types import Captions
from sclgan.encoders.clip_library import open_clip
from sclgan.files import read_json, write_atomically

NUM_TOKENS = 49408


class CLIPTokenizer:
    """Calling it tokenises captions: start sign, byte pairs of the lower-cased text, end sign, padding with 0.

    Captions are cut to `context_length` tokens, the last of which is the end sign. Lengths count both signs. No word is
    unknown.
    """

    file_name: ClassVar[str] = "tokenizer.json"

    def __init__(self, *, context_length: int = 77) -> None:
        if context_length < 3:
            raise ValueError(f"context_length must be at least 3, two signs and a token, not {context_length}")
        self.context_length = context_length

    @classmethod
    def of(cls, captions: Iterable[str], *, max_words: int) -> "CLIPTokenizer":
        """A tokenizer with a context of `max_words` tokens; the captions are not looked at."""
        del captions
        return cls(context_length=max_words)

    @property
    def num_tokens(self) -> int:
        """Rows of CLIP's embedding table."""
        return NUM_TOKENS

    @property
    def max_words(self) -> int:
        """The context without the two signs: the largest number of words that are read; fewer if words are split."""
        return self.context_length - 2

    def read(self, caption: str) -> Reading:
        """The words that fit into the context. None is unknown: a word that is not a token is split into several."""
        words = words_of(caption) or caption.split()
        tokens = byte_pairs().encode(caption)
        if len(tokens) <= self.max_words:
            return Reading(tuple(words))
        kept = words_of(byte_pairs().decode(tokens[: self.max_words]))
        num_whole = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(words, kept, strict=False)))
        return Reading(tuple(words[:num_whole]), beyond=tuple(words[num_whole:]))

    def __call__(self, captions: Sequence[str]) -> Captions:
        """Tokens [b context_length] and lengths.

        Raises:
            ValueError: a caption is empty.
        """
        for row, caption in enumerate(captions):
            if not caption.strip():
                raise ValueError(f"caption {row + 1} of {len(captions)} is empty: {caption!r}; write one")
        tokens = byte_pairs()(list(captions), self.context_length)
        return Captions(tokens, (tokens == NUM_TOKENS - 1).int().argmax(dim=1) + 1)

    def save(self, path: Path) -> None:
        """Writes its context length as JSON."""
        write_atomically(path, json.dumps({"tokens": "clip", "context_length": self.context_length}).encode())

    @classmethod
    def load(cls, path: Path) -> "CLIPTokenizer":
        """Reads what `save` wrote.

        Raises:
            ValueError: the file holds something else; the message names it.
        """
        try:
            content = read_json(path)
            if content["tokens"] != "clip" or type(content["context_length"]) is not int:
                raise ValueError(f"expected tokens 'clip' and a whole number context_length, found {content}")
            return cls(context_length=content["context_length"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} does not describe CLIP's tokens ({error}): pre-train again") from error


@cache
def byte_pairs() -> Any:
    """The tokenizer of open_clip, with its tables."""
    return open_clip().tokenizer.SimpleTokenizer()
