import pytest

from sclgan.data.captions import Vocabulary, words_of


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


def test_no_words_at_all_is_an_error():
    with pytest.raises(ValueError, match="vocabulary is empty"):
        Vocabulary.of(["...", ""], max_words=5)
