"""`sclgan sample`: the pictures drawn, unknown words, captions that are refused."""

import numpy as np
import pytest
from PIL import Image

from command_line import APPLE, done, refused, sclgan


def test_sample_draws_a_row_a_caption_the_same_for_a_seed(plain, tmp_path):
    first, same, other = (tmp_path / "new" / f"{name}.png" for name in ("first", "same", "other"))
    for path, seed in ((first, 0), (same, 0), (other, 1)):
        options = ("--out", path, "--num-images", 3, "--seed", seed)
        ended = done("sample", plain, APPLE, "a blue fish", *options)
        assert (ended.out, ended.err) == (f"{path}\n", "")
    with Image.open(first) as picture:
        assert picture.format == "PNG"
        assert picture.width > 3 * 64 > picture.height > 2 * 64
    assert first.read_bytes() == same.read_bytes() != other.read_bytes()


def test_sample_names_words_it_does_not_know_and_draws_the_rest(plain, tmp_path):
    ended = done("sample", plain, "a red zyxxy apple wvut", "--out", tmp_path / "a.png", "--num-images", 1)
    expected = "words the text encoder never saw, left out of 'a red zyxxy apple wvut': zyxxy, wvut\n"
    assert ended.err == expected
    done("sample", plain, "a red apple", "--out", tmp_path / "b.png", "--num-images", 1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ([""], "caption 1 of 1 is empty: ''; write one with words of the training captions, such as"),
        ([APPLE, "  "], "caption 2 of 2 is empty"),
        (["!?"], "caption 1 of 1 holds no word: '!?'"),
        (["zyxxy wvut"], "caption 1 of 1 holds no known word: 'zyxxy wvut'"),
    ],
)
def test_a_caption_without_a_known_word_is_refused(captions, expected, plain, tmp_path):
    ended = sclgan("sample", plain, *captions, "--out", tmp_path / "a.png")
    assert ended.code == 1
    assert expected in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_sample_needs_a_picture_to_draw_and_a_trained_run(plain, tmp_path):
    out = ("--out", tmp_path / "a.png")
    assert "num_images must be at least 1, not 0" in refused("sample", plain, APPLE, *out, "--num-images", 0)
    said = refused("sample", plain.parent / "encoders", APPLE, *out)
    assert "encoders has no GAN checkpoint yet: `sclgan train ssagan_emoji --out" in said
    assert list(tmp_path.iterdir()) == []


def test_sample_writes_the_format_of_the_ending_and_refuses_others(plain, tmp_path):
    done("sample", plain, APPLE, "--num-images", 1, "--out", tmp_path / "a.jpg")
    done("sample", plain, APPLE, "--num-images", 1, "--out", tmp_path / "a.PNG")
    with Image.open(tmp_path / "a.jpg") as jpeg, Image.open(tmp_path / "a.PNG") as png:
        assert (jpeg.format, png.format) == ("JPEG", "PNG")
        difference = np.asarray(jpeg.convert("RGB"), int) - np.asarray(png.convert("RGB"), int)
    assert np.abs(difference).mean() < 4
    assert "written as .png or .jpg" in refused("sample", plain, APPLE, "--out", tmp_path / "a.gif")
    assert f"{tmp_path} is a folder: name the picture" in refused("sample", plain, APPLE, "--out", tmp_path)
    assert "seed must be at least 0, not -1" in refused(
        "sample", plain, APPLE, "--seed", -1, "--out", tmp_path / "b.png"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PNG", "a.jpg"]
