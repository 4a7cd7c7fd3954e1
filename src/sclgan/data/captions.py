"""Captions to tokens: the vocabulary of the training captions.

Tokens are AttnGAN's (Xu et al. 2018): lower case, runs of letters and digits, ASCII; 0 is padding.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sclgan.data.types import Captions
from sclgan.files import write_atomically

log = logging.getLogger(__name__)


def words_of(caption: str) -> list[str]:
    """The words of a caption in order: lower-cased runs of word characters, other than ASCII dropped."""
    words = re.findall(r"\w+", caption.lower())
    return [word for word in (word.encode("ascii", "ignore").decode() for word in words) if word]


def thinned(caption: str, max_words: int, rng: np.random.Generator) -> str:
    """A caption of more than `max_words` words as a random subset of them, in order; a shorter one as it is.

    So AttnGAN's, DM-GAN's and SSA-GAN's codes shorten training captions: every word of a long one is read at times.
    """
    words = words_of(caption)
    if len(words) <= max_words:
        return caption
    return " ".join(words[place] for place in sorted(rng.permutation(len(words))[:max_words]))


def report_unknown(unknown_words: Callable[[str], Sequence[str]], captions: Iterable[str], what: str) -> None:
    """Logs how many words of some captions a text encoder does not know, and the most frequent; nothing if none."""
    unknown: Counter[str] = Counter()
    num_words = 0
    for caption in captions:
        num_words += len(words_of(caption))
        unknown.update(unknown_words(caption))
    if unknown:
        log.info(
            "%s: %d words are unknown to the text encoder and left out (%.2g %% of the text), such as %s",
            *(what, len(unknown), 100 * unknown.total() / num_words),
            ", ".join(word for word, _ in unknown.most_common(5)),
        )


class Vocabulary:
    """The known words, numbered from 1 in order of first appearance. Calling it tokenises captions.

    Unknown words are left out, as in AttnGAN's generation from own sentences: `unknown_words` names them. A caption
    with more than `max_words` words keeps its first ones; `thinned` is the other way.
    """

    file_name: ClassVar[str] = "vocabulary.json"

    def __init__(self, words: Sequence[str], *, max_words: int) -> None:
        if not words:
            raise ValueError("the vocabulary is empty: the training captions hold no words; check the captions")
        self.words = tuple(words)
        self.max_words = max_words
        self._number = {word: number for number, word in enumerate(self.words, start=1)}

    @classmethod
    def of(cls, captions: Iterable[str], *, max_words: int) -> "Vocabulary":
        """The vocabulary of some captions."""
        words: dict[str, None] = {}
        for caption in captions:
            words.update(dict.fromkeys(words_of(caption)))
        return cls(list(words), max_words=max_words)

    @property
    def num_tokens(self) -> int:
        """Rows of an embedding table: the words and the padding."""
        return len(self.words) + 1

    def unknown_words(self, caption: str) -> list[str]:
        """The words of `caption` that the text encoder never saw."""
        return [word for word in words_of(caption) if word not in self._number]

    def __call__(self, captions: Sequence[str]) -> Captions:
        """Tokens [b max_words], padded with 0, and lengths.

        Raises:
            ValueError: a caption is empty or holds no known word.
        """
        tokens = np.zeros((len(captions), self.max_words), np.int64)
        lengths = np.zeros(len(captions), np.int64)
        for row, caption in enumerate(captions):
            numbers = [self._number[word] for word in words_of(caption) if word in self._number][: self.max_words]
            if not numbers:
                reason = "holds no known word" if words_of(caption) else "is empty"
                raise ValueError(
                    f"caption {row + 1} of {len(captions)} {reason}: {caption!r}; "
                    f"write one with words of the training captions, such as {', '.join(self.words[:8])}"
                )
            tokens[row, : len(numbers)] = numbers
            lengths[row] = len(numbers)
        return Captions(torch.from_numpy(tokens), torch.from_numpy(lengths))

    def save(self, path: Path) -> None:
        """Writes the words as JSON."""
        text = json.dumps({"max_words": self.max_words, "words": self.words}, ensure_ascii=False)
        write_atomically(path, text.encode())

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote."""
        try:
            content = json.loads(path.read_text())
            return cls(content["words"], max_words=content["max_words"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no vocabulary of sclgan ({error!r}): pre-train the encoders again") from error
