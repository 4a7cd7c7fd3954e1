"""Checkpoints: a folder per step, whole or absent. Weights as safetensors; the rest as a file of plain tensors."""

import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sclgan.files import replaced
from sclgan.runs.json_files import is_kind, read_object
from sclgan.runs.optimizer_state import load_state
from sclgan.weights.loading import CPU, load_strictly

NUM_KEPT = 2


def save(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    seconds: float,
) -> None:
    """Writes `folder`/step_00000123, `seconds` being those spent so far, and removes all but the newest two.

    Raises:
        OSError: it cannot be written, as on a full disk; earlier ones are untouched.
    """
    state = {
        "step": step,
        "progress": {"seconds": seconds},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)  # in memory: torch's own file writer does not report a full disk
    try:
        with replaced(folder / f"step_{step:08d}") as temporary:
            temporary.mkdir()
            for name, module in modules.items():
                save_weights(temporary / f"{name}.safetensors", module)
            (temporary / "state.pt").write_bytes(buffer.getbuffer())
    except OSError as error:
        raise OSError(
            f"the checkpoint of step {step} could not be written to {folder} ({error}); "
            "earlier ones are whole: make room and repeat the command"
        ) from error
    for old in steps(folder)[:-NUM_KEPT]:
        shutil.rmtree(folder / f"step_{old:08d}")


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, in order."""
    found = [re.fullmatch(r"step_(\d{8})", path.name) for path in folder.glob("step_*")]
    return sorted(int(match[1]) for match in found if match)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint, if there is one."""
    found = steps(folder)
    return folder / f"step_{found[-1]:08d}" if found else None


def named(folder: Path, name: str) -> Path | None:
    """The checkpoint of that name: "last" (the newest), "best" (see `save_best`) or a step; None where there is none.

    Raises:
        ValueError: the name is none of these.
    """
    if name == "last":
        return latest(folder)
    if name != "best" and not name.isdecimal():
        raise ValueError(f"no checkpoint has the name '{name}': write last, best or a step, such as 4000")
    path = folder / (name if name == "best" else f"step_{int(name):08d}")
    return path if path.is_dir() else None


def save_best(folder: Path, generator: nn.Module, score: Mapping[str, Any]) -> None:
    """Writes `folder`/best: the averaged generator, and its score as best.json; replaces the previous one.

    Raises:
        OSError: it cannot be written, as on a full disk; the previous one is untouched.
    """
    with replaced(folder / "best") as temporary:
        temporary.mkdir()
        save_weights(temporary / "averaged_generator.safetensors", generator)
        (temporary / "best.json").write_text(json.dumps(dict(score)) + "\n")


def best_score(folder: Path) -> dict[str, Any] | None:
    """The score of the best checkpoint: step, protocol, value and which is better; None without one.

    Raises:
        ValueError: best.json is damaged.
    """
    path = folder / "best" / "best.json"
    if not path.exists():
        return None
    advice = f"remove {path.parent}; the next evaluation in training writes it anew"
    score = read_object(path, {"step": int, "protocol": str, "value": float, "better": str}, advice=advice)
    if score["better"] not in ("lower", "higher") or score["step"] < 0:
        raise ValueError(f"{path}: 'better' must be lower or higher, and 'step' at least 0: {advice}")
    return score


def restore(
    checkpoint: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> tuple[int, float]:
    """Loads a checkpoint into modules and optimizers; returns its step and the seconds spent until then.

    Learning rates stay those of the optimizers as they are: the recipe's.

    Raises:
        FileNotFoundError: a file of the checkpoint is missing.
        ValueError: a file is damaged or belongs to other networks; it is named.
    """
    path = checkpoint / "state.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {_WITHOUT}")
    try:
        state = _read_state(path)
        for name, optimizer in optimizers.items():
            load_state(optimizer, name, state["optimizers"].get(name))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}): {_WITHOUT}") from error
    for name, module in modules.items():
        load_weights(checkpoint / f"{name}.safetensors", module)
    return state["step"], state["progress"]["seconds"]


_WITHOUT = "remove its folder to continue from the previous checkpoint"


def _read_state(path: Path) -> dict[str, Any]:
    """The content of a state.pt, with the types that `save` wrote."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # damaged files end in almost any error
        raise ValueError(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else error!r}") from error
    if not isinstance(state, dict):
        raise ValueError(f"it holds {type(state).__name__}, not step, progress and optimizers")
    step, progress = state.get("step"), state.get("progress")
    if not is_kind(step, int) or f"step_{step:08d}" != path.parent.name:
        raise ValueError(f"its step is {step!r}, and its folder {path.parent.name}")
    if not isinstance(progress, dict) or not is_kind(progress.get("seconds"), float):
        raise ValueError("it does not say how many seconds were spent")
    if not isinstance(state.get("optimizers"), dict):
        raise ValueError("it has no optimizers")
    return state


def save_weights(path: Path, module: nn.Module, metadata: dict[str, str] | None = None) -> None:
    """Writes the module's weights as safetensors. A frozen trunk is left out: it is public, and the recipe names it."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in own_state(module).items()}, path, metadata)
    except SafetensorError as error:  # not an OSError, even where the disk is full
        raise OSError(f"{path.name}: {error}") from error


def load_weights(path: Path, module: nn.Module) -> None:
    """Loads what `save_weights` wrote, strictly.

    Raises:
        ValueError: the file is damaged, or its tensors are not those of the module; all that differ are named.
    """
    fill(module, read_weights(path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the checkpoint is incomplete, or of another kind")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error})") from error


def fill(
    module: nn.Module, given: Mapping[str, Tensor], path: Path, *, from_meta_to: torch.device | None = None
) -> None:
    """Copies tensors into the module, strictly but for a frozen backbone's; the precision is the module's.

    A module that was built on the device "meta" gets its memory here, on the device `from_meta_to`, in the same layout.

    Raises:
        ValueError: the tensors are not those of the module; all that differ are named, with their file.
    """
    load_strictly(
        module,
        given,
        path,
        network=f"the {type(module).__name__} of the recipe",
        ignored_prefixes=_frozen_prefixes(module),
        device=from_meta_to or CPU,
    )


def own_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's state without a frozen backbone's: what a checkpoint holds."""
    frozen = _frozen_prefixes(module)
    return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(frozen)}


def _frozen_prefixes(module: nn.Module) -> tuple[str, ...]:
    return tuple(getattr(module, "frozen_prefixes", ()))
