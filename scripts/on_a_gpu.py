"""Everything worth knowing from a machine with a GPU that is had for an hour: checks, step times, rows of the table.

    python scripts/on_a_gpu.py results.json --minutes 60 --wheels wheels     # a GPU, Python, torch; no network
    python scripts/on_a_gpu.py results.json --dry                            # on a CPU, tiny: does the script work?

Made before, on a machine with a network and the same Python: `pip download -d wheels '.[dev]' hatchling`, and a copy
of the repository. Each part is a process of its own, so that one that crashes leaves the others; results are written
after each. A part that failed says why in its "error".
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GANS = ("attngan", "dmgan", "ssagan", "galip")
FORMS = {
    "float32": (),
    "tf32": ("training.tf32=true", "training.cudnn_benchmark=true"),
    "bfloat16": ("training.precision=bfloat16",),
}
"""The ways to compute a step that are timed."""
WARM_UP, TIMED = 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="JSON to write.")
    parser.add_argument("--minutes", type=float, default=60, help="Time for all parts; what is left goes to the table.")
    parser.add_argument("--wheels", type=Path, help="Folder of wheels to install from first.")
    parser.add_argument("--runs", type=Path, default=Path("gpu-table"), help="Folder of the table's runs.")
    parser.add_argument("--dry", action="store_true", help="Tiny, on any machine, without the table.")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, *given = arguments.part
        named: dict[str, Callable[..., object]] = {"time": step_time, "collectives": collectives, "about": about}
        print(json.dumps(named[name](*given)))
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    if arguments.wheels is not None:
        command = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(arguments.wheels)]
        subprocess.run([*command, f"{ROOT}[dev]"], check=True)
    results: dict[str, Any] = {}
    for name, part in parts(dry=arguments.dry):
        began = time.monotonic()
        results[name] = {**part(max(1.0, deadline - began)), "seconds": round(time.monotonic() - began, 1)}
        print(name, json.dumps(results[name]), flush=True)
        write(arguments.out, results)
    if not arguments.dry:
        results["table"] = table(arguments.runs, deadline - time.monotonic())
        write(arguments.out, results)
    failed = [name for name, found in results.items() if "error" in found]
    print(f"{arguments.out}: {len(results) - len(failed)} parts done" + (f", failed: {failed}" if failed else ""))
    sys.exit(bool(failed))


def write(path: Path, results: dict[str, Any]) -> None:
    """The results so far, whole or as before."""
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(json.dumps(results, indent=1) + "\n")
    beside.replace(path)


Part = Callable[[float], dict[str, Any]]
"""A part of the session; it is given the seconds that it may take."""


def parts(*, dry: bool) -> list[tuple[str, Part]]:
    """The parts in the order of their worth."""
    tests = ["tests/test_device_real.py", "tests/test_distributed_device.py"]
    found: list[tuple[str, Part]] = [
        ("about", partial(this_script, part=("about",))),
        ("collectives", partial(this_script, part=("collectives",))),
        ("device tests", lambda seconds: pytest(seconds, *(["--collect-only", tests[0]] if dry else tests))),
    ]
    size, gans, forms = ("tiny", GANS[2:3], ["float32"]) if dry else ("full", GANS, list(FORMS))
    for gan in gans:
        for form in forms:
            found.append((f"{gan} {form}", partial(this_script, part=("time", gan, form, size))))
    return found


def run(seconds: float, command: Sequence[str], **environment: str) -> tuple[str, dict[str, Any]]:
    """What a command printed, and its error if it failed."""
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, env=os.environ | environment
        )
    except subprocess.TimeoutExpired:
        return "", {"error": f"not done after {seconds:.0f} s"}
    return ended.stdout, {"error": ended.stderr[-2000:] or ended.stdout[-2000:]} if ended.returncode else {}


def this_script(seconds: float, *, part: Sequence[str]) -> dict[str, Any]:
    """A part of this script in a process of its own."""
    printed, error = run(seconds, [sys.executable, str(Path(__file__).resolve()), "-", "--part", *part])
    return error or dict(json.loads(printed.splitlines()[-1]))


def pytest(seconds: float, *arguments: str) -> dict[str, Any]:
    """Tests, and their last line."""
    printed, error = run(seconds, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments])
    return error or {"said": printed.splitlines()[-1]}


def table(folder: Path, seconds: float) -> dict[str, Any]:
    """As many rows of the paper's table as the time allows; repeat the command that is printed to go on."""
    command = ["sclgan", "table", "main", "--data", "emoji", "--seeds", "1", "--budget", "200000", "--out", str(folder)]
    if seconds < 60:
        return {"left out": f"{seconds:.0f} s are left", "command": " ".join(command)}
    _, error = run(seconds, [sys.executable, "-m", *command])
    return {
        "command": " ".join(command),
        "runs": sorted(str(p.parent) for p in folder.rglob("evaluations.jsonl")),
        **error,
    }


