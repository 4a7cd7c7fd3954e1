"""Pictures between two captions and two noises; captions cut into what is read and what is not."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("fastapi")

from sclgan.data.captions import Vocabulary
from sclgan.data.pixels import to_8_bits
from sclgan.encoders.base import TextCodes
from sclgan.runs.pictures import tiles
from sclgan.serving import drawing
from sclgan.serving.drawing import mixed_codes, mixed_noise
from sclgan.serving.words import parts
from served import APPLE, FISH, untrained

GANS = ("ssagan_emoji", "attngan_emoji", "dmgan_emoji")


def array(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("name", GANS)
def test_pictures_are_those_of_sample(name):
    run = untrained(name)
    expected = run.sample([APPLE], num_images=3, seed=5).permute(0, 2, 3, 1).numpy()
    found = drawing.pictures(run, APPLE, num_images=3, seed=5)
    np.testing.assert_array_equal(np.stack([array(png) for png in found]), expected)


@pytest.mark.parametrize("name", GANS)
def test_in_the_corners_nothing_is_mixed(name):
    run = untrained(name)
    for sentence in (0.0, 1.0):
        for noise in (0.0, 1.0):
            found = drawing.between(run, (APPLE, FISH), (3, 4), sentence=sentence, noise=noise)
            (expected,) = drawing.pictures(run, (APPLE, FISH)[int(sentence)], num_images=1, seed=(3, 4)[int(noise)])
            np.testing.assert_array_equal(array(found), array(expected))


@pytest.mark.parametrize("name", GANS)
def test_a_mixture_is_another_picture_and_nears_its_end(name):
    run = untrained(name)
    end, near, far = (
        array(drawing.between(run, (APPLE, FISH), (3, 4), sentence=share, noise=share)).astype(float)
        for share in (0.0, 0.02, 0.5)
    )
    assert 0 <= np.abs(near - end).mean() < np.abs(far - end).mean()


def test_words_are_stretched_from_one_number_to_the_other():
    run = untrained("attngan_emoji")
    one, other = run.encode([APPLE]), run.encode([FISH])
    lengths = [int(mixed_codes(one, other, share).mask.sum()) for share in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert lengths == [7, 7, 5, 3, 3]
    halfway = mixed_codes(one, other, 0.5)
    torch.testing.assert_close(halfway.sentence, (one.sentence + other.sentence) / 2)
    assert halfway.words.shape == (1, run.encoders.code_size, 5)


def test_captions_with_as_many_words_are_mixed_word_by_word():
    codes = [TextCodes(torch.ones(1, 2) * k, torch.full((1, 2, 4), float(k)), torch.ones(1, 4).bool()) for k in (1, 3)]
    mixed = mixed_codes(codes[0], codes[1], 0.25)
    torch.testing.assert_close(mixed.words, torch.full((1, 2, 4), 1.5))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_mixed_noise_lies_on_the_arc(share):
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.nn.functional.normalize(torch.randn(1, 64, generator=generator)) * 8 for _ in range(2))
    mixed = mixed_noise(one, other, share)
    assert float(mixed.norm()) == pytest.approx(8, rel=1e-5)
    angles = [float(torch.nn.functional.cosine_similarity(mixed, end).clamp(-1, 1).acos()) for end in (one, other)]
    assert angles[0] * (1 - share) == pytest.approx(angles[1] * share, abs=2e-3)


def test_noise_mixed_with_itself_stays():
    z = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixed_noise(z, z, 0.4), z)


def test_maps_are_of_the_picture_that_is_asked_for():
    run = untrained("attngan_emoji")
    labels = [label.split()[0] for label, _ in drawing.picture_maps(run, APPLE, num_images=3, seed=0, number=2)]
    assert labels == APPLE.split()
    masks = drawing.picture_maps(untrained(), APPLE, num_images=3, seed=0, number=2)
    assert [label for label, _ in masks] == [f"mask {size} x {size}" for size in (4, 8, 16, 32)]
    other = drawing.picture_maps(untrained(), APPLE, num_images=3, seed=0, number=1)
    assert any(one[1] != two[1] for one, two in zip(masks, other, strict=True))


def test_attention_to_a_caption_of_one_word_is_no_mask():
    run = untrained("attngan_emoji")
    ((label, _),) = drawing.picture_maps(run, "apple", num_images=1, seed=0, number=0)
    assert label == "apple  100%"


def test_maps_of_a_picture_beyond_the_first_batch():
    run = untrained()
    found = drawing.picture_maps(run, APPLE, num_images=66, seed=0, number=65)
    *_, last = run.draw([APPLE], num_images=66, seed=0)
    pixels = to_8_bits(last.image)[1].permute(1, 2, 0).numpy()
    shown = tiles(pixels, [], [stage[1] for stage in last.maps], of_words=False)
    for (_, png), tile in zip(found, shown, strict=True):
        np.testing.assert_array_equal(array(png), tile.pixels)


# Words

VOCABULARY = Vocabulary(["a", "red", "apple", "fünf", "two"], max_words=3)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red apple", [("a red apple", "read")]),
        ("", []),
        ("  a zyxxy, apple!", [("  a ", "read"), ("zyxxy", "unknown"), (", apple!", "read")]),
        ("A Zyxxy-red", [("A ", "read"), ("Zyxxy", "unknown"), ("-red", "read")]),
        ("wvut-zyxxy two", [("wvut", "unknown"), ("-", "read"), ("zyxxy", "unknown"), (" two", "read")]),
        ("a red apple two fünf", [("a red apple ", "read"), ("two", "beyond"), (" ", "read"), ("fünf", "beyond")]),
        ("FÜNF FU\u0308NF", [("FÜNF FU\u0308NF", "read")]),
    ],
)
def test_parts_of_a_caption(caption, expected):
    assert parts(caption, VOCABULARY) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet=st.sampled_from(list("a red zyx\u0130\u0308\u00df\u017f-,.\n\u3042\U0001f34e")), max_size=40)
    | st.text(max_size=30)
)
def test_parts_join_to_the_caption_and_mark_words_just_where_some_are_left_out(caption):
    found = parts(caption, VOCABULARY)
    assert "".join(text for text, _ in found) == caption
    reading = VOCABULARY.read(caption)
    kinds = {kind for _, kind in found}
    assert ("unknown" in kinds) == bool(reading.unknown)
    assert not reading.beyond or "beyond" in kinds


def test_byte_pairs_know_all_words_and_stop_at_the_context():
    pytest.importorskip("open_clip")
    from sclgan.encoders.clip_tokens import CLIPTokenizer

    assert parts("a zyxxy, \U0001f34e!", CLIPTokenizer()) == [("a zyxxy, \U0001f34e!", "read")]
    short = CLIPTokenizer(context_length=6)
    assert parts("a red apple on a table", short) == [
        ("a red apple on ", "read"),
        ("a", "beyond"),
        (" ", "read"),
        ("table", "beyond"),
    ]
    assert parts("zyxxywvut zyxxywvut apple", short)[-1] == ("apple", "beyond")
