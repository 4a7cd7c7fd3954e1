"""The command line as a whole: help, the order of arguments, mistakes in them, and how errors end a command."""

import inspect
import shlex
import signal
import subprocess
import sys
import tomllib
import typing
from pathlib import Path
from typing import Annotated

import pytest
import torch

import sclgan as sclgan_package
from command_line import done, failing, recorded, refused, sclgan
from runs import SCL, small_fields
from sclgan.__main__ import COMMANDS, FLAGS, positionals_first

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
        "    try:\n        main()\n        print('exit 0')\n"
        "    except SystemExit as end:\n        print('exit', end.code)\n"
        "print('loaded', sorted({'torch', 'numpy', 'PIL', 'sclgan.train'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert [line for line in ended.stdout.splitlines() if line.startswith("exit")] == ["exit 0", "exit 0", "exit 2"]
    assert ended.stdout.splitlines()[-1] == "loaded []"
    assert all(f"\n  {name} " in ended.stdout for name in COMMANDS)


def test_the_list_of_commands_fits_80_columns_and_says_one_thing_about_each():
    lines = done("--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("  ") and not line.startswith("   ") for line in lines) == len(COMMANDS)


def test_version_is_that_of_the_package():
    assert done("--version").out == f"sclgan {sclgan_package.__version__}\n"
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        assert tomllib.loads(project.read_text())["project"]["version"] == sclgan_package.__version__


def test_a_reader_that_stops_reading_is_not_an_error():
    command = [sys.executable, "-m", "sclgan", "recipes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + signal.SIGPIPE, "")


# The order of arguments


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
    given = ["sample", "a car", "- a red apple", "--out", "a.png", "-b c = d", "e", "--set=f g"]
    assert positionals_first(given) == [
        *("sample", "a car", "--out", "a.png", "--set=f g", "--", "- a red apple", "-b c = d", "e")
    ]


def test_the_options_without_a_value_are_known():
    flags = {"-h", "--help"}
    for command in COMMANDS.values():
        for name, parameter in inspect.signature(command).parameters.items():
            if typing.get_origin(parameter.annotation) is Annotated and parameter.annotation.__origin__ is bool:
                flags |= {f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"}
    assert flags == FLAGS
    line = "sample --attention run apple --out a.png pear"
    assert positionals_first(line.split()) == ["sample", "run", "apple", "pear", "--attention", "--out", "a.png"]


# Mistakes


def test_clip_without_its_library_says_what_to_install_and_nothing_else_needs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
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
