"""The page "Your own data": every command and every snippet on it is run, on a small folder and at tiny sizes."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from PIL import Image

import photos_on_disk
from command_line import done, sclgan
from runs import small_fields
from sclgan.data.sets.own.rows import EXAMPLE
from sclgan.data.sets.own.source import Folder

PAGE = Path(__file__).parents[1] / "docs" / "your-own-data.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documents are not installed")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return photos_on_disk.own_pictures(tmp_path / "pictures", per_label=20)


def test_every_command_runs_in_the_order_of_the_page(pictures):
    """Training runs get the sizes of the tests on top of the fields shown, evaluations a few pictures."""
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 8
    for program, command, *arguments in commands:
        assert program == "sclgan"
        tiny: list[str] = []
        if command == "train":
            tiny = small_fields(arguments[0], "training.batch_size=4", "pretraining.batch_size=4")
        if command == "evaluate":
            tiny = ["--num-images", "8"]
        done(command, *arguments, *tiny)
    for run in ("plain", "scl"):
        assert (pictures.parent / "runs" / run / "recipe.json").is_file()
    with Image.open("samples.png") as image:
        assert image.format == "PNG"
    assert list(Path("page").glob("*.html"))


def test_every_command_of_the_ten_minute_start_runs_in_the_order_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^    sclgan (.*)$", (PAGE.parent / "start.md").read_text(), flags=re.MULTILINE)
    assert [line.split()[0] for line in shown] == ["sample", "train", "sample", "train", "compare"]
    for line in shown:
        command, *arguments = shlex.split(line)
        small = small_fields(arguments[0]) if command == "train" else []
        done(command, *arguments, *small)
    for picture in ("apple.png", "first.png"):
        with Image.open(picture) as image:
            assert image.format == "PNG"
    assert list(Path("runs/page").glob("*.html"))


def test_the_lines_of_the_table_are_read(pictures):
    (shown,) = blocks("json")
    (pictures / "metadata.jsonl").write_text(shown)
    sources = Folder("train", root=pictures), Folder("test", root=pictures)
    assert {key for source in sources for key in source.keys} == {"kite/0.jpg", "boat/0.jpg"}
    # Other readers, such as Hugging Face's, take the type of a column from its first line.
    types = [{field: type(value) for field, value in json.loads(line).items()} for line in shown.splitlines()]
    assert all(row == types[0] for row in types)


def test_the_page_the_readme_and_the_errors_show_one_form_of_a_row(pictures):
    def form(row: str) -> dict[str, str]:
        return {field: type(value).__name__ for field, value in json.loads(row).items()}

    (shown,) = blocks("json")
    (in_readme,) = re.findall(r"`(\{[^`]*\})`", PAGE.parents[1].joinpath("README.md").read_text())
    assert form(in_readme) == form(EXAMPLE) == form(shown.splitlines()[0])
    (pictures / "metadata.jsonl").write_text("not JSON\n")
    assert EXAMPLE in sclgan("data", "check", pictures).out


def test_the_snippet_writes_a_table_that_is_read(pictures):
    (pictures / "metadata.jsonl").unlink()
    (snippet,) = blocks("python")
    Path("write_table.py").write_text(snippet)
    runpy.run_path("write_table.py")
    assert Folder("train", root=pictures).label_names == ("boat", "kite", "lamp")
