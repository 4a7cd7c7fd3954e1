"""The vocabulary of captions.pickle, which AttnGAN, DM-GAN and SSA-GAN are published with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sclgan.data.sets import legacy_pickle

ADVICE = "get the one that the authors publish with their metadata"


def vocabulary_words(path: Path) -> list[str]:
    """The words of a captions.pickle, [train captions, test captions, ixtoword, wordtoix], in the order of their ids.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, or its ids are not 0 (the end sign) to n without a gap.
    """
    content = legacy_pickle.load(path)
    if not (isinstance(content, list | tuple) and len(content) == 4 and all(isinstance(x, dict) for x in content[2:])):
        raise ValueError(
            f"{path} is not a captions.pickle: it must hold [train captions, test captions, ixtoword, wordtoix]; "
            f"{ADVICE}"
        )
    word_of = _word_of_id(content[2].items(), path)
    if sorted(word_of) != list(range(len(word_of))) or len(word_of) < 2 or word_of[0] != "<end>":
        raise ValueError(
            f"{path} has {len(word_of)} words whose numbers do not run from 0 (<end>) without a gap: it was written "
            f"without the texts or is damaged; {ADVICE}"
        )
    if _word_of_id(((number, word) for word, number in content[3].items()), path) != word_of:
        raise ValueError(f"{path} contradicts itself: ixtoword and wordtoix differ; {ADVICE}")
    return [word_of[number] for number in range(1, len(word_of))]


def _word_of_id(pairs: Any, path: Path) -> Mapping[int, str]:
    try:
        return {int(number): str(word) for number, word in pairs}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} has a word whose number is not a whole number ({error}); {ADVICE}") from error
