"""A finished run becomes a model that ships: the run rounded, a card from its records, and what is refused."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from runs import small
from sclgan import models
from sclgan.publishing.history import command
from sclgan.recipe_fields import override
from sclgan.recipe_json import to_json
from sclgan.recipes import recipe
from sclgan.runs.opened import open_run

APPLE, FISH = "a red apple on a white background", "a blue fish"


def test_a_model_is_the_run_rounded(evaluated, built):
    run, model = open_run(evaluated), open_run(built)
    assert (built / "recipe.json").read_bytes() == (evaluated / "recipe.json").read_bytes()
    assert (built / "vocabulary.json").read_bytes() == (evaluated / "vocabulary.json").read_bytes()
    assert (model.step, to_json(model.recipe)) == (6, to_json(run.recipe))
    for name, tensor in run.gan.generator.state_dict().items():
        rounded = model.gan.generator.state_dict()[name]
        assert rounded.dtype == tensor.dtype
        torch.testing.assert_close(rounded, tensor, rtol=2**-11, atol=2**-24)
    pictures = [opened.sample([APPLE, FISH], num_images=8, seed=1).short() for opened in (run, model)]
    assert (pictures[0] - pictures[1]).abs().max() <= 2
    assert pictures[0].float().std() > 1


def test_a_model_holds_what_drawing_needs_in_half_precision_and_nothing_else(built):
    assert {path.name for path in built.iterdir()} == {
        *("README.md", "recipe.json", "vocabulary.json", "config.json", "model.safetensors"),
    }
    tensors = load_file(built / "model.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"generator", "encoders"}
    assert not [name for name in tensors if "backbone" in name]
    assert {tensor.dtype for tensor in tensors.values() if tensor.dim() > 1} == {torch.float16}
    assert all((path.stat().st_mode & 0o044) == 0o044 for path in built.iterdir())


def test_images_can_be_encoded_with_a_model_where_they_are_asked_for(evaluated, built):
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = [open_run(folder).encoders.encode_image(image).image for folder in (evaluated, built)]
    torch.testing.assert_close(codes[1], codes[0], rtol=5e-3, atol=5e-3)
    with pytest.raises(RuntimeError, match="images=True"):
        open_run(built, images=False).encoders.encode_image(image)


def test_the_card_has_the_numbers_of_the_records_and_of_the_files(evaluated, built):
    card = (built / "README.md").read_text()
    records = [json.loads(line) for line in (evaluated / "evaluations.jsonl").read_text().splitlines()]
    assert [record["label"] for record in records] == [f"background_accuracy@{n}" for n in ("4", "6", "5 (5)")]
    for record in records[:2]:
        (row,) = [line for line in card.splitlines() if line.startswith(f"| `{record['label']}` |")]
        assert f"| {record['value']:.4g} " in row
        assert f"| {record['num_samples']} |" in row
    assert "background_accuracy@5" not in card  # of another step
    assert records[0]["machine"] in card
    for name in ("model.safetensors", "recipe.json", "vocabulary.json"):
        digest = hashlib.sha256((built / name).read_bytes()).hexdigest()
        assert f"| `{name}` | {(built / name).stat().st_size:,} | `{digest}` |" in card
        assert json.loads((built / "config.json").read_text())["sha256"][name] == digest
    last = json.loads((evaluated / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"| training of the GAN | {last['images']:,} pictures seen, " in card
    assert card.startswith('---\nlicense: "apache-2.0"\nlibrary_name: sclgan\npipeline_tag: text-to-image\n')
    assert "\ndatasets:\n- emoji\nmodel-index:\n" in card.split("---\n")[1]
    assert "supervised-contrastive-learning" in card
    assert card.count("CC-BY-4.0") >= 4  # the makers' table


def test_the_command_of_the_card_makes_the_recipe():
    made = small(
        "ssagan_emoji_scl", "training.betas=0.1,0.8", "gan.mask_channels=7", "training.generator_objective.adv=2"
    )
    words = (command(made) or "").split()
    assert words[:3] == ["sclgan", "train", "ssagan_emoji_scl"]
    assert words[-2:] == ["--out", "DIR"]
    assert to_json(override(recipe("ssagan_emoji_scl"), words[3:-2])) == to_json(made)
    assert command(recipe("ssagan_emoji")) == "sclgan train ssagan_emoji --out DIR"


def test_building_again_replaces_and_a_failure_leaves_the_model_that_was_there(evaluated, built, script, monkeypatch):
    before = {path.name: path.read_bytes() for path in built.iterdir()}
    assert script.build(evaluated, "emoji", built.parent) == built
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before
    monkeypatch.setattr(script, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"bytes, more than 1,000: train a narrower one"):
        script.build(evaluated, "emoji", built.parent)
    monkeypatch.setattr(script, "LARGEST_ROUNDING", -1)
    with pytest.raises(ValueError, match="half precision changes pictures"):
        script.build(evaluated, "emoji", built.parent)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == before
    assert [path.name for path in built.parent.iterdir()] == ["emoji"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("unfinished", "is not finished: it has 6 of 60 steps"),
        ("not evaluated", "has no evaluation of step 6 (of other steps: none): `sclgan evaluate"),
        ("evaluated elsewhere", "has no evaluation of step 6 (of other steps: 5)"),
        ("infinite", "half precision does not hold generator."),
        ("other data", "was trained on other pictures than the embedded drawings"),
        ("no run", "is not a run folder: it has no recipe.json"),
        ("a model", "is a model already"),
        ("a name", "a model is called by lower-case letters"),
    ],
)
def test_a_run_that_makes_no_model_is_refused(wrong, expected, evaluated, built, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(built if wrong == "a model" else evaluated, run)
    saved, records = run / "recipe.json", run / "evaluations.jsonl"
    if wrong == "unfinished":
        saved.write_text(to_json(small("ssagan_emoji_scl", "pretraining.steps=6", "training.steps=60")))
    elif wrong == "not evaluated":
        records.unlink()
    elif wrong == "evaluated elsewhere":
        records.write_text(records.read_text().splitlines()[-1] + "\n")
    elif wrong == "infinite":
        path = run / "checkpoints" / "step_00000006" / "averaged_generator.safetensors"
        save_file({name: x * 1e6 if x.dim() == 4 else x for name, x in load_file(path).items()}, path)
    elif wrong == "other data":
        saved.write_text(
            saved.read_text().replace("sclgan.data.sets.emoji.Emoji", "sclgan.data.sets.own.source.Folder")
        )
    elif wrong == "no run":
        saved.unlink()
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        script.build(run, "Emoji!" if wrong == "a name" else "emoji", tmp_path / "out")
    assert expected in str(raised.value)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_models_of_the_package_are_whole_and_small(script):
    for name in models.names():
        folder = models.home() / name
        models.about(folder)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= script.LARGEST
