"""The command line as a user meets it: help, good and bad arguments, every command on tiny runs, what goes wrong."""

import errno
import html.parser
import inspect
import io
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import pytest
import torch
from PIL import Image

import photos_on_disk
from runs import SCL, small_fields
from sclgan.__main__ import COMMANDS, FLAGS, main, positionals_first
from sclgan.data.sets import emoji
from sclgan.data.sets.own.source import Folder
from sclgan.recipe_json import to_json
from sclgan.recipes import ABLATIONS, RECIPES, SMALL_DATA
from sclgan.runs import checkpoint
from sclgan.runs.folder import saved_recipe
from sclgan.runs.opened import open_run
from sclgan.train import sample_grid, training

PLAIN = "ssagan_emoji"
APPLE = "a red apple on a white background"


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def sclgan(*arguments: object) -> Ended:
    """Runs a command in this process, as the shell would call it."""
    code: object = 0
    given = ["sclgan", *map(str, arguments)]
    with patch.object(sys, "argv", given), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Ended:
    """Runs a command that must succeed."""
    ended = sclgan(*arguments)
    assert ended.code == 0, ended.err
    return ended


def refused(*arguments: object, code: int = 1) -> str:
    """The one line with which a command fails."""
    ended = sclgan(*arguments)
    assert ended.code == code, ended
    assert ended.out == ""
    assert ended.err.startswith("sclgan: ")
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


@contextmanager
def recorded(name: str) -> Iterator[list[dict[str, object]]]:
    """Within it the command does nothing; the list gets the arguments of each call."""
    calls: list[dict[str, object]] = []

    @wraps(COMMANDS[name])
    def record(*args: object, **keywords: object) -> None:
        calls.append({"args": args, **keywords})

    with patch.dict(COMMANDS, {name: record}):
        yield calls


