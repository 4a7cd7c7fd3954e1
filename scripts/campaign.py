"""Kills, full disks, damaged files and odd command lines, tried on tiny runs: what must hold whatever happens.

    python scripts/campaign.py --out docs/faults.md            # some minutes on two cores
    python scripts/campaign.py --kills 50 --files 300          # longer

Prints a table, and writes it with `--out`. A kill or a full disk is right if the repeated command ends with the same
bits as an undisturbed one. A damaged file or an odd command line is right if the command ends by itself, with exit code
0, 1 or 2, without a traceback, and, where it fails, with one line that says why. The choices follow from `--seed`.
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from command_line import APPLE, Ended, sclgan
from runs import SCL, final_weights, small_fields

FIELDS = small_fields(SCL, "pretraining.steps=6", "training.steps=6")
Trial = Callable[[random.Random, Path], str]
"""One attempt in an empty folder; returns what was wrong, or nothing."""


def command(out: Path, *more: str) -> list[str]:
    """The training whose disturbance is tried."""
    return [sys.executable, "-m", "sclgan", "train", SCL, *FIELDS, "--out", str(out), *more]


def differences(run: Path, whole: dict[str, torch.Tensor]) -> str:
    """The tensors of a run that are not those of the undisturbed one, in words."""
    found = final_weights(run)
    if found.keys() != whole.keys():
        return "other tensors than the undisturbed run"
    different = [name for name in whole if not torch.equal(found[name], whole[name])]
    return f"{len(different)} tensors differ, such as {different[0]}" if different else ""


def repeated(out: Path, whole: dict[str, torch.Tensor], *more: str) -> str:
    """Repeats the command undisturbed; what is wrong with the run that it ends with."""
    ended = subprocess.run(command(out, *more), capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"the repeated command failed: {ended.stderr.strip().splitlines()[-1:]}"
    return differences(out, whole)


def killed(workers: int, seconds: float, whole: dict[str, torch.Tensor]) -> Trial:
    """Kills the training and its workers at a random moment, as the system does without memory."""

    def trial(chance: random.Random, folder: Path) -> str:
        more = ("--num-workers", str(workers))
        with subprocess.Popen(
            command(folder / "run", *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(chance.uniform(0.2, 1) * seconds)
            os.killpg(process.pid, signal.SIGKILL)
        return repeated(folder / "run", whole, *more)

    return trial


def on_a_full_disk(whole: dict[str, torch.Tensor]) -> Trial:
    """No file grows beyond a random size, as on a full disk."""

    def trial(chance: random.Random, folder: Path) -> str:
        largest = int(10 ** chance.uniform(2, 6))
        ended = subprocess.run(
            command(folder / "run"),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
        )
        return _impolite(Ended(ended.returncode, ended.stdout, ended.stderr)) or repeated(folder / "run", whole)

    return trial


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda content, _: b"",
    "cut": lambda content, chance: content[: chance.randrange(max(1, len(content)))],
    "a byte": lambda content, chance: _with_another_byte(content, chance),
    "noise": lambda _, chance: chance.randbytes(chance.randrange(1, 5000)),
    "a list": lambda *_: b"[[], {}, null]",
    "deep": lambda *_: b"[" * 50_000,
    "numbers": lambda *_: b'{"step": 1e999, "name": 5, "sha256": []}',
    "escapes": lambda *_: b'{"name": "\\u001b[2J\\n0 errors", "step": "7"}',
}


def _with_another_byte(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(max(1, len(content)))
    return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]


def damaged(run: Path) -> Trial:
    """Damages one file of a finished run in one way, then draws, evaluates, compares and continues."""

    def trial(chance: random.Random, folder: Path) -> str:
        copy = Path(shutil.copytree(run, folder / "run"))
        files = sorted(path for path in copy.rglob("*") if path.is_file() and not path.name.startswith("events"))
        path, (name, damage) = chance.choice(files), chance.choice(sorted(DAMAGES.items()))
        path.write_bytes(damage(path.read_bytes(), chance))
        for arguments in (
            ("sample", copy, APPLE, "--out", folder / "a.png", "--num-images", 1),
            ("evaluate", copy, "--protocol", "background_accuracy", "--num-images", 4),
            ("compare", copy, "--out", folder / "page"),
            ("train", SCL, *FIELDS, "training.steps=7", "--out", copy),
        ):
            if wrong := _impolite(sclgan(*arguments)):
                return f"{path.relative_to(copy)}, {name}: {arguments[0]}: {wrong}"
        return ""

    return trial


def odd_command(run: Path) -> Trial:
    """A command line with something odd in one place."""
    odd = [
        "",
        " ",
        "-1",
        "0",
        "nan",
        "1e999",
        "9" * 40,
        "\x1b[2J",
        "../..",
        "/",
        "--",
        "none",
        "a=b",
        "training.steps=x",
    ]

    def trial(chance: random.Random, folder: Path) -> str:
        commands: list[list[object]] = [
            ["sample", run, APPLE, "--out", folder / "a.png", "--num-images", 1, "--seed", 0],
            ["evaluate", run, "--protocol", "background_accuracy", "--num-images", 4, "--seed", 0],
            ["train", SCL, *FIELDS, "--out", folder / "run"],
            ["data", "emoji", "--out", folder / "b.png", "--rows", 1, "--columns", 1],
            ["data", "check", folder, "--image-size", 32],
            ["data", "pairs", "emoji", "--batch-size", 4],
            ["compare", run, "--out", folder / "page"],
            ["describe", SCL],
        ]
        arguments = chance.choice(commands)
        # Without its number of steps a training would go on for hours, and rightly so.
        place = chance.choice([i for i in range(1, len(arguments)) if ".steps=" not in str(arguments[i])])
        if chance.random() < 0.3:
            del arguments[place]
        else:
            arguments[place] = chance.choice(odd)
        wrong = _impolite(sclgan(*arguments))
        return f"{arguments}: {wrong}" if wrong else ""

    return trial


def _impolite(ended: Ended) -> str:
    """What is wrong with how a command ended, or nothing."""
    if "Traceback" in ended.err:
        return f"a traceback: {ended.err.strip().splitlines()[-1]}"
    if ended.code not in (0, 1, 2):
        return f"exit code {ended.code}"
    if "\x1b" in ended.out + ended.err:
        return "an escape sequence reached the terminal"
    if ended.code == 1 and not any(line.startswith("sclgan") for line in ended.err.splitlines()):
        return "it failed without a word"
    return ""


def tried(trial: Trial, number: int, seed: int, title: str) -> list[str]:
    """What was wrong, attempt by attempt; attempts that were right are left out."""
    wrong = []
    for attempt in range(number):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            try:
                said = trial(random.Random(f"{seed} {title} {attempt}"), Path(folder))
            except Exception as error:
                said = f"it raised {error!r}"
        print(f"{title}: {attempt + 1}/{number} {said}", file=sys.stderr, flush=True)
        wrong += [said] if said else []
    return wrong


def table(rows: Sequence[tuple[str, int, list[str]]], call: str) -> str:
    """The results in Markdown."""
    lines = ["# Faults tried", "", f"`{call}`", "", "| kind | tried | right | wrong |", "|---|---|---|---|"]
    lines += [f"| {title} | {number} | {number - len(wrong)} | {len(wrong)} |" for title, number, wrong in rows]
    return (
        "\n".join([*lines, "", *(f"- {title}: {said}" for title, _, wrong in rows for said in wrong)]).rstrip() + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=6, help="Kills with and as many without worker processes.")
    parser.add_argument("--disks", type=int, default=6, help="Full disks.")
    parser.add_argument("--files", type=int, default=40, help="Damaged files.")
    parser.add_argument("--commands", type=int, default=60, help="Odd command lines.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file to write.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCLGAN_CACHE"] = str(Path(folder) / "cache")
        run, began = Path(folder) / "run", time.monotonic()
        subprocess.run(command(run), check=True, capture_output=True)
        seconds, whole = time.monotonic() - began, final_weights(run)
        kinds: list[tuple[str, int, Trial]] = [
            ("kill at a random moment", given.kills, killed(0, seconds, whole)),
            ("kill with two worker processes", given.kills, killed(2, seconds, whole)),
            ("full disk", given.disks, on_a_full_disk(whole)),
            ("damaged file of a run, four commands", given.files, damaged(run)),
            ("odd command line", given.commands, odd_command(run)),
        ]
        rows = [(title, number, tried(trial, number, given.seed, title)) for title, number, trial in kinds]
    numbers = f"--kills {given.kills} --disks {given.disks} --files {given.files} --commands {given.commands}"
    text = table(rows, f"python scripts/campaign.py {numbers} --seed {given.seed}")
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
