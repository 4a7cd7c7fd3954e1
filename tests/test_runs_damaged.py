"""Damaged or foreign files of a run: each reader ends in one error that names the file, and nothing is written."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from runs import SCL, SIX_STEPS, small
from sclgan.data.captions import Vocabulary
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.runs import checkpoint
from sclgan.runs.data_record import check_data
from sclgan.runs.divergence import changeable
from sclgan.runs.folder import claim, saved_recipe
from sclgan.runs.opened import open_run
from sclgan.runs.records import Metrics, read_metrics

FOREIGN = {
    "empty": b"",
    "cut": b'{"step": 1',
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"3",
    "text": b'"step"',
    "deep": b'{"step": ' + b"[" * 100_000,
    "a long number": b'{"step": ' + b"9" * 5_000 + b"}",
    "an empty object": b"{}",
}
FILES: dict[str, tuple[dict[str, Any], tuple[Callable[[Path], object], ...]]] = {
    "checkpoints/best/best.json": (
        {"step": 6, "protocol": "kid_lite0@12", "value": 0.5, "better": "lower"},
        (lambda run: checkpoint.best_score(run / "checkpoints"), lambda run: open_run(run, images=False)),
    ),
    "metrics.jsonl": ({"step": 1}, (read_metrics, lambda run: Metrics(run, 6))),
    "diverged.json": ({"step": 1}, (lambda run: changeable(run, "training"),)),
    "data.json": (
        {"source": "emoji", "label_names": ["a"], "splits": {"train": {"rows": {"number": 1}}}},
        (lambda run: check_data(run, cast(Any, {"train": Nothing()})),),
    ),
    "config.json": ({"library_name": "sclgan", "step": 6, "sha256": {"model.safetensors": "0" * 64}}, (open_run,)),
    "recipe.json": ({}, (saved_recipe, lambda run: claim(run, small(SCL, *SIX_STEPS)), open_run)),
}


@pytest.mark.parametrize("name", ["recipe.json", "diverged.json", "vocabulary.json", "tokenizer.json"])
def test_a_file_that_is_larger_than_any_of_its_kind_is_not_read(name, tmp_path):
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(2**40)  # with holes: next to nothing on the disk
    read: dict[str, Callable[[Path], object]] = {
        "vocabulary.json": lambda run: Vocabulary.load(path),
        "tokenizer.json": lambda run: CLIPTokenizer.load(path),
    } | {file: readers[0] for file, (_, readers) in FILES.items()}
    with pytest.raises(ValueError, match=rf"{name}.*it has 1,099,511,627,776 bytes; at most 67,108,864 are read"):
        read[name](tmp_path)


class Nothing:
    """A source without rows."""

    name, split, composes, plain_backgrounds, credits = "emoji", "train", True, True, ()
    label_names, labels, keys = (), (), ()

    def __len__(self) -> int:
        return 0

    def captions(self) -> Iterator[str]:
        return iter(())

    def picture(self, *_: object, **__: object) -> None:
        raise IndexError

    sample = picture


def damages(content: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Contents that are not those of the file: foreign ones, a field that is missing, and one of another type."""
    yield from FOREIGN.items()
    for name, value in content.items():
        yield f"without {name}", json.dumps({other: it for other, it in content.items() if other != name}).encode()
        wrongs: tuple[Any, ...] = ([], {}, None, True, "7")
        for wrong in wrongs:
            if not isinstance(wrong, type(value)):
                yield f"{name} is {wrong!r}", json.dumps(content | {name: wrong}).encode()


CASES = [
    pytest.param(file, content, id=f"{file}: {name}")
    for file, (whole, _) in FILES.items()
    for name, content in damages(whole)
]


