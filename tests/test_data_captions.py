import json
import logging
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclgan.data.captions import Reading, Vocabulary, check_captions, thinned, words_of


def attngan_words(caption: str) -> list[str]:
    """As AttnGAN's code cuts captions: other letters than ASCII's are dropped."""
    found = re.findall(r"\w+", caption.lower())
    return [word for word in (word.encode("ascii", "ignore").decode() for word in found) if word]


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_words_of_ascii_are_attngans(caption):
    assert words_of(caption) == attngan_words(caption)
    assert words_of(caption + " é") == [*attngan_words(caption), "é"]  # the slower way agrees with the quick one


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Ein schöner BÄR im Gebüsch, STRASSE", "ein schöner bär im gebüsch strasse"),
        ("ein scho\u0308ner Ba\u0308r", "ein schöner bär"),  # two Unicode forms are one word
        ("pêche sur l'île", "pêche sur l île"),
        (
            "золотая Птица",
            "золотая птица",
        ),
        (
            "लाल पक्षी",
            "लाल पक्षी",
        ),  # vowel signs stay on their letters
        ("红色的鸟, a bird", "红 色 的 鸟 a bird"),
        ("นกสีแดง", "น ก สี แ ด ง"),
        ("Ge\u00adbüsch", "gebüsch"),  # a soft hyphen
        ("a 🐶\ufe0f on grass", "a 🐶 on grass"),
        (" \ufffd ... 。", ""),
    ],
)
def test_letters_of_all_scripts_are_kept(caption, words):
    assert words_of(caption) == words.split()


def test_tokens_number_words_by_first_appearance_and_pad_with_zero():
    vocabulary = Vocabulary.of(["a red bird", "a blue bird sings"], max_words=5)
    captions = vocabulary(["blue bird", "the red red bird sings a a"])
    assert captions.tokens.tolist() == [[4, 3, 0, 0, 0], [2, 2, 3, 5, 1]]  # 'the' is unknown, the last 'a' too many
    assert captions.lengths.tolist() == [2, 5]
    assert vocabulary.num_tokens == 6
    assert vocabulary.read("The red fish") == Reading(("red",), unknown=("the", "fish"))


def test_every_word_that_is_left_out_is_named_with_its_reason():
    reading = Vocabulary.of(["a red bird"], max_words=3).read("A red, red dog bird; bird!")
    assert reading == Reading(("a", "red", "red"), unknown=("dog",), beyond=("bird", "bird"))
    assert reading.left_out("CAPTION") == [
        "words the text encoder never saw, left out of 'CAPTION': dog",
        "words beyond the 3 that the text encoder reads, left out of 'CAPTION': bird, bird",
    ]
    assert Reading(("a",)).left_out("a") == []


def test_a_published_vocabulary_reads_ascii_alone_and_names_what_it_cannot_read(tmp_path):
    vocabulary = Vocabulary(["a", "caf"], max_words=5, letters="ascii")
    assert vocabulary(["A café"]).tokens.tolist() == [[1, 2, 0, 0, 0]]
    assert vocabulary.read("a café 红色 schön") == Reading(("a", "café"), unknown=("红色", "schön"))
    with pytest.raises(ValueError, match="caption 1 of 1 holds no known word: '红色'"):
        vocabulary(["红色"])
    path = tmp_path / "vocabulary.json"
    for letters, content in (("ascii", {"max_words": 5, "words": ["a", "caf"]}), ("unicode", {"letters": "unicode"})):
        path.write_text(json.dumps({"max_words": 5, "words": ["a", "caf"], **content}))
        again = Vocabulary.load(path)
        assert again.letters == letters  # a file without the entry is of the time when all were ASCII
        again.save(path)
        assert Vocabulary.load(path).letters == letters


@pytest.mark.parametrize(
    ("caption", "message"), [("", "is empty"), ("?!", "holds no word"), ("zebra", "holds no known word")]
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
    assert again(["bird"]).tokens.tolist() == vocabulary(["bird"]).tokens.tolist()
    for damaged in ('{"words": 3', "[]", "{}", '{"words": "ab", "max_words": 5}', '{"words": ["a"], "max_words": "5"}',
                    '{"words": ["a"], "max_words": 5, "letters": "greek"}', "[" * 9999, "\0"):  # fmt: skip
        (tmp_path / "vocabulary.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"vocabulary\.json is not a vocabulary of sclgan"):
            Vocabulary.load(tmp_path / "vocabulary.json")


def test_a_long_caption_is_thinned_to_a_uniform_subset_in_order():
    words = "one two three four five six"
    found = Counter(thinned(f"{words}!", 4, np.random.default_rng((0, i))) for i in range(3000))
    assert set(found) == {" ".join(chosen) for chosen in combinations(words.split(), 4)}
    assert max(abs(count - 200) for count in found.values()) < 70  # 5 standard deviations of a fair draw
    assert thinned("A short, one!", 3, np.random.default_rng(0)) == "A short, one!"


def test_unknown_words_are_counted_once_and_a_caption_without_a_known_one_is_refused(caplog):
    vocabulary = Vocabulary.of(["a red bird"], max_words=5)
    with caplog.at_level(logging.INFO):
        check_captions(vocabulary, ["a red fox", "a fox, a hen"], "test captions")
        check_captions(vocabulary, ["a bird"], "other captions")
    assert caplog.messages == [
        "test captions: 3 words are unknown to the text encoder and left out (43 % of the text), such as fox, hen"
    ]
    with pytest.raises(
        ValueError, match=r"test captions: the text encoder knows no word of 1 of 2, such as 'two \\nhens'"
    ):
        check_captions(vocabulary, ["a bird", "two \nhens"], "test captions")


def test_no_words_at_all_is_an_error():
    with pytest.raises(ValueError, match="vocabulary is empty"):
        Vocabulary.of(["...", ""], max_words=5)