def about() -> dict[str, Any]:
    """The machine."""
    import torch

    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__, "cores": os.cpu_count()}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpus": torch.cuda.device_count(),
            "gpu": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def collectives() -> dict[str, Any]:
    """Every collective that the package uses, in a group of one process: NCCL where there is a GPU, else gloo."""
    import socket

    import torch
    import torch.distributed as dist

    from sclgan import distributed

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    distributed.initialise()
    device = distributed.device()
    x = torch.arange(6.0, device=device).view(2, 3)
    gathered: list[object] = [None]
    for move in (
        lambda: dist.all_reduce(x),
        lambda: dist.all_gather([torch.empty_like(x)], x),
        lambda: dist.broadcast(x, 0),
        lambda: dist.all_gather_object(gathered, {"rank": 0}),
        dist.barrier,
    ):
        move()
    intact = bool((x.cpu() == torch.arange(6.0).view(2, 3)).all())
    backend = dist.get_backend()
    distributed.shut_down()
    return {
        "backend": backend,
        "device": str(device),
        "intact": intact,
        **({} if intact else {"error": "values moved"}),
    }


def step_time(gan: str, form: str, size: str) -> dict[str, Any]:
    """Milliseconds of a step of GAN training with the method, and its memory, at the recipe's size."""
    import statistics

    import torch

    from sclgan import distributed
    from sclgan.data.pairs import PairedBatches
    from sclgan.distributed import arithmetic
    from sclgan.recipe_fields import override
    from sclgan.recipes import recipe
    from sclgan.runs.encoders import encoders_class
    from sclgan.train.batches import training_batches
    from sclgan.train.pretraining import new_encoders
    from sclgan.train.training import new_phase

    made = recipe(f"{gan}_emoji_scl")
    warm_up, timed = WARM_UP, TIMED
    if size == "tiny":
        sys.path.insert(0, str(ROOT / "tests"))
        from tiny import tiny

        made, warm_up, timed = tiny(made), 1, 1
    made = override(made, FORMS[form])
    source = made.source("test")
    tokenizer = encoders_class(made).tokenizer.of(source.captions(), max_words=made.max_words)
    encoders = new_encoders(made, tokenizer, num_labels=1).requires_grad_(False).eval()
    phase, _ = new_phase(made, encoders)
    batches = training_batches(made, source, tokenizer, made.training, None)
    assert isinstance(batches, PairedBatches)  # not a stream
    batch = batches[0].to(distributed.device())
    on_gpu = distributed.device().type == "cuda"
    milliseconds = []
    for step in range(1, warm_up + timed + 1):
        began = time.perf_counter()
        with arithmetic(distributed.device(), tf32=made.training.tf32, cudnn_benchmark=made.training.cudnn_benchmark):
            phase.step(batch, step)
        if on_gpu:
            torch.cuda.synchronize()
        milliseconds.append(1000 * (time.perf_counter() - began))
    phase.objectives.check()
    pictures = made.training.batch_size * made.training.num_views
    found = {"first_ms": milliseconds[0], "ms": statistics.median(milliseconds[warm_up:]), "pictures": pictures}
    if on_gpu:
        found["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