@contextmanager
def failing(error: BaseException) -> Iterator[None]:
    """Within it `sclgan recipes` raises the error."""

    @wraps(COMMANDS["recipes"])
    def fail() -> None:
        raise error

    with patch.dict(COMMANDS, {"recipes": fail}):
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A tiny run of the baseline, made by the commands: its encoders beside it in "encoders"."""
    folder = tmp_path_factory.mktemp("plain")
    ended = done("pretrain", PLAIN, *small_fields(PLAIN), "--out", folder / "encoders")
    assert ended.out == f"encoders in {folder / 'encoders'}\n"
    encoders = ("--encoders", folder / "encoders")
    ended = done("train", PLAIN, *small_fields(PLAIN), "--out", folder / "run", *encoders)
    assert ended.out == f"run in {folder / 'run'}\n"
    return folder / "run"


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_the_command_accepts(name):
    ended = done(name, "--help")
    assert f"Example: sclgan {name}" in ended.out
    example = (COMMANDS[name].__doc__ or "").split("Example: ")[1].strip()
    with recorded(name) as calls:
        done(*shlex.split(example)[1:])
    assert len(calls) == 1


def test_help_lists_every_command_and_does_not_wait_for_torch():
    script = (
        "import sys\nfrom sclgan.__main__ import main\n"
        "for arguments in (['--help'], ['train', '--help'], ['nonsense']):\n"
        "    sys.argv = ['sclgan', *arguments]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        print('exit', end.code)\n"
        "print('loaded', sorted({'torch', 'numpy', 'PIL', 'sclgan.train'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert [line for line in ended.stdout.splitlines() if line.startswith("exit")] == ["exit 0", "exit 0", "exit 2"]
    assert ended.stdout.splitlines()[-1] == "loaded []"
    assert all(f"• {name} " in ended.stdout for name in COMMANDS)


# Recipes and their fields


def test_recipes_prints_every_recipe_in_its_row_and_column():
    main, rest = done("recipes").out.split("\n\nWith the settings for small data\n")
    small, ablations = rest.split("\n\nAblations\n")
    assert ablations.split() == list(ABLATIONS)
    assert sorted(small.split()) == sorted(SMALL_DATA)
    head, *rows = main.splitlines()
    assert head.split() == ["emoji", "scenes", "cub", "coco", "folder"]
    assert sorted(word for row in rows for word in row.split() if word in RECIPES) == sorted(RECIPES)
    assert rows[0].split() == ["AttnGAN", *(f"attngan_{data}" for data in head.split())]
    assert rows[-1].endswith("galip_folder_scl")


def test_describe_shows_the_recipe_with_fields_replaced():
    shown = json.loads(done("describe", SCL, "training.batch_size=64", "gan.nf=16").out)
    assert (shown["name"], shown["training"]["batch_size"], shown["gan"]["nf"]) == (SCL, 64, 16)


def test_describe_says_which_files_are_needed_and_where_they_are():
    ended = done("describe", "attngan_cub", "source.root=birds")
    assert json.loads(ended.out)["source"]["root"] == "birds"
    archive, metadata, weights = ended.err.splitlines()
    assert archive == (
        "needs CUB_200_2011.tgz (1.15 GB, md5 97eceeb196236b17998738112f37df78) from "
        "https://data.caltech.edu/records/65de6-vp158: unpack it to birds/CUB_200_2011"
    )
    assert "drive.google.com" in metadata
    assert weights.startswith("needs inception_v3_google-0cc3c7bd.pth (104 MB, sha256 begins with 0cc3c7bd)")
    lines = done("describe", "ssagan_coco_scl", "source.year=2017").err.splitlines()
    assert [line.split()[1] for line in lines][:3] == ["train2017.zip", "val2017.zip", "annotations_trainval2017.zip"]
    assert "put them into mine" in done("describe", "ssagan_folder", "source.root=mine").err
    assert done("describe", "ssagan_scenes_scl").err == ""


@pytest.mark.parametrize(
    "line",
    [
        "train R a=1 b=2 --out D --num-workers 3",
        "train R --out D --num-workers 3 a=1 b=2",
        "train --num-workers=3 --out D R a=1 b=2",
        "train R a=1 --out D b=2 --num-workers 3",
        "train --out D R a=1 --num-workers 3 b=2",
    ],
)
def test_fields_may_stand_before_after_and_between_options(line):
    with recorded("train") as calls:
        done(*line.split())
    assert calls[0]["args"][:2] == ("R", ("a=1", "b=2")) or calls[0].get("overrides") == ("a=1", "b=2")
    assert (calls[0]["out"], calls[0]["num_workers"]) == (Path("D"), 3)


def test_the_order_of_arguments_changes_no_value_of_an_option():
    assert positionals_first(["sample", "--seed", "-1", "run", "-h", "--out", "a", "red apple"]) == [
        *("sample", "run", "red apple"),
        *("--seed", "-1", "-h", "--out", "a"),
    ]
    assert positionals_first(["a", "--out", "b", "--", "--c", "d"]) == ["a", "--out", "b", "--", "--c", "d"]
    assert positionals_first(["train", "R", "--out"]) == ["train", "R", "--out"]


def test_the_options_without_a_value_are_known():
    flags = {"-h", "--help"}
    for command in COMMANDS.values():
        for name, parameter in inspect.signature(command).parameters.items():
            if typing.get_origin(parameter.annotation) is Annotated and parameter.annotation.__origin__ is bool:
                flags |= {f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"}
    assert flags == FLAGS
    line = "sample --attention run apple --out a.png pear"
    assert positionals_first(line.split()) == ["sample", "run", "apple", "pear", "--attention", "--out", "a.png"]


# Bad arguments


def test_clip_without_its_library_says_what_to_install_and_nothing_else_needs_it(tmp_path):
    with patch.dict(sys.modules, {"open_clip": None}):
        said = refused("pretrain", "galip_emoji", *small_fields("galip_emoji"), "--out", tmp_path / "run")
        assert "pip install 'sclgan[clip]'" in said
        assert "galip_cub" in done("recipes").out
        done("describe", "galip_coco")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("describe ssagan_emoji_slc", "did you mean 'ssagan_emoji_scl'?"),
        ("describe ssagan_emoji training.step=3", "no field 'step' in 'training.step': did you mean 'steps'?"),
        ("describe ssagan_emoji training.steps=many", "'training.steps' takes int, not 'many'"),
        ("train ssagan_emojy --out run", "did you mean 'ssagan_emoji'?"),
        ("train ssagan_emoji gan.fn=3 --out run", "did you mean 'nf'?"),
        ("train ssagan_emoji training.steps --out run", "write field=value"),
        ("train ssagan_emoji training.steps=0 --out run", "training.steps must be at least 1, not 0"),
        (
            "train ssagan_emoji_scl training.num_views=1 --out run",
            "training: 'contrast' compares two views: set num_views=2",
        ),
        (
            "pretrain ssagan_emoji_scl pretraining.num_views=1 --out run",
            "pretraining: 'contrast' compares two views: set num_views=2",
        ),
        ("pretrain ssagan_emoji_sc1 --out run", "did you mean 'ssagan_emoji_scl'?"),
        ("data emojy --out sheet.png", "did you mean 'emoji'?"),
        ("data emoji --split tset --out sheet.png", "it has train, test, unseen"),
        ("data emoji --rows 0 --out sheet.png", "ask for at least 1 x 1"),
        ("sample run --out picture.png", "no caption was given"),
        ("sample run apple --out picture.png", "run is not a run folder: there is no such folder"),
        ("evaluate run", "run is not a run folder"),
        ("compare --out page", "different run folders"),
        ("compare run other --out page", "run is not a run folder"),
        ("table main --data emojy --out tables", "table main has no data set 'emojy': did you mean 'emoji'?"),
        ("table main --data emoji --set gan.fn=3 --out tables", "no field 'fn' in 'gan.fn': did you mean"),
        ("table main --data emoji --budget 8 --out tables", "--budget 8 is less than one step of attngan_emoji"),
        ("table main --data emoji --jobs 0 --out tables", "--jobs 0: at least 1"),
        ("figure loss --out loss.png", "name at least one folder"),
        ("figure loss run --out loss.gif", "a figure is written as .png, .pdf, .svg"),
        ("figure qualitative run --out figure.png", "run is not a run folder"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_to_do_and_nothing_is_written(line, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(*line.split())
    assert list(tmp_path.iterdir()) == []


def test_a_usage_error_exits_with_2():
    assert "no command 'trian': did you mean 'train'?" in refused("trian", SCL, code=2)
    for line, expected in (
        (f"train {SCL}", "--out"),
        (f"train {SCL} --out D --worker 3", "--worker"),
        ("recipes all", "all"),
        ("", "recipes"),
        ("evaluate run --num-images some", "some"),
    ):
        ended = sclgan(*line.split())
        assert (ended.code, ended.out) == (2, "")
        assert expected in ended.err
        assert "Traceback" not in ended.err


# Data


def test_data_lists_the_sets_counts_a_split_and_draws_a_sheet(tmp_path):
    assert done("data").out.split()[:3] == ["emoji", "train", f"{len(emoji.Emoji('train'))},"]
    counted = done("data", "emoji", "--split", "test").out
    assert counted.startswith(f"emoji, test: {len(emoji.Emoji('test'))} pictures")
    sheet = tmp_path / "new" / "sheet.png"
    assert done("data", "emoji", "--out", sheet, "--rows", 1, "--columns", 2, "--size", 32).out == f"{sheet}\n"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * 128
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


def test_data_check_lists_what_is_wrong_and_ends_with_1_if_training_would_fail(tmp_path):
    root = photos_on_disk.own_pictures(tmp_path / "own")
    whole = done("data", "check", root, "--image-size", 32)
    assert whole.out.splitlines()[-1] == "0 errors, 0 notes: training reads this folder"
    assert done("data", "check", root, "--image-size", 100).out.count("and is enlarged to 100") == 18
    (root / "kite" / "0.jpg").unlink()
    ended = sclgan("data", "check", root)
    assert ended.code == 1
    assert ended.out.startswith("metadata.jsonl:1: error: there is no picture 'kite/0.jpg'")
    assert ended.err == f"sclgan: ValueError: {root} has 1 errors, listed above\n"
    assert "cannot be read: metadata.jsonl:1" in refused(
        "train", "ssagan_folder", f"source.root={root}", "--out", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()
    assert "there is no folder nowhere" in refused("data", "check", "nowhere")


def test_data_pairs_describes_every_rule_of_a_data_set_or_a_folder(tmp_path):
    root = photos_on_disk.own_pictures(tmp_path / "own")
    lines = done("data", "pairs", root, "--batch-size", 6).out.splitlines()
    assert lines[0].endswith("3 labels; batches of 6")
    assert [line.split(":")[0] for line in lines[1::2]] == ["shared", "dominant", "exact", "weighted"]
    sheet = tmp_path / "sheet.png"
    done("data", root, "--out", sheet, "--rows", 1, "--columns", 2, "--size", 32)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("damage", ["cut", "one byte", "no index", "other index", "not a zip"])
def test_damaged_data_of_the_package_say_so(damage, monkeypatch):
    import zipfile

    whole = Path(emoji.__file__).with_name("emoji.zip").read_bytes()
    if damage == "no index" or damage == "other index":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("index.json" if damage == "other index" else "else.json", b'{"size": 64}')
        data = buffer.getvalue()
    else:
        half = len(whole) // 2
        data = {
            "cut": whole[:half],
            "one byte": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
            "not a zip": b"",
        }[damage]
    monkeypatch.setattr(emoji, "collection", lambda: emoji.Collection(data))
    assert "the package's emoji.zip is damaged" in (said := refused("data"))
    assert "reinstall" in said


# Training


def test_encoders_from_pretrain_are_used_unchanged_by_train(plain):
    used = (plain / "encoders.safetensors").read_bytes()
    assert used == (plain.parent / "encoders" / "encoders.safetensors").read_bytes()
    assert not (plain / "pretraining").exists()
    assert checkpoint.steps(plain / "checkpoints") == [1, 2]


def test_encoders_that_are_not_there_or_do_not_fit_are_named(plain, tmp_path):
    fields = small_fields(PLAIN)
    said = refused("train", PLAIN, *fields, "--out", tmp_path / "a", "--encoders", tmp_path / "none")
    assert "none has no vocabulary.json" in said
    wider = small_fields(PLAIN, "encoders.code_size=18")
    said = refused("train", PLAIN, *wider, "--out", tmp_path / "b", "--encoders", plain)
    assert "encoders.safetensors does not fit the DAMSM of the recipe" in said


def test_stopped_between_the_two_files_of_the_encoders_a_run_continues(plain, tmp_path):
    folder = tmp_path / "run"
    command = ("train", PLAIN, *small_fields(PLAIN), "--out", folder, "--encoders", plain.parent / "encoders")
    with patch.object(training, "load_encoders", side_effect=KeyboardInterrupt):
        assert sclgan(*command).code == 130
    shutil.copy(plain / "vocabulary.json", folder)
    done(*command)
    assert (folder / "encoders.safetensors").read_bytes() == (plain / "encoders.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_training_says_how_to_continue_and_exits_with_130(number, plain, tmp_path, monkeypatch):
    save = sample_grid.SampleGrid.save
    monkeypatch.setattr(
        sample_grid.SampleGrid, "save", lambda grid, step: (os.kill(os.getpid(), number), save(grid, step))[1]
    )
    fields = small_fields(PLAIN, "training.steps=9", "training.grid_every=1", "training.checkpoint_every=9")
    said = refused("train", PLAIN, *fields, "--out", tmp_path / "run", "--encoders", plain, code=130)
    assert said == "sclgan: training ssagan_emoji stopped after step 1 of 9; repeat the command to continue\n"
    assert open_run(tmp_path / "run").step == 1


@pytest.mark.parametrize("how", ["the file size limit", "no space"])
def test_a_full_disk_at_the_second_checkpoint_leaves_the_first_one(how, plain, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    command = ("train", PLAIN, *small_fields(PLAIN, "training.steps=3"), "--out", folder, "--encoders", plain)
    done(*command, "training.steps=1")
    with monkeypatch.context() as patched:
        if how == "no space":
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            patched.setattr(checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(full))
            said = refused(*command)
            assert "No space left on device" in said
        else:
            with largest_file(100_000):
                said = refused(*command)
            assert "File too large" in said
    assert f"the checkpoint of step 2 could not be written to {folder / 'checkpoints'}" in said
    assert said.endswith("earlier ones are whole: make room and repeat the command\n")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_00000001"]
    assert not list(folder.rglob("*.partial"))
    assert open_run(folder).step == 1
    done(*command)
    assert open_run(folder).step == 3


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Within it no file grows beyond that: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Errors


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug"), TypeError("a bug"), ZeroDivisionError()])
def test_a_bug_shows_its_traceback(error):
    with failing(error), pytest.raises(type(error)):
        sclgan("recipes")


def test_errors_of_torch_that_are_no_bugs_say_what_to_do():
    with failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")):
        assert "lower the batch size" in refused("recipes")
    with failing(RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:1234")):
        assert "another rank ended" in refused("recipes")


def test_a_known_error_is_one_line_whatever_its_text_and_its_traceback_is_shown_on_demand(monkeypatch):
    with failing(ValueError("first\nsecond")):
        assert refused("recipes") == "sclgan: ValueError: first second\n"
        monkeypatch.setenv("SCLGAN_TRACEBACK", "1")
        with pytest.raises(ValueError, match="first\nsecond"):
            sclgan("recipes")


def test_an_interruption_exits_with_130():
    with failing(KeyboardInterrupt()):
        assert refused("recipes", code=130) == "sclgan: interrupted\n"


# Samples


def test_sample_draws_a_row_a_caption_the_same_for_a_seed(plain, tmp_path):
    first, same, other = (tmp_path / "new" / f"{name}.png" for name in ("first", "same", "other"))
    for path, seed in ((first, 0), (same, 0), (other, 1)):
        options = ("--out", path, "--num-images", 3, "--seed", seed)
        ended = done("sample", plain, APPLE, "a blue fish", *options)
        assert (ended.out, ended.err) == (f"{path}\n", "")
    with Image.open(first) as picture:
        assert picture.format == "PNG"
        assert picture.width > 3 * 64 > picture.height > 2 * 64
    assert first.read_bytes() == same.read_bytes() != other.read_bytes()


def test_sample_names_words_it_does_not_know_and_draws_the_rest(plain, tmp_path):
    ended = done("sample", plain, "a red zyxxy apple wvut", "--out", tmp_path / "a.png", "--num-images", 1)
    expected = "words the text encoder never saw, left out of 'a red zyxxy apple wvut': zyxxy, wvut\n"
    assert ended.err == expected
    done("sample", plain, "a red apple", "--out", tmp_path / "b.png", "--num-images", 1)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ([""], "caption 1 of 1 is empty: ''; write one with words of the training captions, such as"),
        ([APPLE, "  "], "caption 2 of 2 is empty"),
        (["!?"], "caption 1 of 1 is empty: '!?'"),
        (["zyxxy wvut"], "caption 1 of 1 holds no known word: 'zyxxy wvut'"),
    ],
)
def test_a_caption_without_a_known_word_is_refused(captions, expected, plain, tmp_path):
    ended = sclgan("sample", plain, *captions, "--out", tmp_path / "a.png")
    assert ended.code == 1
    assert expected in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_sample_needs_a_picture_to_draw_and_a_trained_run(plain, tmp_path):
    out = ("--out", tmp_path / "a.png")
    assert "num_images must be at least 1, not 0" in refused("sample", plain, APPLE, *out, "--num-images", 0)
    said = refused("sample", plain.parent / "encoders", APPLE, *out)
    assert "encoders has no GAN checkpoint yet: `sclgan train ssagan_emoji --out" in said
    assert list(tmp_path.iterdir()) == []


# Evaluation


def test_evaluate_appends_records_that_say_what_was_measured(plain, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(plain, folder)
    names = ("ground", "kid_lite0", "r_precision_damsm")
    command = ("evaluate", folder, "--num-images", 24, "--seed", 3)
    command += tuple(word for name in names for word in ("--protocol", name))
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
    ground, kernel, precision = (record["weights_sha256"] for record in records[:3])
    assert ground is None
    assert len(kernel) == len(precision) == 64
    assert kernel != precision


def test_evaluate_refuses_what_cannot_be_graded(plain):
    before = sorted(plain.iterdir())
    assert "did you mean 'fd_lite0'?" in refused("evaluate", plain, "--protocol", "fd_lit0")
    assert "1 images cannot be graded: ask for at least 2" in refused("evaluate", plain, "--num-images", 1)
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
    assert "are for folders of pictures" in refused("evaluate", plain, "--encoders", plain)
    assert "has no checkpoint 'best': it has 1, 2" in refused("evaluate", plain, "--checkpoint", "best")
    assert "has no checkpoint '7'" in refused("sample", plain, APPLE, "--out", tmp_path / "b.png", "--checkpoint", 7)
    several = ("--save-statistics", tmp_path / "s.npz", "--protocol", "ground")
    assert "statistics are those of one Frechet distance, here is none" in refused("evaluate", plain, *several)
    assert "--reals none is no folder, no .npz file" in refused("evaluate", plain, "--reals", "none")


def test_protocols_says_what_is_here_and_what_to_get(tmp_path, monkeypatch):
    monkeypatch.setenv("SCLGAN_WEIGHTS", str(tmp_path / "mine"))
    shown = done("protocols").out
    assert shown.startswith("fid\n")
    assert "\nfd_lite0\n" in shown
    assert f"Weights belong in {tmp_path / 'mine'}" in shown
    assert not (tmp_path / "mine").exists()


# Comparison


class Page(html.parser.HTMLParser):
    """The tags of a page, and everything that a browser would load for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "xlink:href", "data")]
        self.loads += [part.split(")")[0] for _, value in attrs for part in (value or "").split("url(")[1:]]


