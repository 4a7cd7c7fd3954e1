"""The one decoder of picture files: every kind of pixels as a viewer shows it, bounded by what the header claims."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from sclgan.data import images
from sclgan.data.images import decode, is_shown_as_stored, read_content, size_of

WHITE = (255, 255, 255)


def colour(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    """The channels of a pixel."""
    found = image.getpixel(place)
    assert isinstance(found, tuple)
    return found


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colours: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG byte by byte; `rows` hold the filter bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data


def profile(**primaries: tuple[float, float, float]) -> bytes:
    """sRGB's profile with other primaries (XYZ, D50)."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", data[128:132])
    for i in range(count):
        name, place, _ = struct.unpack(">4sII", data[132 + 12 * i : 144 + 12 * i])
        if name.decode() in primaries:
            data[place + 8 : place + 20] = struct.pack(">iii", *(round(v * 65536) for v in primaries[name.decode()]))
    return bytes(data)


SWAPPED = profile(rXYZ=(0.38515, 0.71687, 0.09708), gXYZ=(0.43607, 0.22249, 0.01392))  # red is stored as green
ALMOST_SRGB = profile(rXYZ=(0.43610, 0.22250, 0.01390))


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_obeyed_unless_pixels_are_wanted_as_stored(kind: str) -> None:
    wide = Image.new("RGB", (80, 40), "red")
    wide.paste("blue", (0, 0, 40, 40))
    content = saved(wide, kind, exif=orientation(6))  # to be turned right: the left half goes up
    shown = decode(content)
    assert shown.size == (40, 80)
    assert colour(shown, (20, 10))[2] > 200 > 50 > colour(shown, (20, 70))[2]
    assert not is_shown_as_stored(content, name="turned")
    if kind != "TIFF":  # which Pillow turns itself
        assert decode(content, as_stored=True).size == size_of(content) == (80, 40)


