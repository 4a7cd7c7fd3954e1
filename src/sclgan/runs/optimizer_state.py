"""The state of optimizers in a checkpoint, checked against the parameters before fused kernels write into it."""

from collections.abc import Mapping

import torch
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")


def load_state(optimizer: torch.optim.Optimizer, name: str, saved: object) -> None:
    """Fills the optimizer with the moments of `saved`; learning rates and betas stay those of the recipe.

    Raises:
        ValueError: `saved` is not the state of an Adam of these parameters; `name` names the optimizer.
    """
    moments = _checked(optimizer, name, saved)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _checked(optimizer: torch.optim.Optimizer, name: str, saved: object) -> dict[int, dict[str, Tensor]]:
    if not isinstance(saved, Mapping) or not isinstance(saved.get("state"), Mapping):
        raise ValueError(f"optimizer '{name}' is not the state of an optimizer")
    own = optimizer.state_dict()["param_groups"]
    groups = saved.get("param_groups")
    if not isinstance(groups, list) or [_places(group) for group in groups] != [_places(group) for group in own]:
        raise ValueError(f"optimizer '{name}' is of other groups of parameters")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, moments in saved["state"].items():
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(parameters):
            raise ValueError(f"optimizer '{name}' has a state for parameter {place!r}, of {len(parameters)}")
        if wrong := _wrong(moments, parameters[place]):
            raise ValueError(f"optimizer '{name}', parameter {place}: {wrong}")
    return dict(saved["state"])


def _places(group: object) -> object:
    return group.get("params") if isinstance(group, Mapping) else None


def _wrong(moments: object, parameter: Tensor) -> str:
    """Why these are not Adam's moments of a parameter; empty where they are."""
    if not isinstance(moments, Mapping) or moments.keys() != {"step", *MOMENTS}:
        return f"it does not hold step, {' and '.join(MOMENTS)}"
    for name, shape in (("step", torch.Size()), *((moment, parameter.shape) for moment in MOMENTS)):
        value = moments[name]
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
            return f"{name} is not a tensor of numbers"
        if value.shape != shape:
            return f"{name} is {tuple(value.shape)}, not {tuple(shape)}"
        if value.dtype != (torch.float32 if name == "step" else parameter.dtype):
            return f"{name} is {value.dtype}, not {parameter.dtype}"
    return ""
