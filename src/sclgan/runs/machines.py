"""The machines and versions that a run was trained with: `machines.jsonl` has a JSON line per start of a phase."""

import json
import logging
import platform
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

import sclgan
from sclgan import distributed
from sclgan.runs.json_files import parsed_object

log = logging.getLogger(__name__)

MACHINES = "machines.jsonl"


def machine() -> str:
    """The accelerator, or the processor and the number of threads used on it."""
    if torch.cuda.is_available():
        return f"{distributed.world_size()} x {torch.cuda.get_device_name()}"
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else []
    return f"{models[0] if models else platform.processor()}, threads: {torch.get_num_threads()}"


def versions() -> dict[str, str]:
    """The versions of what moves numbers."""
    return {
        "sclgan": sclgan.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def record_machine(folder: Path, step: int) -> None:
    """Appends this machine, on which the run goes on from `step`; only rank 0 writes."""
    if distributed.rank() == 0:
        line = {"step": step, "machine": machine(), "versions": versions()}
        with (folder / MACHINES).open("a") as file:
            file.write(json.dumps(line) + "\n")


def machines_of(folder: Path) -> list[dict[str, Any]]:
    """The records of a run in order, empty for one of before they were kept; lines that are none are left out."""
    path = folder / MACHINES
    records = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        kinds = {"step": int, "machine": str, "versions": dict}
        try:
            records.append(parsed_object(line, kinds, where=f"{path}:{number}", advice="this line is left out"))
        except ValueError as error:
            log.warning("%s", error)
    return records
