import logging
from collections import Counter
from itertools import combinations

import pytest

from sclgan.data.captions import Vocabulary, report_unknown, thinned, words_of
from sclgan.random import numpy_generator


def test_words_are_attngans():
    assert words_of("A red-and-white Café, 2 wheels!") == ["a", "red", "and", "white", "caf", "2", "wheels"]
    assert words_of(" \ufffd ... ") == []


def test_tokens_number_words_by_first_appearance_and_pad_with_zero():
    vocabulary = Vocabulary.of(["a red bird", "a blue bird sings"], max_words=5)
    captions = vocabulary(["blue bird", "the red red bird sings a a"])
    assert captions.tokens.tolist() == [[4, 3, 0, 0, 0], [2, 2, 3, 5, 1]]  # 'the' is unknown, the last 'a' too many
    assert captions.lengths.tolist() == [2, 5]
    assert vocabulary.num_tokens == 6
    assert vocabulary.unknown_words("The red fish") == ["the", "fish"]


@pytest.mark.parametrize(
    ("caption", "message"), [("", "is empty"), ("?!", "is empty"), ("zebra", "holds no known word")]
)
def test_a_caption_without_a_known_word_is_refused_by_number(caption, message):
    vocabulary = Vocabulary.of(["a red bird"], max_words=5)
    with pytest.raises(ValueError, match=f"caption 2 of 2 {message}"):
        vocabulary(["red", caption])


def test_it_survives_its_file_and_a_damaged_file_is_refused(tmp_path):
    vocabulary = Vocabulary.of(["a red bird"], max_words=5)
    vocabulary.save(tmp_path / "vocabulary.json")
    again = Vocabulary.load(tmp_path / "vocabulary.json")
    assert (again.words, again.max_words) == (vocabulary.words, 5)
    (tmp_path / "vocabulary.json").write_text('{"words": 3')
    with pytest.raises(ValueError, match="no vocabulary of sclgan"):
        Vocabulary.load(tmp_path / "vocabulary.json")


def test_a_long_caption_is_thinned_to_a_uniform_subset_in_order():
    words = "one two three four five six"
    found = Counter(thinned(f"{words}!", 4, numpy_generator(0, i)) for i in range(3000))
    assert set(found) == {" ".join(chosen) for chosen in combinations(words.split(), 4)}
    assert max(abs(count - 200) for count in found.values()) < 70  # 5 standard deviations of a fair draw
    assert thinned("A short, one!", 3, numpy_generator(0)) == "A short, one!"


def test_unknown_words_are_counted_and_reported_once(caplog):
    vocabulary = Vocabulary.of(["a red bird"], max_words=5)
    with caplog.at_level(logging.INFO):
        report_unknown(vocabulary.unknown_words, ["a red fox", "a fox, a hen"], "test captions")
        report_unknown(vocabulary.unknown_words, ["a bird"], "other captions")
    (record,) = caplog.records
    assert record.message == (
        "test captions: 2 words are unknown to the text encoder and left out (43 % of the text), such as fox, hen"
    )


def test_no_words_at_all_is_an_error():
    with pytest.raises(ValueError, match="vocabulary is empty"):
        Vocabulary.of(["...", ""], max_words=5)