@pytest.fixture(scope="module")
def light(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with the newest checkpoint alone."""
    folder = tmp_path_factory.mktemp("light") / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("pretraining", "events*", "step_00000005", "grids"))
    return folder


@pytest.mark.parametrize(("file", "content"), CASES)
def test_json_of_a_run_that_is_something_else_is_one_error_that_names_it(light, file, content):
    path = light / file
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content + b"\n" if path.suffix == ".jsonl" else content)
    try:
        for reads in FILES[file][1]:
            with pytest.raises((ValueError, FileNotFoundError)) as raised:
                reads(light)
            assert path.name in str(raised.value)
            assert len(str(raised.value).splitlines()) == 1
    finally:
        path.unlink() if before is None else path.write_bytes(before)
        shutil.rmtree(light / "checkpoints" / "best", ignore_errors=True)


def test_a_record_that_a_crash_cut_short_is_left_out_and_a_whole_one_without_its_end_is_not(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 2.0}\n{"step": 2, "a"')
    assert read_metrics(tmp_path) == [{"step": 1, "a": 2.0}]
    assert "the last line is cut short" in caplog.text
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 2.0}\n{"step": 2, "a": NaN}')
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2]
    for line, expected in (('{"step": 1, "a"', "it is not JSON"), ('{"step": 1, "a": "0.5"}', "'a' is not a number")):
        (tmp_path / "metrics.jsonl").write_text(f'{line}\n{{"step": 2, "a": 1}}\n')
        with pytest.raises(ValueError, match=rf"metrics\.jsonl:1:? {expected}"):
            read_metrics(tmp_path)


# state.pt


def network() -> tuple[torch.nn.Module, torch.optim.Adam]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1, fused=True)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return layer, optimizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layer, optimizer = network()
    folder = tmp_path_factory.mktemp("saved")
    checkpoint.save(folder, 7, {"layer": layer}, {"adam": optimizer}, 1.5)
    return folder / "step_00000007"


def moment(state: Any) -> Any:
    return state["optimizers"]["adam"]["state"][0]


def put(*keys: Any, value: Any) -> Callable[[Any], object]:
    """A damage: the value at this place of the state is another."""

    def damage(state: Any) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return damage


IN_STATE = ("optimizers", "adam", "state")
DAMAGES: dict[str, Callable[[Any], object]] = {
    "a moment of another shape": put(*IN_STATE, 0, "exp_avg", value=torch.zeros(2, 2)),
    "a moment of one number": put(*IN_STATE, 0, "exp_avg_sq", value=torch.zeros(())),
    "a moment of whole numbers": put(*IN_STATE, 0, "exp_avg", value=torch.zeros(2, 3, dtype=torch.int64)),
    "a moment in double precision": put(*IN_STATE, 0, "exp_avg", value=torch.zeros(2, 3, dtype=torch.float64)),
    "a sparse moment": put(*IN_STATE, 0, "exp_avg", value=torch.zeros(2, 3).to_sparse()),
    "a moment that is text": put(*IN_STATE, 0, "exp_avg", value="zeros"),
    "a step of another shape": put(*IN_STATE, 0, "step", value=torch.zeros(3)),
    "a step that is a number": put(*IN_STATE, 0, "step", value=1),
    "no moments": put(*IN_STATE, 0, value={}),
    "one moment more": put(*IN_STATE, 0, "max_exp_avg_sq", value=torch.zeros(2, 3)),
    "a parameter that is not there": put(*IN_STATE, 2, value={}),
    "a parameter by name": put(*IN_STATE, "weight", value={}),
    "a state that is a list": put(*IN_STATE, value=[]),
    "groups of other parameters": put("optimizers", "adam", "param_groups", value=[{"params": [0]}]),
    "groups that are text": put("optimizers", "adam", "param_groups", value="params"),
    "no such optimizer": put("optimizers", value={"sgd": {}}),
    "optimizers that are a list": put("optimizers", value=[]),
    "a step beside its folder's": put("step", value=8),
    "a step that is text": put("step", value="7"),
    "a step that is true": put("step", value=True),
    "no seconds": put("progress", value={}),
    "seconds that are text": put("progress", "seconds", value="1"),
    "progress that is a list": put("progress", value=[]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_state_that_does_not_fit_is_refused_before_an_optimizer_writes_by_it(saved, tmp_path, name):
    folder = tmp_path / saved.name
    shutil.copytree(saved, folder)
    state = torch.load(saved / "state.pt", weights_only=True)
    DAMAGES[name](state)
    torch.save(state, folder / "state.pt")
    layer, optimizer = network()
    before = copy.deepcopy((layer.state_dict(), optimizer.state_dict()))
    with pytest.raises(ValueError, match=r"state\.pt cannot be read .*: remove its folder to continue from the prev"):
        checkpoint.restore(folder, {"layer": layer}, {"adam": optimizer})
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[0][name])
    assert torch.equal(
        moment({"optimizers": {"adam": optimizer.state_dict()}})["exp_avg"], before[1]["state"][0]["exp_avg"]
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04]", b"not weights", "cut", "list", "gone"])
def test_a_state_that_is_another_file_is_one_error(saved, tmp_path, content):
    folder = tmp_path / saved.name
    shutil.copytree(saved, folder)
    path = folder / "state.pt"
    if content == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "gone":
        path.unlink()
    else:
        path.write_bytes(content)
    layer, optimizer = network()
    with pytest.raises((ValueError, FileNotFoundError), match=r"state\.pt") as raised:
        checkpoint.restore(folder, {"layer": layer}, {"adam": optimizer})
    assert len(str(raised.value).splitlines()) == 1


def test_a_whole_state_is_restored_and_rates_are_those_of_the_optimizer(saved):
    layer, optimizer = network()
    optimizer.param_groups[0]["lr"] = 0.01
    assert checkpoint.restore(saved, {"layer": layer}, {"adam": optimizer}) == (7, 1.5)
    assert optimizer.param_groups[0]["lr"] == 0.01
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert isinstance(layer.weight, torch.Tensor)
    assert optimizer.state[layer.weight]["step"].item() == 2
