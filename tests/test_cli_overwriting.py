"""No command replaces a file that it cannot prove to be its own; what it wrote itself it writes again."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import photos_on_disk
from command_line import APPLE, done, refused

Command = Callable[[Path, Path], Sequence[object]]
"""The arguments of a command for a run and the folder that it writes into."""
FEW = ("--num-images", 4)


def evaluation(run: Path, out: Path) -> Sequence[object]:
    """An evaluation that writes all that it can write."""
    files = ("--out", out / "values.jsonl", "--save-statistics", out / "a.npz", "--curve", out / "a.png")
    return ("evaluate", run, "--protocol", "fd_lite0", "--num-images", 20, *files)


COMMANDS: dict[str, tuple[str, Command]] = {
    "sample": ("a.png", lambda run, out: ("sample", run, APPLE, *FEW, "--out", out / "a.png")),
    "sample as JPEG": ("a.jpg", lambda run, out: ("sample", run, APPLE, *FEW, "--out", out / "a.jpg")),
    "masks": ("a_attention.png", lambda run, out: ("sample", run, APPLE, *FEW, "--attention", "--out", out / "a.png")),
    "data": ("sheet.png", lambda _, out: ("data", "emoji", "--rows", 1, "--columns", 1, "--out", out / "sheet.png")),
    "compare": ("index.html", lambda run, out: ("compare", run, "--out", out)),
    "figure.png": ("a.png", lambda run, out: ("figure", "loss", run, "--out", out / "a.png")),
    "figure.pdf": ("a.pdf", lambda run, out: ("figure", "loss", run, "--out", out / "a.pdf")),
    "figure.svg": ("a.svg", lambda run, out: ("figure", "loss", run, "--out", out / "a.svg")),
    "values": ("values.jsonl", evaluation),
    "statistics": ("a.npz", evaluation),
    "curve": ("a.png", evaluation),
    "numbers of the curve": ("a.json", evaluation),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_of_another_program_stays(name, trained, tmp_path):
    file, command = COMMANDS[name]
    path = tmp_path / file
    path.write_bytes(b"years of work with sclgan")
    assert f"{path} was not written by this command and would be overwritten" in refused(*command(trained, tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == [file]
    assert path.read_bytes() == b"years of work with sclgan"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("sample", "curve", "statistics", "values")])
def test_what_a_command_wrote_it_writes_again(name, trained, tmp_path):
    command = COMMANDS[name][1]
    for _ in range(2):
        done(*command(trained, tmp_path))
    assert (tmp_path / COMMANDS[name][0]).stat().st_size > 0


@pytest.mark.parametrize("file", ["main.md", "main.csv", "main.html"])
def test_a_table_is_refused_before_its_runs(file, tmp_path):
    (tmp_path / file).write_text("# My main results\nmean,high\n")
    line = refused("table", "main", "--data", "emoji", "--gans", "ssagan", "--seeds", 1, "--out", tmp_path)
    assert f"{tmp_path / file} was not written by this command" in line
    assert [one.name for one in tmp_path.iterdir()] == [file]


def test_a_picture_of_a_camera_is_not_a_sheet(tmp_path):
    photos_on_disk.photograph(tmp_path / "holiday.jpg", 40, 30)
    before = (tmp_path / "holiday.jpg").read_bytes()
    refused("data", "emoji", "--rows", 1, "--columns", 1, "--out", tmp_path / "holiday.jpg")
    assert (tmp_path / "holiday.jpg").read_bytes() == before


def test_a_demo_does_not_replace_a_page(tmp_path):
    from sclgan.experiments import demo

    (tmp_path / "index.html").write_text("<h1>my page</h1>")
    with pytest.raises(ValueError, match=r"index\.html was not written by this command"):
        demo.run(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"]
