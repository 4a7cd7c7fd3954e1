"""Load named tensors into a module strictly: differences are named, and nothing is loaded in part."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")
COUNTER = ".num_batches_tracked"
MOST_NAMED = 5
"""The largest number of tensors of each kind (missing, unexpected, of another shape) that an error names."""


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: str | Path,
    *,
    network: str | None = None,
    ignored_prefixes: tuple[str, ...] = (),
    counters_optional: bool = False,
    device: torch.device = CPU,
    advice: str = "",
) -> None:
    """Copies the tensors of `state` into the module, in the precision of the module.

    `source` is the file that the tensors are from, `network` what the module is called in the error (its class, if
    not given), `advice` a sentence that says what to do. The other arguments are those of `mismatches`. A module that
    was built on the device "meta" gets its memory here, on `device`, in the same memory format.

    Raises:
        ValueError: a tensor is missing, unexpected, or of another shape or kind; see `summary`.
    """
    found = mismatches(module, state, ignored_prefixes=ignored_prefixes, counters_optional=counters_optional)
    if found:
        count = "1 tensor differs" if len(found) == 1 else f"{len(found)} tensors differ"
        expected = network or f"the {type(module).__name__}"
        raise ValueError(f"{source} does not fit {expected}: {count}: {summary(found)}{advice and f'. {advice}'}")
    own = {name: x for name, x in module.state_dict().items() if not name.startswith(ignored_prefixes)}
    if not any(x.is_meta for x in own.values()):
        module.load_state_dict({name: state[name] for name in own.keys() & state.keys()}, strict=False)
        return
    made = {  # not `to_empty`, which imports a quarter of a second of symbolic algebra
        name: torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device=device).copy_(
            state.get(name, torch.zeros((), dtype=x.dtype))
        )
        for name, x in own.items()
    }
    module.load_state_dict(made, strict=False, assign=True)


def mismatches(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    ignored_prefixes: tuple[str, ...] = (),
    counters_optional: bool = False,
) -> list[str]:
    """A line for each tensor that is missing, unexpected, or of another shape or kind (real, whole or true-false).

    Names that begin with `ignored_prefixes` are neither expected nor loaded. With `counters_optional` the counters of
    batches of BatchNorm may be missing, as in files of PyTorch before 0.4.1: networks in evaluation do not read them.
    """
    own, given = (
        {name: x for name, x in tensors.items() if not name.startswith(ignored_prefixes)}
        for tensors in (module.state_dict(), state)
    )
    missing = [name for name in own.keys() - given.keys() if not (counters_optional and name.endswith(COUNTER))]
    lines = [f"missing {name}" for name in sorted(missing)]
    lines += [f"unexpected {name}" for name in sorted(given.keys() - own.keys())]
    for name in sorted(own.keys() & given.keys()):
        if given[name].shape != own[name].shape:
            lines.append(f"{name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}")
        elif _kind(given[name]) != _kind(own[name]):
            lines.append(f"{name} is {given[name].dtype}, not {own[name].dtype}")
    return lines


def summary(lines: Sequence[str]) -> str:
    """The lines of `mismatches` in one. Of another network, hundreds differ: of a kind, `MOST_NAMED` are named."""
    kinds: dict[str, list[str]] = {"missing": [], "unexpected": [], "": []}
    for line in lines:
        word = line.partition(" ")[0]
        kinds[word if word in kinds else ""].append(line)
    return "; ".join(
        "; ".join(of_kind[:MOST_NAMED])
        + (f" and {len(of_kind) - MOST_NAMED} more {kind}".rstrip() if len(of_kind) > MOST_NAMED else "")
        for kind, of_kind in kinds.items()
        if of_kind
    )


def _kind(tensor: Tensor) -> tuple[bool, bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex(), tensor.dtype == torch.bool
