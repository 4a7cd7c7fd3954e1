"""One optimizer step on a table of terms, frozen modules and finite weights: shared by the steps of both phases."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.distributed import average_gradients
from sclgan.losses.terms import total
from sclgan.train.objectives import DivergedError, Objectives


def descend(
    optimizer: torch.optim.Optimizer,
    terms: Mapping[str, Float[Tensor, ""]],
    weights: Mapping[str, float],
    *,
    network: str,
    objectives: Objectives,
    clip: tuple[Sequence[nn.Parameter], float] | None = None,
    accumulated: bool = False,
) -> dict[str, Tensor]:
    """One optimizer step on the weighted terms, with gradients averaged over ranks; returns the terms, detached.

    `network` is whose loss it is, for the error; `objectives` watches over it. `clip` is a group of parameters and the
    largest norm that its gradient may have. With `accumulated` the gradients are there already.

    Raises:
        DivergedError: a term is NaN or infinite, and this is a single process on a CPU; nothing was changed.
        ValueError: terms and weights do not name the same things.
    """
    loss = total(terms, weights)
    objectives.add(network, loss, terms)
    if not accumulated:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(p for group in optimizer.param_groups for p in group["params"])
    if clip is not None:
        nn.utils.clip_grad_norm_(*clip)
    optimizer.step()
    return {name: value.detach() for name, value in terms.items()}


def check_finite(modules: Mapping[str, nn.Module]) -> None:
    """Refuses weights, or running statistics, that are NaN or infinite, before they are saved or drawn with.

    Raises:
        DivergedError: names the module and its tensors.
    """
    for name, module in modules.items():
        tensors = {key: x for key, x in module.state_dict().items() if x.is_floating_point()}
        if tensors and not torch.stack([x.isfinite().all() for x in tensors.values()]).all():
            wrong = [key for key, x in tensors.items() if not x.isfinite().all()]
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DivergedError(f"weights of the {name.replace('_', ' ')} are not finite: {', '.join(wrong[:3])}{more}")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within it no gradient is computed for the module's parameters; gradients still flow through it."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)
