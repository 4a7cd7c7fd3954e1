"""Decoding, cropping, resizing and flipping photographs; captions without words; missing files."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import photos_on_disk
from sclgan.data.sets import photographs
from sclgan.data.sets.photographs import Photo, around, decoded, framed, require, usable


def ramp(width: int, height: int) -> Image.Image:
    """Red grows to the right and green downwards, linearly."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2).round().astype(np.uint8))


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100), (50, 50), (400, 30), (7, 5)])
@pytest.mark.parametrize("draws", [None, (0.0, 0.0, 0.0), (0.9, 0.999999, 0.999999)])
def test_every_shape_of_picture_becomes_a_square(width, height, draws):
    pixels = framed(ramp(width, height), 64, draws)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8


def test_the_aspect_is_kept_and_the_crop_is_in_the_middle():
    """The shorter side has 76 pixels, 64 of them in the crop: the colours say which part of the ramp is seen."""
    pixels = framed(ramp(152, 76), 64, None).astype(float)
    for channel, axis, length in ((0, 1, 152), (1, 0, 76)):
        steps = np.diff(pixels[:, :, channel].mean(axis=1 - axis))
        assert steps.mean() == pytest.approx(255 / (length - 1), rel=0.02)
        assert pixels[:, :, channel].mean() == pytest.approx(127.5, abs=2.5)


def test_draws_place_the_crop_and_flip_it():
    image = ramp(76, 76)
    upper_left, lower_right = framed(image, 64, (0.9, 0.0, 0.0)), framed(image, 64, (0.9, 0.999, 0.999))
    assert upper_left[0, 0].max() == 0
    assert lower_right[-1, -1, :2].min() == 255
    np.testing.assert_array_equal(framed(image, 64, (0.1, 0.0, 0.0)), upper_left[:, ::-1])


def test_shrinking_is_antialiased():
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255
    image = Image.fromarray(np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8))
    assert np.ptp(framed(image, 64, None)) < 30


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="size is 0"):
        framed(ramp(9, 9), 0, None)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((40, 30, 20, 10), (35, 20, 65, 50)),  # r = 15 about (50, 35)
        ((0, 0, 20, 10), (0, 0, 25, 20)),  # clipped, so no square
        ((80, 60, 20, 20), (75, 55, 100, 80)),
        ((10, 10, 3, 1), (9, 8, 13, 12)),  # halves are cut off: r = 2 about (11, 10)
    ],
)
def test_the_crop_about_a_box(box, expected):
    assert around(box, 100, 80) == expected


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_pictures_of_every_mode_are_read_in_colour(tmp_path, mode):
    Image.new(mode, (20, 10)).save(tmp_path / "one.jpg")
    assert (decoded(tmp_path / "one.jpg").mode, decoded(tmp_path / "one.jpg").size) == ("RGB", (20, 10))


def test_a_damaged_picture_is_named(tmp_path):
    path = tmp_path / "bird.jpg"
    photos_on_disk.photograph(path, 200, 200)
    photos_on_disk.truncate(path)
    with pytest.raises(ValueError, match=r"bird\.jpg is truncated or not a picture"):
        decoded(path)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"bird\.jpg is truncated or not a picture"):
        decoded(path)
    with pytest.raises(FileNotFoundError, match=r"other\.jpg"):
        decoded(tmp_path / "other.jpg")


def test_a_box_outside_the_picture_is_named(tmp_path):
    photos_on_disk.photograph(tmp_path / "bird.jpg", 20, 20)
    with pytest.raises(ValueError, match=r"bird\.jpg has 20 x 20 pixels, and its bounding box .* lies outside"):
        decoded(tmp_path / "bird.jpg", (100, 0, 10, 10))


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    photos_on_disk.photograph(tmp_path / "one.jpg", 90, 70)
    return Photo(tmp_path / "one.jpg", tuple("abcde"), (20, 20, 40, 30))


def test_a_picture_is_a_function_of_the_generator(photo):
    one, same = (photo.picture(32, np.random.default_rng(3), augment=True) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    assert one.caption == same.caption
    drawn = [photo.picture(32, np.random.default_rng(seed), augment=True) for seed in range(40)]
    assert {picture.caption for picture in drawn} == set("abcde")
    assert len({picture.pixels.tobytes() for picture in drawn}) > 30


def test_without_augmentation_every_picture_is_the_same_and_captions_stay(photo):
    plain = [photo.picture(32, np.random.default_rng(seed), augment=False) for seed in range(20)]
    assert len({picture.pixels.tobytes() for picture in plain}) == 1
    others = [photo.picture(48, np.random.default_rng(seed), augment=True) for seed in range(20)]
    assert [picture.caption for picture in plain] == [picture.caption for picture in others]


def test_pictures_take_as_many_draws_with_and_without_augmentation(photo):
    left = []
    for augment in (True, False):
        rng = np.random.default_rng(0)
        photo.picture(32, rng, augment=augment)
        left.append(rng.random())
    assert left[0] == left[1]


def test_captions_without_a_word_are_counted():
    assert usable([" a bird. ", "", "  ", "...", "\u9ce5", "two"]) == (("a bird.", "\u9ce5", "two"), 3)


def test_missing_files_are_counted_and_named(tmp_path):
    (tmp_path / "there").touch()
    require("birds", [tmp_path / "there"], "get it")
    absent = [tmp_path / name for name in "abcd"]
    with pytest.raises(FileNotFoundError, match=r"birds lacks 4 of 5 files: .*a, .*b, .*c, \.\.\.; get it"):
        require("birds", [*absent, tmp_path / "there"], "get it")


@pytest.mark.parametrize(("width", "height"), [(1, 3000), (3000, 1), (1, 60_000), (2, 2**25), (3, 1_000_000)])
def test_thin_pictures_are_read_in_bounded_memory(width, height):
    tracemalloc.start()  # counts NumPy's memory; Pillow's own is bounded by the assertion on its sizes
    sizes = []
    resize = Image.Image.resize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Image.Image, "resize", lambda image, size, *more: sizes.append(size) or resize(image, size, *more)
        )
        image = Image.new("RGB", (width, height), "teal")
        for draws in (None, (0.0, 0.0, 0.0), (0.9, 0.999999, 0.999999)):
            pixels = framed(image, 256, draws)
            assert pixels.shape == (256, 256, 3)
            assert (pixels == (0, 128, 128)).all()
    assert max(w * h for w, h in sizes) <= 2**24
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("draws", [None, (0.9, 0.0, 0.0), (0.1, 0.999999, 0.999999), (0.9, 0.37, 0.81)])
@pytest.mark.parametrize("size", [(90, 40), (33, 700), (700, 500)])
def test_a_part_that_is_resized_alone_is_that_of_the_whole(draws, size, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    whole = framed(Image.fromarray(noise), 64, draws).astype(int)
    monkeypatch.setattr(photographs, "_MAX_RESIZED", 0)
    assert np.abs(framed(Image.fromarray(noise), 64, draws) - whole).max() <= 2


def test_published_photographs_are_read_as_stored_with_and_without_a_box(tmp_path):
    """As the reference codes read them: boxes are given in stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "one.jpg"
    ramp(90, 70).save(path, exif=exif, quality=95)
    for box in (None, (20, 20, 40, 30)):
        photo = Photo(path, ("a bird",), box)
        expected = framed(decoded(path, box, as_stored=True), 32, None)
        np.testing.assert_array_equal(photo.picture(32, np.random.default_rng(0), augment=False).pixels, expected)
        assert photo.sample((), "train", "one").as_stored
    assert decoded(path).size == (70, 90)
