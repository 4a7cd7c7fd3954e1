"""Records of evaluations: damaged lines are named and left out, appended ones begin on a line of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from sclgan.runs.evaluations import append_evaluations, read_evaluations


def record(value: float, **others: object) -> dict[str, Any]:
    fixed = {"label": "fd", "better": "lower", "num_samples": 9, "step": 1, "checkpoint": "last", "interval": [0, 1]}
    return fixed | {"value": value} | others


def test_a_torn_last_line_swallows_no_evaluation_and_is_named(tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "evaluations.jsonl"
    append_evaluations(path, [record(1), record(2, label="kid")])
    path.write_bytes(path.read_bytes()[:-20])
    append_evaluations(path, [record(3)])
    assert {label: found["value"] for label, found in read_evaluations(tmp_path).items()} == {"fd": 3}
    assert f"{path}:2: it is not JSON" in caplog.text
    assert "this line is not an evaluation and is left out" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "null",
        "[" * 100_000,
        "\xff",
        '{"label": "fd"}',
        json.dumps(record("text")),  # type: ignore[arg-type]
        json.dumps(record(1, interval=[1, "a"])),
        json.dumps(record(1, floor={})),
        json.dumps(record(True)),
    ],
    ids=range(9),
)
def test_whatever_is_not_a_record_is_left_out(line: str, tmp_path: Path, caplog: Any) -> None:
    text = f"{json.dumps(record(1))}\n{line}\n{json.dumps(record(2, label='kid'))}\n"
    (tmp_path / "evaluations.jsonl").write_bytes(text.encode("latin-1"))
    assert list(read_evaluations(tmp_path)) == ["fd", "kid"]
    assert "evaluations.jsonl:2" in caplog.text


def test_a_full_disk_leaves_the_file_as_it_was_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evaluations.jsonl"
    append_evaluations(path, [record(1)])
    before = path.read_bytes()
    opened = Path.open

    class Full:
        """A file on a disk with room for ten bytes."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file = opened(*arguments, **options)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> int:
            return self.file.write(content[:10])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *arguments, **options: Full(*arguments, **options))
        with pytest.raises(OSError, match=r"values above could not be written to .*evaluations\.jsonl"):
            append_evaluations(path, [record(2)])
    assert path.read_bytes() == before
