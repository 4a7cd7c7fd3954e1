"""Models that ship: built from a finished run, opened by name, drawn with from Python; what is wrong is said."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sclgan
from runs import small
from sclgan import models
from sclgan.evaluation import evaluate_run
from sclgan.pictures import grid
from sclgan.recipe import to_json
from sclgan.run import open_run
from test_cli import APPLE, done, refused

SCRIPTS = Path(__file__).parents[1] / "scripts"
FISH = "a blue fish"
DAMAGE = ("gone", "cut", "one bit")


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory) -> Path:
    """The trained run with two evaluations of its last step, and one of another."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, run)
    for num_images in (4, 6):
        evaluate_run(run, ["ground"], num_images=num_images)
    evaluate_run(run, ["ground"], num_images=5, checkpoint="5")
    return run


@pytest.fixture(scope="module")
def script():
    """`scripts/build_model.py` as a module."""
    sys.path.insert(0, str(SCRIPTS))
    import build_model

    sys.path.remove(str(SCRIPTS))
    return build_model


@pytest.fixture(scope="module")
def built(evaluated, script, tmp_path_factory) -> Path:
    """The model "emoji" of that run, in a folder of models."""
    made: Path = script.build(evaluated, "emoji", tmp_path_factory.mktemp("models"))
    return made


@pytest.fixture
def shipped(built, tmp_path, monkeypatch) -> Path:
    """A copy of it, where the models of the package are looked for."""
    folder = tmp_path / "package" / "models" / "emoji"
    shutil.copytree(built, folder)
    monkeypatch.setattr(models, "home", lambda: folder.parent)
    return folder


