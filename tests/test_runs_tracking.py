"""Trackers get the records of a training; one that is missing is named before anything is trained."""

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from command_line import done, refused
from runs import small_fields

PLAIN = "ssagan_emoji"


class Library(ModuleType):
    """A tracker that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__("trackio")
        self.begun, self.logged, self.finished = list[dict[str, Any]](), list[tuple[int, dict[str, float]]](), 0

    def init(self, **about: Any) -> None:
        self.begun.append(about)

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_gets_every_record_of_both_phases(name, tmp_path, monkeypatch):
    library = Library()
    monkeypatch.setitem(sys.modules, name, library)
    run = tmp_path / "run"
    done("train", PLAIN, *small_fields(PLAIN), "--out", run, "--track", name)
    assert [(one["project"], one["name"]) for one in library.begun] == [
        ("sclgan", "run/pretraining"),
        ("sclgan", "run"),
    ]
    assert library.begun[1]["config"] == json.loads((run / "recipe.json").read_text())
    assert library.finished == 2
    lines = [
        json.loads(line)
        for folder in (run / "pretraining", run)
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert [step for step, _ in library.logged] == [line["step"] for line in lines]
    for (_, values), line in zip(library.logged, lines, strict=True):
        assert {"step": line["step"], **values} == pytest.approx(line, rel=1e-5)


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = refused("train", PLAIN, "--out", tmp_path / "run", "--track", "wandb")
    assert "--track wandb needs the package wandb" in said
    assert not (tmp_path / "run").exists()
