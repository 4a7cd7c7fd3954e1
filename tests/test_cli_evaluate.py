"""`sclgan evaluate` on runs and on folders of pictures, and `sclgan protocols`."""

import json
import shutil
from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import photos_on_disk
from command_line import APPLE, PLAIN, done, refused
from sclgan.data.sets.own.source import Folder
from sclgan.recipe_json import to_json
from sclgan.runs.folder import saved_recipe


def test_evaluate_appends_records_that_say_what_was_measured(plain, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(plain, folder)
    names = ("background_accuracy", "kid_lite0", "r_precision_damsm")
    protocols = [word for name in names for word in ("--protocol", name)]
    command = ("evaluate", folder, "--num-images", 24, "--seed", 3, *protocols)
    shown = done(*command).out.splitlines()
    assert [line.split(":")[0] for line in shown] == [f"{name}@24" for name in names]
    done(*command)
    records = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    assert [record["protocol"] for record in records] == [*names, *names]
    for record, again in zip(records[:3], records[3:], strict=True):
        assert (record["recipe"], record["step"], record["num_samples"], record["seed"]) == (PLAIN, 2, 24, 3)
        assert record["versions"].keys() == {"sclgan", "python", "torch", "numpy", "pillow"}
        assert (record["value"], record["interval"], record["floor"]) == (
            again["value"],
            again["interval"],
            again["floor"],
        )
    background, kernel, precision = (record["weights_sha256"] for record in records[:3])
    assert background is None
    assert len(kernel) == len(precision) == 64
    assert kernel != precision


def test_evaluate_refuses_what_cannot_be_graded(plain):
    before = sorted(plain.iterdir())
    assert "did you mean 'fd_lite0'?" in refused("evaluate", plain, "--protocol", "fd_lit0")
    assert "1 images cannot be evaluated: ask for at least 2" in refused("evaluate", plain, "--num-images", 1)
    assert sorted(plain.iterdir()) == before


def test_evaluate_wants_labels_for_the_accuracy_of_classes_before_it_draws(plain, tmp_path):
    run, pictures = tmp_path / "run", photos_on_disk.own_pictures(tmp_path / "own")
    shutil.copytree(plain, run)
    rows = [json.loads(line) for line in (pictures / "metadata.jsonl").read_text().splitlines()]
    photos_on_disk.table(pictures / "metadata.jsonl", [{k: v for k, v in row.items() if k != "label"} for row in rows])
    recipe = replace(saved_recipe(run), source=partial(Folder, root=str(pictures)))
    (run / "recipe.json").write_text(to_json(recipe))
    command = ("evaluate", run, "--num-images", 4, "--protocol", "class_accuracy")
    said = refused(*command, "--save-pictures", tmp_path / "drawn")
    assert "class_accuracy needs labels, and the split 'train' of 'folder' has none: label every picture, or" in said
    assert not (tmp_path / "drawn").exists()
    shutil.rmtree(pictures)
    assert "there is no folder" in refused(*command)
    said = refused("evaluate", photos_on_disk.own_pictures(tmp_path / "fakes"), "--protocol", "class_accuracy")
    assert "class_accuracy fits a classifier to the training pictures of a run" in said


def test_evaluate_takes_any_folder_of_pictures(tmp_path):
    for number in range(12):
        Image.new("RGB", (40, 40), (20 * number, 9, 90)).save(tmp_path / f"{number}.png")
    command = ("evaluate", tmp_path, "--protocol", "is_lite0", "--out", tmp_path / "new" / "records.jsonl")
    assert done(*command).out.startswith("is_lite0@12: ")
    (record,) = (json.loads(line) for line in (tmp_path / "new" / "records.jsonl").read_text().splitlines())
    assert (record["pictures"], record["num_samples"], record["num_reals"]) == (str(tmp_path), 12, 0)


def test_evaluate_says_what_is_for_runs_and_what_for_folders(plain, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    assert "--checkpoint and --save-pictures are for runs" in refused("evaluate", tmp_path, "--checkpoint", "best")
    assert "--encoders is for folders of pictures" in refused("evaluate", plain, "--encoders", plain)
    assert "has no checkpoint 'best': it has 1, 2" in refused("evaluate", plain, "--checkpoint", "best")
    assert "has no checkpoint '7'" in refused("sample", plain, APPLE, "--out", tmp_path / "b.png", "--checkpoint", 7)
    several = ("--save-statistics", tmp_path / "s.npz", "--protocol", "background_accuracy")
    assert "statistics are those of one Frechet distance, given is none" in refused("evaluate", plain, *several)
    assert "--reals none is not a folder, an .npz file" in refused("evaluate", plain, "--reals", "none")


def test_protocols_says_what_is_here_and_what_to_get(tmp_path, monkeypatch):
    monkeypatch.setenv("SCLGAN_WEIGHTS", str(tmp_path / "mine"))
    shown = done("protocols").out
    assert shown.startswith("fid\n")
    assert "\nfd_lite0\n" in shown
    assert f"Weights belong in {tmp_path / 'mine'}" in shown
    assert not (tmp_path / "mine").exists()


def test_evaluate_ends_with_a_message_where_the_generator_draws_nan(plain, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    path = run / "checkpoints" / "step_00000002" / "averaged_generator.safetensors"
    save_file({name: x * torch.nan if x.is_floating_point() else x for name, x in load_file(path).items()}, path)
    said = refused("evaluate", run, "--num-images", 4, "--protocol", "is_lite0")
    assert "FloatingPointError" in said
    assert "the generator of step 2 draws NaN or infinity in 4 of 4 pictures" in said
