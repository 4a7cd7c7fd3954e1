"""A caption in parts: what the text encoder reads of it, and what it leaves out."""

import math
import re
from collections.abc import Iterator
from typing import Literal

from sclgan.encoders.base import Tokenizer

Kind = Literal["read", "unknown", "beyond"]
"""Read by the text encoder or no word at all; not in its vocabulary; behind the last word that it reads."""


def parts(caption: str, tokenizer: Tokenizer) -> list[tuple[str, Kind]]:
    """The caption cut into parts, each with its kind; joined they are the caption."""
    whole = tokenizer.read(caption)
    num_left = len(whole.words) if whole.beyond else math.inf
    made: list[tuple[str, Kind]] = []
    for piece, kind in _pieces(caption, tokenizer):
        if kind == "read" and piece.strip():
            reading = tokenizer.read(piece)
            num_words = len(reading.words) + len(reading.beyond)
            if num_words > num_left:
                kind = "beyond"
            num_left = max(0, num_left - num_words)
        if made and made[-1][1] == kind:
            made[-1] = (made[-1][0] + piece, kind)
        else:
            made.append((piece, kind))
    return made


def _pieces(caption: str, tokenizer: Tokenizer) -> Iterator[tuple[str, Kind]]:
    """White space and text between it, known or not; in text with both, the unknown words where they can be found."""
    for piece in re.findall(r"\s+|\S+", caption):
        unknown = () if piece.isspace() else tokenizer.read(piece).unknown
        rest, lower = piece, piece.lower()
        if len(lower) != len(piece) or not all(word in lower for word in unknown):
            yield piece, "unknown" if unknown else "read"
            continue
        for word in unknown:
            start = rest.lower().find(word)
            if start < 0:
                continue
            if start:
                yield rest[:start], "read"
            yield rest[start : start + len(word)], "unknown"
            rest = rest[start + len(word) :]
        if rest:
            yield rest, "read"
