"""A run as a folder for others: read back bit for bit, with a card that hubs can read and that invents nothing."""

import hashlib
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError
from PIL import Image
from safetensors.torch import load_file

import sclgan
from command_line import APPLE, done, refused
from photos_on_disk import own_pictures
from runs import untrained
from sclgan import models
from sclgan.models import hub
from sclgan.publishing.publish import publish
from sclgan.recipe_fields import override
from sclgan.recipe_json import to_json
from sclgan.runs.folder import saved_recipe
from sclgan.runs.machines import machines_of
from sclgan.runs.opened import open_run

PAGE = Path(__file__).parents[1] / "docs" / "export-and-publish.md"
RESPONSE: Any = SimpleNamespace(headers={}, request=None)
FILES = {"README.md", "config.json", "model.safetensors", "recipe.json", "samples.png", "vocabulary.json"}


@pytest.fixture(scope="module")
def published(evaluated, tmp_path_factory) -> Path:
    """The evaluated run of the method as a published folder."""
    out = tmp_path_factory.mktemp("published") / "apples"
    printed = done("publish", evaluated, "--out", out).out.split()
    assert printed == [str(out / name) for name in sorted(FILES)]
    return out


def test_a_published_run_is_read_back_bit_for_bit(evaluated, published, tmp_path):
    assert {path.name for path in published.iterdir()} == FILES
    run, model = open_run(evaluated, images=False), open_run(published, images=False)
    for one, other in ((run.gan.generator, model.gan.generator), (run.encoders, model.encoders)):
        state = other.state_dict()
        for name, tensor in one.state_dict().items():
            assert name.startswith("projection.") or torch.equal(tensor, state[name]), name
    assert load_file(published / "model.safetensors")["generator.fc.weight"].dtype == torch.float32
    pictures = [sclgan.from_pretrained(folder)(APPLE, num_images=2, seed=3) for folder in (evaluated, published)]
    assert [one.tobytes() for one in pictures[0]] == [one.tobytes() for one in pictures[1]]
    done("sample", published, APPLE, "--out", tmp_path / "a.png")
    done("sample", evaluated, APPLE, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(published / "samples.png") as samples:
        assert samples.size == (6 * 66 + 2, 8 * 66 + 2)


@pytest.mark.skipif(not PAGE.is_file(), reason="the documents are not installed")
def test_the_three_lines_of_the_page_draw(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(published, "runs/scl")
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)[2]
    Path("example.py").write_text(code)
    (picture,) = runpy.run_path("example.py")["pictures"]
    assert picture.tobytes() == sclgan.from_pretrained(published)("a red apple", seed=3)[0].tobytes()


def test_the_card_is_read_by_the_hubs_library_and_has_the_numbers_of_the_records(evaluated, published):
    card = ModelCard.load(published / "README.md")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("sclgan", "text-to-image")
    assert (data["license"], data["datasets"]) == ("apache-2.0", ["emoji"])
    assert "supervised-contrastive-learning" in data["tags"]
    records = [json.loads(line) for line in (evaluated / "evaluations.jsonl").read_text().splitlines()][:2]
    digest = hashlib.sha256((published / "model.safetensors").read_bytes()).hexdigest()
    assert len(card.data.eval_results) == 2
    for record, result in zip(records, card.data.eval_results, strict=True):
        assert (result.task_type, result.dataset_name) == ("text-to-image", "emoji")
        assert (result.metric_type, result.metric_name) == (record["protocol"], record["label"])
        assert result.metric_value == record["value"]
        assert result.metric_args["num_samples"] == record["num_samples"]
        assert result.metric_args["model_sha256"] == digest
        assert result.metric_args["weights_sha256"] == record["weights_sha256"]
    (started,) = machines_of(evaluated)
    assert f"| trained on | {started['machine']} (sclgan {sclgan.__version__}, python " in card.text
    assert "sclgan sample apples" in card.text
    assert "bit for bit those of the run" in card.text
    assert card.text.count("CC-BY-4.0") >= 4  # the makers' table
    config = json.loads((published / "config.json").read_text())
    assert (config["library_name"], config["model_type"], config["step"]) == ("sclgan", "ssagan", 6)
    assert config["sha256"]["model.safetensors"] == digest


def test_a_run_of_own_pictures_without_evaluation_says_what_is_not_known(trained, tmp_path):
    run, pictures = tmp_path / "run", own_pictures(tmp_path / "vault" / "pictures")
    shutil.copytree(trained, run)
    content = json.loads((run / "recipe.json").read_text())
    content["source"] = {"call": "sclgan.data.sets.own.source.Folder", "root": str(pictures)}
    (run / "recipe.json").write_text(json.dumps(content))
    (run / "machines.jsonl").unlink()
    publish(run, tmp_path / "out", captions=["a red apple", "`<b>* apple"])
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.to_dict()["license"] == "unknown"
    assert "datasets" not in card.data.to_dict()
    assert card.data.eval_results is None
    for said in (
        "this checkpoint was not evaluated",
        "Nobody stated a licence of this model",
        "Nobody stated whose the training data are",
        "which sclgan knows nothing else about",
        "| trained on | not recorded with this run |",
        "2. \\`\\<b\\>\\* apple",
    ):
        assert said in card.text.replace("\n", " ")
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert b"vault" not in written  # no place on the maker's disk
    assert saved_recipe(tmp_path / "out").source.keywords == {"root": "pictures"}  # type: ignore[attr-defined]
    (tmp_path / "credit.md").write_text("Drawn by the *children* of a school.")
    options = ("--license", "cc-by-4.0", "--attribution", tmp_path / "credit.md", "--caption", "a red apple")
    done("publish", run, "--out", tmp_path / "out", *options)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.to_dict()["license"] == "cc-by-4.0"
    assert "Drawn by the *children* of a school." in card.text
    assert "Nobody stated" not in card.text
    shutil.rmtree(pictures)
    assert "are not here to take captions from" in refused("publish", run, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_makers_of_photographs_are_named_and_no_licence_is_invented(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    content = json.loads((run / "recipe.json").read_text())
    content["source"] = {"call": "sclgan.data.sets.cub.Cub"}
    (run / "recipe.json").write_text(json.dumps(content))
    publish(run, tmp_path / "out", captions=["a red apple"])
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.to_dict()["license"], card.data.to_dict()["datasets"]) == ("unknown", ["cub"])
    assert "CUB-200-2011: for research and education only" in card.text


def test_galip_is_published_with_the_clip_that_it_draws_through(tmp_path):
    """Checkpoints leave out what CLIP's public file has; others have no such file."""
    run, out = tmp_path / "run", tmp_path / "out"
    encoders, _ = untrained(run, "galip_emoji")
    weights = tmp_path / "clip.pt"
    torch.save(encoders.get_submodule("clip").state_dict(), weights)
    recipe = override(saved_recipe(run), [f"encoders.weights={weights}", "encoders.trained=nothing"])
    (run / "recipe.json").write_text(to_json(recipe))
    publish(run, out, captions=["a red apple"])
    weights.unlink()
    expected = [one.tobytes() for one in sclgan.from_pretrained(out)(APPLE)]
    torch.save(encoders.get_submodule("clip").state_dict(), weights)
    assert [one.tobytes() for one in sclgan.from_pretrained(run)(APPLE)] == expected
    assert str(tmp_path) not in (out / "recipe.json").read_text()


def test_nothing_but_a_model_of_ours_is_replaced(evaluated, published, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "is not a model written by sclgan (it holds thesis.txt)" in refused("publish", evaluated, "--out", out)
    assert (out / "thesis.txt").read_text() == "mine"
    (out / "thesis.txt").unlink()
    (out / "config.json").write_text('{"library_name": "transformers"}')
    assert "its library_name is 'transformers'" in refused("publish", evaluated, "--out", out)
    assert "config.json cannot be read" in refused("sample", out, APPLE, "--out", tmp_path / "a.png")
    (out / "config.json").unlink()
    (out / "README.md").write_text("mine")
    assert "it has no config.json" in refused("publish", evaluated, "--out", out)
    assert "is a file" in refused("publish", evaluated, "--out", out / "README.md")
    before = {path.name: path.read_bytes() for path in published.iterdir()}
    publish(evaluated, published)
    assert {path.name: path.read_bytes() for path in published.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--push", "apples"), "takes the name of a repository on the Hub, USER/NAME, not 'apples'"),
        (("--license", "Public Domain!"), "is not an identifier of model hubs"),
        (("--checkpoint", "9"), "has no checkpoint '9'"),
        (("--caption", "qwertz"), "holds no known word"),
        (("--attribution", "nowhere.md"), "nowhere.md"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_written(options, said, evaluated, tmp_path):
    assert said in refused("publish", evaluated, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_models_and_folders_that_are_no_runs_are_not_published(published, tmp_path):
    assert "is a model already" in refused("publish", published, "--out", tmp_path / "out")
    assert "is not a run folder" in refused("publish", tmp_path, "--out", tmp_path / "out")


class Hub:
    """The Hub's client without a network: what it was asked to do."""

    def __init__(self, files: list[str] | None = None, error: Exception | None = None) -> None:
        self.files, self.error, self.calls = files, error, list[tuple[str, dict[str, Any]]]()

    def list_repo_files(self, name: str) -> list[str]:
        if self.files is None:
            raise RepositoryNotFoundError(f"404 {name}\nmore", response=RESPONSE)
        return self.files

    def create_repo(self, name: str, **options: Any) -> None:
        if self.error:
            raise self.error
        self.calls.append((name, options))

    def upload_folder(self, **options: Any) -> Any:
        options["files"] = sorted(path.name for path in Path(options.pop("folder_path")).iterdir())
        self.calls.append(("upload", options))
        return SimpleNamespace(commit_url="https://hub/USER/apples/commit/1")


def test_push_uploads_the_folder_and_the_card_says_how_to_open_it(evaluated, tmp_path, monkeypatch):
    api = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_: api)
    ended = done("publish", evaluated, "--push", "USER/apples", "--private", "--out", tmp_path / "out")
    assert ended.out.endswith("\nhttps://hub/USER/apples/commit/1\n")
    assert api.calls[0] == ("USER/apples", {"private": True, "exist_ok": True})
    assert (api.calls[1][1]["repo_id"], set(api.calls[1][1]["files"])) == ("USER/apples", FILES)
    assert 'sclgan.from_pretrained("USER/apples")' in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("api", "said"),
    [
        (Hub(["pytorch_model.bin", "config.json"]), "holds other files than a model of sclgan: push to another name"),
        (Hub(error=LocalTokenNotFoundError("no token\nmore")), "no token): log in with `hf auth login`"),
        (Hub([".gitattributes", "README.md"], ConnectionError("no route")), "no route): log in"),
    ],
)
def test_a_push_that_fails_is_one_sentence_and_leaves_the_folder(api, said, evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_: api)
    ended = refused_after_output("publish", evaluated, "--push", "USER/apples", "--out", tmp_path / "out")
    assert said in ended
    assert not api.calls
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def refused_after_output(*arguments: object) -> str:
    """The one line on stderr of a command that failed after it had written files."""
    from command_line import sclgan as run

    ended = run(*arguments)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    return ended.err


def test_a_name_of_the_hub_is_fetched_and_opened(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options["revision"]))
        return str(shutil.copytree(published, tmp_path / "cache" / str(len(asked)), ignore=not_among(options)))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    expected = [one.tobytes() for one in sclgan.from_pretrained(published)(APPLE, seed=3)]
    assert [one.tobytes() for one in sclgan.from_pretrained("USER/apples")(APPLE, seed=3)] == expected
    done("sample", "USER/apples@v1.0", APPLE, "--out", "a.png")
    assert asked == [("USER/apples", None), ("USER/apples", "v1.0")]
    done("evaluate", "USER/apples", "--protocol", "background_accuracy", "--num-images", 2)
    assert not list(Path("cache").rglob("evaluations.jsonl"))
    Path("USER").mkdir()  # a path here is never asked for there
    assert "there is no such folder" in refused("sample", "USER/apples", APPLE, "--out", "a.png")
    assert len(asked) == 3


def not_among(options: dict[str, Any]) -> Any:
    """Leaves out what the Hub's client would not fetch."""
    return lambda _, names: [name for name in names if name not in options["allow_patterns"]]


def test_what_the_hub_does_not_give_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def failing(error: Exception) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)

    failing(RepositoryNotFoundError("404\nmore", response=RESPONSE))
    said = refused("sample", "USER/apples", APPLE, "--out", "a.png")
    assert "there is no such folder" in said
    assert "the Hugging Face Hub has no model USER/apples that you may read" in said
    failing(ConnectionError("no route\nmore"))
    assert "did not give USER/apples (ConnectionError: no route)" in refused(
        "sample", "USER/apples", APPLE, "--out", "a.png"
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'sclgan[hub]'" in refused("sample", "USER/apples", APPLE, "--out", "a.png")


def test_a_configuration_cannot_name_files_outside_of_its_folder(published, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(published, folder)
    content = json.loads((folder / "config.json").read_text())
    content["sha256"]["../../secret"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="names files outside of the folder"):
        models.about(folder)


def test_names_of_the_hub_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert hub.may_be_name("USER/apples")
    assert hub.may_be_name("USER/apples@main")
    for path in ("runs/scl", "apples", "/USER/apples", "./USER", "a/b/c", "../x", "USER/"):
        assert not hub.may_be_name(path), path
