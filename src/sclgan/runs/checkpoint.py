"""Checkpoints: a folder a step, whole or absent. Weights as safetensors; the rest as a file of plain tensors."""

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
from sclgan.weights.loading import CPU, load_strictly

NUM_KEPT = 2


def save(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    progress: Mapping[str, float],
) -> None:
    """Writes `folder`/step_00000123 and removes all but the newest two.

    Raises:
        OSError: it cannot be written, as on a full disk; those before are untouched.
    """
    state = {
        "step": step,
        "progress": dict(progress),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)  # in memory: torch's own file writer does not say that the disk is full
    try:
        with replaced(folder / f"step_{step:08d}") as temporary:
            temporary.mkdir()
            for name, module in modules.items():
                save_weights(temporary / f"{name}.safetensors", module)
            (temporary / "state.pt").write_bytes(buffer.getbuffer())
    except OSError as error:
        raise OSError(
            f"the checkpoint of step {step} could not be written to {folder} ({error}); "
            "those before it are whole: make room and repeat the command"
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
    """The checkpoint called "last" (the newest), "best" (see `save_best`) or by its step, if it is there.

    Raises:
        ValueError: it is called otherwise.
    """
    if name == "last":
        return latest(folder)
    if name != "best" and not name.isdecimal():
        raise ValueError(f"no checkpoint is called '{name}': write last, best or a step, such as 4000")
    path = folder / (name if name == "best" else f"step_{int(name):08d}")
    return path if path.is_dir() else None


def save_best(folder: Path, generator: nn.Module, score: Mapping[str, Any]) -> None:
    """Writes `folder`/best: the averaged generator, and what it scored as best.json; replaces the one before.

    Raises:
        OSError: it cannot be written, as on a full disk; the one before is untouched.
    """
    with replaced(folder / "best") as temporary:
        temporary.mkdir()
        save_weights(temporary / "averaged_generator.safetensors", generator)
        (temporary / "best.json").write_text(json.dumps(dict(score)) + "\n")


def best_score(folder: Path) -> dict[str, Any] | None:
    """What the best checkpoint scored: step, protocol, value; None without one."""
    path = folder / "best" / "best.json"
    return json.loads(path.read_text()) if path.exists() else None


def remove_partial(folder: Path) -> None:
    """Removes what a killed process left half-written."""
    for path in folder.glob(".*.partial"):
        shutil.rmtree(path)


def restore(
    checkpoint: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Loads a checkpoint into modules and optimizers; returns what else `save` was given, with the step."""
    for name, module in modules.items():
        load_weights(checkpoint / f"{name}.safetensors", module)
    path = checkpoint / "state.pt"
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
    except (OSError, RuntimeError, KeyError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): remove its folder to continue from the checkpoint before"
        ) from error
    return {"step": state["step"], **state["progress"]}


def save_weights(path: Path, module: nn.Module) -> None:
    """The module's weights as safetensors. A frozen backbone is left out: it is public, and the recipe names it."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in own_state(module).items()}, path)
    except SafetensorError as error:  # which is no OSError, also where the disk is full
        raise OSError(f"{path.name}: {error}") from error


def load_weights(path: Path, module: nn.Module) -> None:
    """Loads what `save_weights` wrote, strictly.

    Raises:
        ValueError: the file is damaged, or its tensors are not the module's; all that differ are named.
    """
    fill(module, read_weights(path), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the checkpoint is not whole, or it is one of another kind")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error})") from error


def fill(
    module: nn.Module, given: Mapping[str, Tensor], path: Path, *, from_meta_to: torch.device | None = None
) -> None:
    """Copies tensors into the module, strictly but for a frozen backbone's; they take the precision of the module.

    A module that was built on the device "meta" gets its memory here, on the device `from_meta_to`, laid out alike.

    Raises:
        ValueError: they are not the module's; all that differ are named, with the file that they are from.
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