# The folder


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
        *("README.md", "recipe.json", "vocabulary.json", "model.json", "model.safetensors"),
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
    assert [record["label"] for record in records] == ["ground@4", "ground@6", "ground@5 (5)"]
    for record in records[:2]:
        (row,) = [line for line in card.splitlines() if line.startswith(f"| `{record['label']}` |")]
        assert f"| {record['value']:.4g} " in row
        assert f"| {record['num_samples']} |" in row
    assert "ground@5" not in card  # of another step
    assert records[0]["machine"] in card
    for name in ("model.safetensors", "recipe.json", "vocabulary.json"):
        digest = hashlib.sha256((built / name).read_bytes()).hexdigest()
        assert f"| `{name}` | {(built / name).stat().st_size:,} | `{digest}` |" in card
        assert json.loads((built / "model.json").read_text())["sha256"][name] == digest
    last = json.loads((evaluated / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"| training of the GAN | {last['images']:,} pictures seen, " in card
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: sclgan\npipeline_tag: text-to-image\n")
    assert card.split("---\n")[1].endswith("datasets:\n- emoji\n")
    assert "supervised-contrastive-learning" in card
    assert card.count("CC-BY-4.0") >= 4  # the makers' table


def test_the_command_of_the_card_makes_the_recipe(script):
    from sclgan.recipe import override
    from sclgan.recipes import recipe

    made = small(
        "ssagan_emoji_scl", "training.betas=0.1,0.8", "gan.mask_channels=7", "training.generator_weights.adv=2"
    )
    words = script.command(made).split()
    assert words[:3] == ["sclgan", "train", "ssagan_emoji_scl"]
    assert words[-2:] == ["--out", "DIR"]
    assert to_json(override(recipe("ssagan_emoji_scl"), words[3:-2])) == to_json(made)
    assert script.command(recipe("ssagan_emoji")) == "sclgan train ssagan_emoji --out DIR"


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
        ("records cut", "evaluations.jsonl holds something other than evaluations"),
        ("infinite", "half precision does not hold generator."),
        ("other data", "was trained on other pictures than the embedded drawings"),
        ("no run", "is no run folder: it has no recipe.json"),
        ("a model", "is a model already"),
        ("a name", "a model is called by lower-case letters"),
    ],
)
def test_a_run_that_makes_no_model_is_refused(wrong, expected, evaluated, built, script, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(built if wrong == "a model" else evaluated, run)
    recipe, records = run / "recipe.json", run / "evaluations.jsonl"
    if wrong == "unfinished":
        recipe.write_text(to_json(small("ssagan_emoji_scl", "pretraining.steps=6", "training.steps=60")))
    elif wrong == "not evaluated":
        records.unlink()
    elif wrong == "evaluated elsewhere":
        records.write_text(records.read_text().splitlines()[-1] + "\n")
    elif wrong == "records cut":
        records.write_text(records.read_text()[:-30])
    elif wrong == "infinite":
        from safetensors.torch import save_file

        path = run / "checkpoints" / "step_00000006" / "averaged_generator.safetensors"
        save_file({name: x * 1e6 if x.dim() == 4 else x for name, x in load_file(path).items()}, path)
    elif wrong == "other data":
        recipe.write_text(recipe.read_text().replace("sclgan.data.emoji.Emoji", "sclgan.data.folder.Folder"))
    elif wrong == "no run":
        recipe.unlink()
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        script.build(run, "Emoji!" if wrong == "a name" else "emoji", tmp_path / "out")
    assert expected in str(raised.value)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_models_of_the_package_are_whole_and_small(script):
    for name in models.names():
        folder = models.home() / name
        models.about(folder)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= script.LARGEST


# By name


@pytest.mark.usefixtures("shipped")
def test_sample_draws_with_a_model_by_its_name(evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert done("sample", "emoji", APPLE, "--out", "apple.png", "--num-images", 2).out == "apple.png\n"
    done("sample", evaluated, APPLE, "--out", "run.png", "--num-images", 2)
    with Image.open("apple.png") as one, Image.open("run.png") as other:
        assert one.size == other.size == (2 * 66 + 2, 68)
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 2
    assert "has no checkpoint 'best': it has 6 alone" in refused(
        "sample", "emoji", APPLE, "--out", "b.png", "--checkpoint", "best"
    )


def test_a_folder_of_that_name_wins_and_this_is_said(shipped, evaluated, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert models.find("emoji") == shipped
    assert models.find(Path("emoji")) == shipped
    assert caplog.messages == []
    shutil.copytree(evaluated, "emoji")
    with caplog.at_level(logging.INFO):
        assert models.find("emoji") == Path("emoji")
    assert caplog.messages == ["emoji is a folder here, and is used instead of the model that comes with sclgan"]


def test_an_unknown_name_is_told_the_nearest_and_all(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped, shipped.parent / "scenes")
    said = refused("sample", "emojy", APPLE, "--out", "a.png")
    assert "emojy is no run folder: there is no such folder, and no model of sclgan has that name" in said
    assert "did you mean 'emoji'? There is emoji, scenes" in said
    assert "did you mean 'emoji'?" in refused("evaluate", "emojy")
    Path("picture.png").touch()
    assert "picture.png is a file, not a run folder" in refused("sample", "picture.png", APPLE, "--out", "a.png")
    with pytest.raises(FileNotFoundError, match="did you mean 'scenes'"):
        sclgan.from_pretrained("scene")


def test_without_any_model_the_name_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "home", lambda: tmp_path)
    said = refused("sample", "emoji", APPLE, "--out", "a.png")
    assert "emoji is no run folder: there is no such folder, and this version of sclgan comes with no model" in said


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, how) for file in ("model.safetensors", "recipe.json", "vocabulary.json") for how in DAMAGE),
        *(("model.json", how) for how in DAMAGE if how != "gone"),  # without it a folder is no model
    ],
)
def test_a_damaged_model_says_what_is_damaged_and_to_reinstall(file, damage, shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = shipped / file
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[content.index(b'"step') + 1 if file == "model.json" else len(content) // 2] ^= 1
        path.write_bytes(content)
    said = refused("sample", "emoji", APPLE, "--out", "a.png")
    assert f"the model 'emoji' of sclgan is damaged: {file}" in said
    assert said.endswith("reinstall sclgan\n")
    assert not Path("a.png").exists()


def test_a_model_elsewhere_is_built_again(shipped, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(shipped, folder)
    (folder / "model.safetensors").unlink()
    said = refused("sample", folder, APPLE, "--out", tmp_path / "a.png")
    assert f"the model in {folder} is damaged: model.safetensors is missing: build it again" in said


def test_evaluate_grades_a_model_and_leaves_the_package_as_it_is(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in shipped.iterdir())
    options = ("--num-images", 4, "--protocol", "ground", "--protocol", "r_precision_damsm")
    lines = done("evaluate", "emoji", *options).out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["ground@4", "r_precision_damsm@4"]
    assert sorted(path.name for path in shipped.iterdir()) == before
    done("evaluate", "emoji", *options, "--out", "records.jsonl")
    records = [json.loads(line) for line in Path("records.jsonl").read_text().splitlines()]
    assert [(record["recipe"], record["step"]) for record in records] == [("ssagan_emoji_scl", 6)] * 2
    assert records[1]["weights_sha256"] == models.sha256_of(shipped / "model.safetensors")


# From Python


def test_from_pretrained_returns_pictures_of_one_caption_or_several(trained, shipped):
    generator = sclgan.from_pretrained(trained)
    assert generator.image_size == 64
    pictures = generator(APPLE, num_images=2, seed=3)
    assert [(type(picture), picture.mode, picture.size) for picture in pictures] == [(Image.Image, "RGB", (64, 64))] * 2
    expected = open_run(trained).sample([APPLE, FISH], num_images=2, seed=3).permute(0, 2, 3, 1).numpy()
    both = generator([APPLE, FISH], num_images=2, seed=3)
    assert len(both) == 4
    for picture, pixels in zip(both, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    np.testing.assert_array_equal(np.asarray(pictures[1]), expected[1])
    assert len(sclgan.from_pretrained(str(trained), checkpoint="5")(APPLE)) == 1
    assert sclgan.from_pretrained("emoji").run.folder == shipped


def test_from_pretrained_says_what_it_cannot_draw(trained, caplog):
    generator = sclgan.from_pretrained(trained)
    assert len(generator("a red zyxxy apple")) == 1
    assert caplog.messages == ["words the text encoder never saw, left out of 'a red zyxxy apple': zyxxy"]
    for captions, expected in (("", "is empty"), ([], "no caption was given"), ("zyxxy", "holds no known word")):
        with pytest.raises(ValueError, match=expected):
            generator(captions)
    with pytest.raises(ValueError, match="num_images must be at least 1, not 0"):
        generator(APPLE, num_images=0)
    with pytest.raises(FileNotFoundError, match="has no checkpoint 'best'"):
        sclgan.from_pretrained(trained, checkpoint="best")


def test_the_package_has_what_it_names_and_nothing_else():
    assert {"from_pretrained", "__version__"} <= set(dir(sclgan))
    assert set(sclgan.__all__) == {"from_pretrained", "__version__"}
    with pytest.raises(AttributeError, match="module 'sclgan' has no attribute 'form_pretrained'"):
        _ = sclgan.form_pretrained


# What is not waited for

SLOW = ("torchvision", "torch._dynamo", "sympy", "matplotlib", "tensorboard", "sclgan.train.session", "sclgan.recipes")


def loaded(script: str, *arguments: object) -> set[str]:
    """The modules that a process has after a script; SystemExit of a command is caught."""
    script = f"import sys\ntry:\n{script}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    )
    return set(ended.stdout.split("MODULES ")[1].split())


def test_importing_the_package_does_not_import_torch():
    assert not {"torch", "numpy", "PIL", "tyro"} & loaded("    import sclgan\n    dir(sclgan)")


def test_drawing_imports_no_torchvision_and_builds_no_discriminator(trained, tmp_path):
    script = (
        "    import sclgan\n    generator = sclgan.from_pretrained(sys.argv[1])\n"
        "    assert len(generator('a red apple', num_images=2)) == 2\n"
        "    D = list(generator.run.gan.discriminator.parameters())\n"
        "    assert D and all(parameter.is_meta for parameter in D)"
    )
    assert not set(SLOW) & loaded(script, trained)
    command = "    from sclgan.__main__ import main\n    main()"
    arguments = ("sample", trained, APPLE, "--out", tmp_path / "a.png")
    assert not set(SLOW) & loaded(command, *arguments)
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize("line", ["sample nothere apple --out a.png", "sample nothere --out a.png"])
def test_an_error_that_needs_no_torch_does_not_wait_for_it(line):
    assert not {"torch", "numpy"} & loaded("    from sclgan.__main__ import main\n    main()", *line.split())


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (6, 3), (8, 8), (4, 1), (5, 3), (1, 4), (2, 4)])
def test_samples_lie_in_a_grid_as_torchvision_makes_it(count, columns):
    from torchvision.utils import make_grid

    pictures = torch.randint(0, 256, (count, 3, 5, 7), dtype=torch.uint8)
    expected = make_grid(pictures, nrow=columns).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(grid(pictures.numpy(), columns)), expected)
