"""Kills, full disks, damaged files and odd command lines, tried on tiny runs: what must hold whatever happens.

    python scripts/campaign.py --out docs/faults.md            # some minutes on two cores
    python scripts/campaign.py --kills 11 --disks 7 --files 50 --commands 178 --journal faults.jsonl    # hours

Prints a table, and writes it with `--out`. With `--journal`, each attempt is recorded, and the repeated command goes on
where it was stopped. A kill or a full disk is right if the repeated command ends with the same bits as an undisturbed
one. A damaged file or an odd command line is right if the command ends by itself, with exit code 0, 1 or 2, without a
traceback, and, where it fails, with one line that says why; if it takes no more than some memory and executes nothing
that a file holds; and if no escape sequence reaches the terminal. The choices follow from `--seed`.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import campaign_files as files
from campaign_files import Trial, impolite

import photos_on_disk
from command_line import APPLE, Ended, sclgan
from runs import SCL, final_weights, small_fields
from test_distributed import ranks_of

FIELDS = small_fields(SCL, "pretraining.steps=6", "training.steps=6")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def command(out: Path, *more: str, ranks: int = 1) -> list[str]:
    """The training whose disturbance is tried."""
    launcher = TORCHRUN if ranks > 1 else ()
    return [sys.executable, *launcher, "-m", "sclgan", "train", SCL, *FIELDS, "--out", str(out), *more]


def differences(run: Path, whole: dict[str, torch.Tensor]) -> str:
    """The tensors of a run that are not those of the undisturbed one, in words."""
    found = final_weights(run)
    if found.keys() != whole.keys():
        return "other tensors than the undisturbed run"
    different = [name for name in whole if not torch.equal(found[name], whole[name])]
    return f"{len(different)} tensors differ, such as {different[0]}" if different else ""


def repeated(out: Path, whole: dict[str, torch.Tensor], *more: str, ranks: int = 1) -> str:
    """Repeats the command undisturbed; what is wrong with the run that it ends with."""
    ended = subprocess.run(command(out, *more, ranks=ranks), capture_output=True, text=True, check=False)
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


def rank_killed(seconds: float, whole: dict[str, torch.Tensor]) -> Trial:
    """Kills one of two ranks at a random moment, or both and their launcher."""

    def trial(chance: random.Random, folder: Path) -> str:
        with subprocess.Popen(
            command(folder / "run", ranks=2), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(chance.uniform(0.3, 1) * seconds)
            ranks = ranks_of(process.pid)
            alone = chance.choice([(), (0,), (1,)])
            for one in [ranks[rank] for rank in alone if rank in ranks] or [process.pid, *ranks.values()]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            process.communicate(timeout=120)  # the other rank ends by itself
        return repeated(folder / "run", whole, ranks=2)

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
        return impolite(Ended(ended.returncode, ended.stdout, ended.stderr)) or repeated(folder / "run", whole)

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
        wrong = impolite(sclgan(*arguments), quotes="\x1b[2J" in arguments)
        return f"{arguments}: {wrong}" if wrong else ""

    return trial


class Journal:
    """What was wrong with each attempt, or nothing, on the disk if a file is given; each is made once."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self._said: dict[str, str] = dict(map(json.loads, lines))

    def made(self, name: str, trial: Trial) -> str:
        """The outcome of an attempt, made now if it is not recorded; its random numbers follow from its name."""
        if name not in self._said:
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                try:
                    said = trial(random.Random(name), Path(folder))
                except Exception as error:
                    said = f"it raised {error!r}"
            self._said[name] = said
            if self._path:
                with self._path.open("a") as file:
                    file.write(json.dumps([name, said]) + "\n")
            print(f"{name}: {said or 'right'}", file=sys.stderr, flush=True)
        return self._said[name]


def table(rows: Sequence[tuple[str, int, list[str]]], call: str) -> str:
    """The results in Markdown."""
    lines = ["# Faults tried", "", f"`{call}`", "", "| kind | tried | right | wrong |", "|---|---|---|---|"]
    lines += [f"| {title} | {number} | {number - len(wrong)} | {len(wrong)} |" for title, number, wrong in rows]
    return (
        "\n".join([*lines, "", *(f"- {title}: {said}" for title, _, wrong in rows for said in wrong)]).rstrip() + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4, help="Kills of each kind: none and two workers, two ranks.")
    parser.add_argument("--disks", type=int, default=6, help="Full disks.")
    parser.add_argument("--files", type=int, default=12, help="Damaged files of each kind.")
    parser.add_argument("--commands", type=int, default=60, help="Odd command lines.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--journal", type=Path, help="File that records each attempt (JSON lines), to go on with.")
    parser.add_argument("--out", type=Path, help="Markdown file to write.")
    given = parser.parse_args()
    journal = Journal(given.journal and given.journal.absolute())
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SCLGAN_CACHE"] = str(folder / "cache")
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        seconds, whole = whole_run(folder / "run")
        seconds_of_two, whole_of_two = whole_run(folder / "two", ranks=2) if given.kills else (0.0, {})
        pictures = photos_on_disk.own_pictures(folder / "pictures")
        pack, published = files.write_pack(folder), files.write_published(folder / "published")
        statistics = files.write_statistics(pictures, folder / "statistics")
        kinds: list[tuple[str, int, Trial]] = [
            ("odd command line", given.commands, odd_command(folder / "run")),
            ("damaged file of a run", given.files, files.damaged(folder / "run", files.run_commands(FIELDS))),
            ("damaged file of a pack", given.files, files.damaged(pack, files.pack_commands)),
            ("damaged picture or table", given.files, files.damaged(pictures, files.picture_commands(statistics))),
            ("damaged statistics", given.files, files.damaged(statistics, files.statistics_commands(pictures))),
            ("damaged published weights", given.files, files.damaged(published, files.published_commands)),
            ("kill", given.kills, killed(0, seconds, whole)),
            ("kill with two worker processes", given.kills, killed(2, seconds, whole)),
            ("kill of one or both of two ranks", given.kills, rank_killed(seconds_of_two, whole_of_two)),
            ("full disk", given.disks, on_a_full_disk(whole)),
        ]
        rows = []
        for title, number, trial in kinds:
            said = [journal.made(f"{given.seed} {title} {attempt}", trial) for attempt in range(number)]
            rows.append((title, number, [wrong for wrong in said if wrong]))
    numbers = f"--kills {given.kills} --disks {given.disks} --files {given.files} --commands {given.commands}"
    text = table(rows, f"python scripts/campaign.py {numbers} --seed {given.seed}")
    print(text)
    if given.out:
        given.out.write_text(text)


def whole_run(out: Path, ranks: int = 1) -> tuple[float, dict[str, torch.Tensor]]:
    """Seconds and weights of an undisturbed run."""
    began = time.monotonic()
    subprocess.run(command(out, ranks=ranks), check=True, capture_output=True)
    return time.monotonic() - began, final_weights(out)


if __name__ == "__main__":
    main()
