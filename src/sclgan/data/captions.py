"""Captions to words and words to tokens: the vocabulary of the training captions; 0 is padding."""

import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch

from sclgan.data.types import Captions
from sclgan.distributed import rank
from sclgan.files import read_json, write_atomically

log = logging.getLogger(__name__)

Letters = Literal["unicode", "ascii"]
"""Which letters a vocabulary knows: those of all scripts, or those of ASCII alone, as published vocabularies do."""


def words_of(caption: str) -> list[str]:
    """The words of a caption in order: runs of letters, marks and digits of any script, without regard to case.

    Equal text in two Unicode forms gives equal words. In scripts without spaces between words (Chinese, Japanese, Thai
    and their neighbours) each letter is a word, and so is each pictograph. Punctuation is left out.
    """
    if caption.isascii():
        return re.findall(r"\w+", caption.lower())
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", caption).casefold())
    text = "".join(c for c in text if _kind(c) != "J")
    kinds = "".join(map(_kind, text))
    return [text[found.start() : found.end()] for found in re.finditer("AM*|[LM]+", kinds)]


_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Thai and Lao, Burmese, Khmer, the Japanese syllabaries, Chinese characters."""


@lru_cache(maxsize=4096)
def _kind(c: str) -> str:
    """Role of a character in words: L a letter or digit, M a mark on one, A a word alone, J nothing; a space ends."""
    category = unicodedata.category(c)
    if category == "Cf" or "\ufe00" <= c <= "\ufe0f":  # soft hyphens, joiners, variants of pictographs
        return "J"
    if category[0] == "M":
        return "M"
    if (category == "So" and c != "\ufffd") or (category[0] in "LN" and _NO_SPACES.match(c)):
        return "A"
    return "L" if category[0] in "LN" or c == "_" else " "


def thinned(caption: str, max_words: int, rng: np.random.Generator) -> str:
    """A caption of more than `max_words` words as a random subset of them, in order; a shorter one as it is.

    AttnGAN's, DM-GAN's and SSA-GAN's codes shorten training captions in this way: every word of a long one is read at
    times.
    """
    words = words_of(caption)
    if len(words) <= max_words:
        return caption
    return " ".join(words[place] for place in sorted(rng.permutation(len(words))[:max_words]))


@dataclass(frozen=True)
class Reading:
    """A caption as a text encoder reads it, in order: its words, those it does not know, and those past the last.

    Each word is in one of the three.
    """

    words: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    def left_out(self, caption: str) -> list[str]:
        """A line for each reason why words of the caption are left out, with the words."""
        lines = []
        if self.unknown:
            lines.append(f"words the text encoder never saw, left out of {caption!r}: {', '.join(self.unknown)}")
        if self.beyond:
            lines.append(
                f"words beyond the {len(self.words)} that the text encoder reads, left out of {caption!r}: "
                f"{', '.join(self.beyond)}"
            )
        return lines


@runtime_checkable
class TextReader(Protocol):
    """Turns captions into tokens, and tells what it reads of one."""

    def __call__(self, captions: Sequence[str]) -> Captions: ...

    def read(self, caption: str) -> Reading: ...


def check_captions(reader: TextReader, captions: Iterable[str], what: str) -> None:
    """Logs, on rank 0, how many words of some captions a text encoder does not know; nothing if it knows them all.

    Raises:
        ValueError: it knows no word of some caption.
    """
    unknown: Counter[str] = Counter()
    num_words = num_captions = 0
    unreadable: dict[str, None] = {}
    for caption in captions:
        reading = reader.read(caption)
        num_captions += 1
        num_words += len(reading.words) + len(reading.unknown) + len(reading.beyond)
        unknown.update(reading.unknown)
        if not reading.words:
            unreadable[caption] = None
    if unreadable:
        raise ValueError(
            f"{what}: the text encoder knows no word of {len(unreadable):,} of {num_captions:,}, such as "
            f"{next(iter(unreadable))!r}: reword or remove them, or pre-train encoders on these captions"
        )
    if unknown and rank() == 0:
        log.info(
            "%s: %d words are unknown to the text encoder and left out (%.2g %% of the text), such as %s",
            *(what, unknown.total(), 100 * unknown.total() / num_words),
            ", ".join(word for word, _ in unknown.most_common(5)),
        )


class Vocabulary:
    """The known words, numbered from 1 in order of first appearance. Calling it tokenises captions.

    Unknown words are left out, as in AttnGAN's generation from a user's own sentences; `read` names them. A caption
    with more than `max_words` known words keeps its first ones; `thinned` is the other way.

    With letters="ascii" all others are dropped from words, as AttnGAN's code does (Xu et al. 2018): published
    vocabularies, and those of runs from before other letters were read, are made of such words.
    """

    file_name: ClassVar[str] = "vocabulary.json"

    def __init__(self, words: Sequence[str], *, max_words: int, letters: Letters = "unicode") -> None:
        if not words:
            raise ValueError("the vocabulary is empty: the training captions hold no words; check the captions")
        if letters not in get_args(Letters):
            raise ValueError(f"letters is {letters!r}: expected one of {', '.join(get_args(Letters))}")
        self.words, self.max_words, self.letters = tuple(words), max_words, letters
        self._number = {word: number for number, word in enumerate(self.words, start=1)}

    @classmethod
    def of(cls, captions: Iterable[str], *, max_words: int) -> "Vocabulary":
        """The vocabulary of some captions, of the letters of all scripts."""
        words: dict[str, None] = {}
        for caption in captions:
            words.update(dict.fromkeys(words_of(caption)))
        return cls(list(words), max_words=max_words)

    @property
    def num_tokens(self) -> int:
        """Rows of an embedding table: the words and the padding."""
        return len(self.words) + 1

    def _numbers(self, caption: str) -> Iterable[tuple[str, int | None]]:
        """The words of a caption as they are written, each with its number, None for an unknown one."""
        if self.letters == "unicode" or caption.isascii():
            return ((word, self._number.get(word)) for word in words_of(caption))
        written = re.findall(r"\w+", caption.lower())
        return ((word, self._number.get(word.encode("ascii", "ignore").decode())) for word in written)

    def read(self, caption: str) -> Reading:
        """Splits a caption into words that are read and words that are left out."""
        known: list[str] = []
        unknown: list[str] = []
        for word, number in self._numbers(caption):
            (unknown if number is None else known).append(word)
        return Reading(tuple(known[: self.max_words]), tuple(unknown), tuple(known[self.max_words :]))

    def __call__(self, captions: Sequence[str]) -> Captions:
        """Tokens [b max_words], padded with 0, and lengths.

        Raises:
            ValueError: a caption is empty or holds no known word.
        """
        tokens = np.zeros((len(captions), self.max_words), np.int64)
        lengths = np.zeros(len(captions), np.int64)
        for row, caption in enumerate(captions):
            numbers = [number for _, number in self._numbers(caption) if number is not None][: self.max_words]
            if not numbers:
                raise ValueError(f"caption {row + 1} of {len(captions)} {self._why_unreadable(caption)}")
            tokens[row, : len(numbers)] = numbers
            lengths[row] = len(numbers)
        return Captions(torch.from_numpy(tokens), torch.from_numpy(lengths))

    def _why_unreadable(self, caption: str) -> str:
        reason = "is empty"
        if words_of(caption):
            reason = "holds no known word"
        elif caption.strip():
            reason = "holds no word"
        return (
            f"{reason}: {caption!r}; write one with words of the training captions, such as {', '.join(self.words[:8])}"
        )

    def save(self, path: Path) -> None:
        """Writes the words as JSON."""
        content = {"max_words": self.max_words, "letters": self.letters, "words": self.words}
        write_atomically(path, json.dumps(content, ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote. A file that does not name its letters is of the time when all were ASCII.

        Raises:
            ValueError: the file is not a vocabulary; the message names it.
        """
        try:
            content = read_json(path)
            words, max_words, letters = content["words"], content["max_words"], content.get("letters", "ascii")
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ValueError("words is not a list of words")
            if type(max_words) is not int or max_words < 1:
                raise ValueError(f"max_words is {max_words!r}")
            return cls(words, max_words=max_words, letters=letters)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a vocabulary of sclgan ({error}): pre-train the encoders again") from error