@pytest.mark.parametrize(
    "block",
    [
        b"\x13garbage",
        b"",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0top\0\0\0\0\0",
        b"II*\0\x08\0\0\0\xff\xff\x12",
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_metadata_that_are_damaged_are_ignored(block: bytes) -> None:
    plain = saved(Image.new("RGB", (8, 4), "teal"), "JPEG")
    segments = b"".join(
        b"\xff" + marker + struct.pack(">H", len(data) + 2) + data
        for marker, data in ((b"\xe1", b"Exif\0\0" + block), (b"\xe2", b"ICC_PROFILE\0\x01\x01no profile"))
    )
    np.testing.assert_array_equal(decode(plain[:2] + segments + plain[2:]), decode(plain))


TRANSPARENT = {
    "RGBA": saved(Image.new("RGBA", (2, 1), (0, 200, 0, 0)), "PNG"),
    "LA": saved(Image.new("LA", (2, 1), (90, 0)), "PNG"),
    "palette": png(2, 1, 8, 3, b"\0\0\0", chunk(b"PLTE", b"\1\2\3"), chunk(b"tRNS", b"\0")),
    "key of 1 bit": png(2, 1, 1, 0, b"\0\0", chunk(b"tRNS", b"\0\0")),
    "key of 2 bits": png(2, 1, 2, 0, b"\0\x50", chunk(b"tRNS", b"\0\1")),
    "key of 4 bits": png(2, 1, 4, 0, b"\0\x33", chunk(b"tRNS", b"\0\3")),
    "key of 8 bits": png(2, 1, 8, 0, b"\0\x33\x33", chunk(b"tRNS", b"\0\x33")),
    "key of 16 bits": png(2, 1, 16, 0, b"\0\x12\x34\x12\x34", chunk(b"tRNS", b"\x12\x34")),
    "key colour": png(2, 1, 8, 2, b"\0\1\2\3\1\2\3", chunk(b"tRNS", b"\0\1\0\2\0\3")),
    "key colour of 16 bits": png(
        2, 1, 16, 2, b"\0" + b"\x12\x34\x56\x78\1\1" * 2, chunk(b"tRNS", b"\x12\x34\x56\x78\1\1")
    ),
    "GIF": saved(Image.new("P", (2, 1), 0), "GIF", transparency=0),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_parts_are_white(kind: str) -> None:
    assert [decode(TRANSPARENT[kind]).getpixel((x, 0)) for x in (0, 1)] == [WHITE, WHITE]


def test_transparency_in_part_is_mixed_with_white() -> None:
    assert decode(saved(Image.new("RGBA", (1, 1), (0, 100, 255, 51)), "PNG")).getpixel((0, 0)) == (204, 224, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_to_eight(kind: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = Image.fromarray(levels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(np.asarray(decode(saved(grey, kind)))[..., 1], levels)


@pytest.mark.parametrize("number", [np.float32, np.int32])
def test_pixels_without_a_white_are_refused(number: type) -> None:
    content = saved(Image.fromarray(np.zeros((2, 2), number)), "TIFF")
    with pytest.raises(ValueError, match=r"depth\.tif has pixels of 32 bits, .*: save it with 8 or 16 bits"):
        decode(content, name="depth.tif")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_profiles_are_converted_to_srgb_unless_pixels_are_wanted_as_stored(mode: str) -> None:
    content = saved(Image.new("RGB", (4, 4), (230, 30, 30)).convert(mode), "PNG", icc_profile=SWAPPED)
    red, green, blue = colour(decode(content), (0, 0))
    assert green > 200 > 60 > max(red, blue)
    stored = decode(content, as_stored=True)
    assert colour(stored, (0, 0))[0] > 200
    assert not is_shown_as_stored(content, name="swapped")
    np.testing.assert_array_equal(decode(saved(stored, "PNG")), stored)  # the profile is not saved again


def test_a_grey_picture_with_a_profile_of_colours_stays_grey() -> None:
    content = saved(Image.new("L", (4, 4), 77), "PNG", icc_profile=SWAPPED)
    assert max(colour(decode(content), (0, 0))) - min(colour(decode(content), (0, 0))) <= 1


def test_srgb_under_any_name_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    content = saved(Image.fromarray(pixels), "PNG", icc_profile=ALMOST_SRGB)
    np.testing.assert_array_equal(decode(content), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cyan_ink_is_cyan(kind: str) -> None:
    """JPEG files store the inks inverted, as Adobe's programs do; TIFF files do not."""
    red, green, blue = colour(decode(saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), kind)), (8, 8))
    assert red < 10 < 240 < min(green, blue)


def test_size_is_checked_before_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for width, height in ((13_000, 13_000), (170_000_000, 1), (30_000, 30_000), (2**31 - 1, 2**31 - 1)):
        content = png(width, height, 8, 2, b"\0" * 100)
        with pytest.raises(ValueError, match=r"huge\.png is too large .*at most 67,108,864 pixels are read; reduce it"):
            decode(content, name="huge.png")
    content = png(60, 50, 8, 0, (b"\0" + b"\7" * 60) * 50)
    monkeypatch.setenv("SCLGAN_MAX_PIXELS", "2999")
    with pytest.raises(ValueError, match="at most 2,999 pixels"):
        size_of(content)
    monkeypatch.setenv("SCLGAN_MAX_PIXELS", "3000")
    assert decode(content).size == (60, 50)
    monkeypatch.setenv("SCLGAN_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="SCLGAN_MAX_PIXELS is 'many': expected the largest number"):
        decode(content)


def test_the_limit_can_be_raised_above_pillow_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCLGAN_MAX_PIXELS", str(10**9))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    assert size_of(png(30_000, 30_000, 8, 2, b"\0" * 100)) == (30_000, 30_000)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "endless.png", "folder.png"):
        for read in (decode, size_of, read_content):
            with pytest.raises(ValueError, match=f"{name} is not a regular file"):
                read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        decode(tmp_path / "none.png")


def test_whatever_bytes_a_file_holds_it_is_decoded_or_refused_by_its_name() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    wholes = [
        *TRANSPARENT.values(),
        *(saved(noise, kind, exif=orientation(6)) for kind in ("JPEG", "PNG", "WEBP", "TIFF")),
        *(saved(noise, kind) for kind in ("BMP", "GIF", "PPM", "JPEG2000")),
    ]
    for whole in wholes:
        for _ in range(25):
            content = bytearray(whole)
            for _ in range(int(rng.choice((1, 3, 20)))):
                content[int(rng.integers(len(content)))] = int(rng.integers(256))
            try:
                outcome = decode(bytes(content[: int(rng.integers(len(content)) + 1)]), name="odd").mode
            except ValueError as error:
                outcome = str(error)
            assert outcome == "RGB" or outcome.startswith("odd ")


def test_programs_of_the_machine_are_never_run() -> None:
    """Pillow reads EPS by Ghostscript."""
    assert not {"EPS", "PDF", "WMF"} & set(images.FORMATS)
    with pytest.raises(ValueError, match="truncated or not a picture"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
