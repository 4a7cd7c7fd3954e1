"""Folders of pictures: order, captions, labels, formats, what is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclgan.data.picture_files import PictureFolder, decoded_ahead


def write(path: Path, value: int = 0, *, mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 2 * value, 9)).convert(mode).save(path)
    return path


def test_pictures_are_found_below_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.JPG", "a/b/d.webp", ".hidden.png", ".cache/e.png", "notes.md"):
        write(tmp_path / name) if not name.endswith(".md") else (tmp_path / name).write_text("")
    folder = PictureFolder(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in folder.files] == ["a/b/d.webp", "a/c.JPG", "b.png"]
    assert folder.captions is None


def test_captions_and_labels_come_from_metadata(tmp_path: Path) -> None:
    rows = [("x.png", "a red apple", "fruit"), ("deep/y.png", "a fish", "animal"), ("z.png", "a pear", "fruit")]
    for name, _, _ in rows:
        write(tmp_path / name)
    lines = [json.dumps({"file_name": name, "text": text, "label": label}) for name, text, label in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    folder = PictureFolder(tmp_path)
    assert folder.captions == ("a fish", "a red apple", "a pear")
    assert folder.label_names == ("animal", "fruit", "fruit")
    assert folder.labels == (0, 1, 1)


def test_captions_stand_beside_and_folders_are_labels(tmp_path: Path) -> None:
    for name in ("cats/1", "cats/2", "dogs/1"):
        write(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"  the {name}  \nand more\n")
    folder = PictureFolder(tmp_path)
    assert folder.captions == ("the cats/1", "the cats/2", "the dogs/1")
    assert folder.labels == (0, 0, 1)


def test_pictures_without_labels_have_one_each(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    assert PictureFolder(tmp_path).labels == (0, 1)


def test_what_is_half_there_is_an_error_that_names_a_picture(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "dogs" / "b.png")
    (tmp_path / "a.txt").write_text("a fish")
    folder = PictureFolder(tmp_path)
    with pytest.raises(ValueError, match=r"1 of 2 pictures have no caption, such as .*b\.png"):
        _ = folder.captions
    with pytest.raises(ValueError, match=r"1 of 2 pictures have no label, such as .*a\.png"):
        _ = folder.labels
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "x"}\n{"name": "b.png"}\n')
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 2: expected"):
        _ = PictureFolder(tmp_path).captions


def test_no_folder_and_no_picture_are_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run folder and no folder of pictures"):
        PictureFolder(tmp_path / "none")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"holds no picture: expected \.bmp"):
        PictureFolder(tmp_path)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_files_are_decoded_in_order_by_any_number_of_threads(tmp_path: Path, num_workers: int) -> None:
    modes = ("RGB", "L", "P", "RGBA", "1", "CMYK")
    paths = [
        write(tmp_path / f"{i}.{'tif' if modes[i % 6] == 'CMYK' else 'png'}", i, mode=modes[i % 6], size=(5, 4 + i % 2))
        for i in range(70)
    ]
    found = list(decoded_ahead(paths, num_workers))
    assert [place for place, _ in found] == list(range(70))
    for place, pixels in found:
        with Image.open(paths[place]) as opened:
            np.testing.assert_array_equal(pixels, np.asarray(opened.convert("RGB")))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    good = write(tmp_path / "a.png", size=(64, 64))
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"cut\.png is truncated or not a picture"):
        list(decoded_ahead([good, cut, good]))
