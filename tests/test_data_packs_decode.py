"""The fast way from a file to a crop gives the pixels of the slow one, and never decodes what it should not."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from sclgan.data.images import decode as decode_picture
from sclgan.data.packs import decode
from sclgan.data.packs.decode import open_jpeg, training_pixels
from sclgan.data.sets.photographs import decoded, framed, margin

SIZE = 32


def jpeg(width: int, height: int, **options: object) -> bytearray:
    rng = np.random.default_rng(width * height)
    image = Image.fromarray(rng.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.resize((width, height)).convert(str(options.pop("mode", "RGB"))).save(file, "JPEG", **options)
    return bytearray(file.getvalue())


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": "4:2:0"},
        {"subsampling": "4:2:2"},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:1:1"},
        {"quality": 98, "optimize": True},
        {"restart_marker_rows": 1},
        {"keep_rgb": True},
        {"mode": "L"},
        {"mode": "CMYK"},
        {"progressive": True},
        {"exif": b"Exif\0\0" + b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01" * 9},  # a header within a header
    ],
    ids=str,
)
def test_a_crop_is_that_of_the_whole_picture_bit_for_bit(options):
    for width, height in ((38, 38), (38, 90), (61, 38)):
        content = jpeg(width, height, **options)
        image = decoded(bytes(content), name="whole")
        for draws in (None, (0.0, 0.0, 0.0), (0.9, 0.999, 0.999), (0.4, 0.3, 0.1), (0.6, 0.5, 0.7)):
            found = training_pixels(content, SIZE, draws, name="fast")
            np.testing.assert_array_equal(found, framed(image, SIZE, draws))


@pytest.mark.parametrize("kind", ["turned", "turned by XMP", "profile"])
def test_metadata_of_others_shards_are_obeyed(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    of_kind: dict[str, dict[str, Any]] = {
        "turned": {"exif": exif},
        "turned by XMP": {"xmp": b'<x:xmpmeta tiff:Orientation="6"/>'},
        "profile": {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()},
    }
    content = jpeg(38, 38, **of_kind[kind])
    assert open_jpeg(content) is None
    found = training_pixels(content, SIZE, None, name="fast")
    np.testing.assert_array_equal(found, framed(decode_picture(bytes(content)), SIZE, None))
    plain = training_pixels(jpeg(38, 38), SIZE, None, name="plain")
    assert kind == "profile" or np.array_equal(found, np.rot90(plain, -1))


def test_rows_below_the_crop_are_not_decoded():
    opened = open_jpeg(jpeg(38, 200))
    assert opened is not None
    assert (opened.height, opened.width) == (200, 38)
    assert [None if rows is None else len(rows) for rows in map(opened.pixels, (33, 199))] == [48, 200]


@pytest.mark.parametrize("kind", ["cut", "progressive", "PNG", "empty", "CMYK", "huge", "half a header"])
def test_what_is_not_plain_is_left_to_pillow(kind):
    content = jpeg(38, 38, progressive=kind == "progressive", mode="CMYK" if kind == "CMYK" else "RGB")
    if kind == "cut":
        content = content[:-5]
    elif kind == "huge":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = b"\xff\xff\xff\xff"
    elif kind == "half a header":
        content = content[:100] + b"\xff\xd9"
    elif kind in ("PNG", "empty"):
        content = bytearray(b"\x89PNG\r\n\x1a\n" if kind == "PNG" else b"")
    assert open_jpeg(content) is None


def test_damage_is_an_error_with_and_without_simplejpeg(monkeypatch):
    content = jpeg(38, 38)[:-300]
    for _ in range(2):
        with pytest.raises(ValueError, match="some row is truncated or not a picture"):
            training_pixels(content, SIZE, None, name="some row")
        monkeypatch.setattr(decode, "simplejpeg", None)
    assert min(Image.open(io.BytesIO(jpeg(38, 38))).size) == margin(SIZE)
