"""Folders of pictures to grade: read as training reads them; what is not used is said."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sclgan.data import picture_files
from sclgan.data.picture_files import PictureFolder, decoded_ahead
from sclgan.data.sets.own.source import Folder


def write(path: Path, value: int = 0, *, mode: str = "RGB", size: tuple[int, int] = (5, 4), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 2 * value, 9)).convert(mode).save(path, **options)
    return path


def names(folder: PictureFolder) -> list[str]:
    return [path.relative_to(folder.root).as_posix() for path in folder.files]


ROWS: list[dict[str, Any]] = [
    {"file_name": "x.png", "text": ["a red apple", "an apple"], "label": "fruit"},
    {"file_name": "deep/y.png", "captions": ["a fish"], "labels": ["animal", "food"]},
    {"file_name": "z.png", "text": "a\u2028pear", "label": "fruit"},
]


def as_jsonl(folder: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    (folder / "metadata.jsonl").write_bytes(("\ufeff" + "\n".join(lines)).encode())


def as_csv(folder: Path) -> None:
    lines = ["file_name,captions,labels"]
    for row in ROWS:
        captions, labels = row.get("text", row.get("captions")), row.get("labels", [row.get("label")])
        captions = captions if isinstance(captions, list) else [captions]
        cells = [json.dumps(cell, ensure_ascii=False).replace('"', '""') for cell in (captions, labels)]
        lines.append(f'{row["file_name"]},"{cells[0]}","{cells[1]}"')
    (folder / "metadata.csv").write_text("\n".join(lines))


def as_parquet(folder: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {"file_name": row["file_name"], "labels": row.get("labels", [row.get("label")])}
        | {"captions": [text] if isinstance(text := row.get("text", row.get("captions")), str) else text}
        for row in ROWS
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "metadata.parquet")


@pytest.mark.parametrize("table", [as_jsonl, as_csv, as_parquet])
def test_tables_are_read_as_training_reads_them(table, tmp_path: Path) -> None:
    """Lists of captions and labels, a byte-order mark, a line separator within a caption, csv and parquet."""
    for value, row in enumerate(ROWS):
        write(tmp_path / str(row["file_name"]), value)
    table(tmp_path)
    folder = PictureFolder(tmp_path)
    folder.check()
    assert names(folder) == ["deep/y.png", "x.png", "z.png"]
    assert folder.captions == ("a fish", "a red apple", "a\u2028pear")
    assert folder.label_names == ("animal", "fruit", "fruit")
    assert folder.labels == (0, 1, 1)
    trained_on = [caption for split in ("train", "test") for caption in Folder(split, root=tmp_path).captions()]
    assert set(folder.captions) < set(trained_on)


def test_captions_beside_pictures_and_folders_as_labels_are_read_as_training_reads_them(tmp_path: Path) -> None:
    for value, name in enumerate(("cats/1", "cats/2", "dogs/1")):
        write(tmp_path / f"{name}.png", value)
        (tmp_path / f"{name}.txt").write_text(f"  the {name}  \nand more\n")
    folder = PictureFolder(tmp_path)
    assert folder.captions == ("the cats/1", "the cats/2", "the dogs/1")
    assert folder.labels == (0, 0, 1)
    assert set(names(folder)) == {key for split in ("train", "test") for key in Folder(split, root=tmp_path).keys}


def test_folders_train_and_test_are_read_both(tmp_path: Path) -> None:
    write(tmp_path / "train" / "cats" / "1.png")
    write(tmp_path / "test" / "dogs" / "2.png")
    folder = PictureFolder(tmp_path)
    assert names(folder) == ["test/dogs/2.png", "train/cats/1.png"]
    assert folder.label_names == ("dogs", "cats")


def test_every_ending_of_a_picture_is_read_and_other_files_are_counted(tmp_path: Path, caplog) -> None:
    for name in ("b.PNG", "a/c.JPG", "a/b/d.webp", "e.gif", "f.jfif", "g.tif", ".hidden.png", ".cache/e.png"):
        options: dict[str, Any] = {"format": "JPEG"} if name.endswith("jfif") else {}
        write(tmp_path / name, **options)
    for name in ("notes.md", "1.heic", "2.heic", "evaluations.jsonl"):
        (tmp_path / name).write_text("")
    folder = PictureFolder(tmp_path)
    assert names(folder) == ["a/b/d.webp", "a/c.JPG", "b.PNG", "e.gif", "f.jfif", "g.tif"]
    assert folder.captions is None
    assert len(list(decoded_ahead(folder.files))) == 6
    (message,) = caplog.messages
    assert message.endswith("note: files that are not read, .heic: 2 (1.heic, ...), .md: 1 (notes.md)")


def test_loose_and_nested_pictures_are_all_graded_without_labels(tmp_path: Path, caplog) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "dogs" / "b.png")
    (tmp_path / "a.txt").write_text("a fish")
    folder = PictureFolder(tmp_path)
    folder.check()
    assert (len(folder), folder.captions, folder.labels) == (2, None, (0, 1))
    assert "1 of 2 pictures have no caption, such as dogs/b.png: no caption is used" in caplog.text
    assert "1 of 2 pictures have no label, such as a.png: no label is used" in caplog.text


def test_a_damaged_table_stops_what_needs_it_alone(tmp_path: Path, caplog) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name)
    lines = ['{"file_name": "a.png", "text": "x"}', '{"name": "b.png"}', '{"file_name": "d.png", "text": "gone"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    folder = PictureFolder(tmp_path)
    assert (names(folder), folder.captions) == (["a.png", "b.png", "c.png"], None)
    assert "metadata.jsonl:2: error: there is no file_name" in caplog.text
    assert "metadata.jsonl:3: note: there is no picture 'd.png'" in caplog.text
    with pytest.raises(ValueError, match=r"captions and labels of .* cannot be read: metadata\.jsonl:2: error"):
        folder.check()


@pytest.mark.parametrize("content", [b"caf\xe9", "a kite".encode("utf-16"), b"", b" \n"])
def test_a_caption_file_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_bytes(content if number == 2 else b"a kite")
    folder = PictureFolder(tmp_path)
    assert len(folder) == 3
    with pytest.raises(ValueError, match=r"cannot be read: 2\.txt: error"):
        folder.check()


def test_pictures_without_labels_have_one_each(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    assert PictureFolder(tmp_path).labels == (0, 1)


def test_links_are_followed_once_and_never_upwards(tmp_path: Path, caplog) -> None:
    root = tmp_path / "own"
    for name in ("kite/0.png", "kite/deep/1.png"):
        write(root / name)
    write(tmp_path / "shared" / "boats" / "2.png")
    (tmp_path / "shared" / "boats" / "again").symlink_to(root / "kite")
    (tmp_path / "shared" / "boats" / "itself").symlink_to(tmp_path / "shared" / "boats")
    (root / "boat").symlink_to(tmp_path / "shared" / "boats")
    (root / "all").symlink_to(root / "kite")  # a link that comes first by its name does not take the place
    (root / "kite" / "latest").symlink_to(root)
    (root / "kite" / "above").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("none")
    folder = PictureFolder(root)
    assert names(folder) == ["boat/2.png", "kite/0.png", "kite/deep/1.png"]
    told = [line for line in caplog.messages if "not followed" in line or "leads nowhere" in line]
    assert len(told) == 5
    assert "2 more such" in caplog.messages[-1]


def test_pipes_and_devices_are_named_and_not_read(tmp_path: Path, caplog) -> None:
    write(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "c.png").symlink_to("/dev/zero")
    folder = PictureFolder(tmp_path)
    assert (names(folder), folder.captions) == (["a.png"], None)
    assert sum("it is a pipe, a device or a socket and not a file, and is not read" in m for m in caplog.messages) == 3


def test_no_folder_no_picture_and_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none is neither a run folder nor a folder of pictures"):
        PictureFolder(tmp_path / "none")
    (tmp_path / "a.heic").write_text("")
    with pytest.raises(FileNotFoundError, match=r"holds no picture .*\.heic: 1 \(a\.heic\)\): expected files such as"):
        PictureFolder(tmp_path)
    write(tmp_path / "grids" / "step_00000001.png")
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(
        ValueError, match="is the folder of a run, and its sample grids are not pictures to compare with"
    ):
        PictureFolder(tmp_path)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_files_are_decoded_in_order_by_any_number_of_threads(tmp_path: Path, num_workers: int, monkeypatch) -> None:
    monkeypatch.setattr(picture_files, "_AHEAD", 200)  # pixels: ten pictures
    modes = ("RGB", "L", "P", "1", "CMYK")
    paths = [
        write(tmp_path / f"{i}.{'tif' if modes[i % 5] == 'CMYK' else 'png'}", i, mode=modes[i % 5], size=(5, 4 + i % 2))
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