def test_compare_writes_one_page_that_needs_no_other_file(plain, trained, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for source, folder in zip((plain, trained), runs, strict=True):
        shutil.copytree(source, folder)
    done("evaluate", runs[0], "--protocol", "ground", "--num-images", 4)
    path = tmp_path / "page" / "index.html"
    assert done("compare", *runs, "--out", path.parent).out == f"{path}\n"
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert page.count.keys().isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.loads)
    assert "@import" not in text
    assert page.count["img"] == 10 * (1 + 2 * 4)
    assert len({address for address in page.loads if address.startswith("data:")}) > 10
    assert page.count["svg"] == 2
    assert f"<b>{PLAIN}</b>: SSA-GAN on emoji, step 2" in text
    assert f"<b>{SCL}</b>" in text
    assert "step 6" in text
    assert "ground@4" in text
    assert "not measured" in text
    assert "training.num_views" in text


def test_figure_takes_captions_one_by_one(plain, tmp_path):
    out = tmp_path / "new" / "figure.svg"
    options = ("--caption", APPLE, "--caption", "a blue fish", "--out", out)
    assert done("figure", "qualitative", plain, *options).out == f"{out}\n"
    assert out.read_text().count("<image") == 2


def test_compare_refuses_the_same_run_twice_and_runs_of_different_sizes(plain, tmp_path):
    page = ("--out", tmp_path / "page")
    assert "different run folders" in refused("compare", plain, plain.parent / "." / plain.name, *page)
    other = small_fields(PLAIN, "image_size=32", "training.steps=1")
    done("train", PLAIN, *other, "--out", tmp_path / "other", "--encoders", plain)
    assert "different data or sizes" in refused("compare", plain, tmp_path / "other", *page)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
