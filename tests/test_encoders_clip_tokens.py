"""CLIP's tokens: the library's, cut as CLIP cuts them, and a description that can be read again."""

from pathlib import Path

import pytest

from sclgan.data.captions import Reading
from sclgan.encoders.clip_tokens import CLIPTokenizer


def test_tokens_and_lengths() -> None:
    captions = CLIPTokenizer(context_length=8)(["A photo of a dog.", " the 3 birds' wings are very very red "])
    # OpenAI's published example values: 320 a, 1125 photo, 539 of, 1929 dog, 269 full stop.
    assert captions.tokens[0].tolist() == [49406, 320, 1125, 539, 320, 1929, 269, 49407]
    assert captions.tokens[1, -1] == 49407
    assert captions.lengths.tolist() == [8, 8]
    captions = CLIPTokenizer()(["a dog"])
    assert captions.tokens.shape == (1, 77)
    assert captions.tokens[0, :5].tolist() == [49406, 320, 1929, 49407, 0]
    assert captions.lengths.tolist() == [4]


def test_the_first_end_sign_ends_a_caption() -> None:
    """As in CLIP, which looks for the largest token."""
    assert CLIPTokenizer(context_length=8)(["a <end_of_text> dog"]).lengths.tolist() == [3]


def test_words_beyond_the_context_are_named() -> None:
    tokenizer = CLIPTokenizer(context_length=8)
    assert tokenizer.read("a photo of a dog") == Reading(("a", "photo", "of", "a", "dog"))
    reading = tokenizer.read("a photo of a red zyzzyva and a dog")
    assert (reading.words, reading.beyond) == (("a", "photo", "of", "a", "red"), ("zyzzyva", "and", "a", "dog"))


def test_what_is_no_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="caption 2 of 2 is empty"):
        CLIPTokenizer()(["a dog", "  "])
    with pytest.raises(ValueError, match="at least 3"):
        CLIPTokenizer(context_length=2)


def test_saved_and_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    CLIPTokenizer(context_length=20).save(path)
    assert CLIPTokenizer.load(path).context_length == 20
    for content in (
        b'{"max_words": 5, "words": ["a"]}',
        b'{"tokens": "other", "context_length": 3}',
        b'{"tokens": "clip", "context_length": 2}',
        b'{"tokens": "clip", "context_length": 9.5}',
        *(b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"tokens\.json does not describe CLIP's tokens"):
            CLIPTokenizer.load(path)
