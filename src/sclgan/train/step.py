"""What the steps of both phases share: one optimizer step on a table of terms, and frozen modules."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.distributed import average_gradients
from sclgan.losses.terms import total


class DivergedError(FloatingPointError):
    """A loss is not finite. The weights are those before the step."""


def descend(
    optimizer: torch.optim.Optimizer,
    terms: Mapping[str, Float[Tensor, ""]],
    weights: Mapping[str, float],
    *,
    clip: tuple[Sequence[nn.Parameter], float] | None = None,
) -> dict[str, Tensor]:
    """One optimizer step on the weighted terms, with gradients averaged over ranks; returns the terms, detached.

    `clip` is a group of parameters and the largest norm that its gradient may have.

    Raises:
        DivergedError: a term is NaN or infinite; nothing was changed.
        ValueError: terms and weights do not name the same things.
    """
    loss = total(terms, weights)
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} = {float(value.detach()):g}" for name, value in terms.items())
        raise DivergedError(f"the loss is not finite: {values}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(p for group in optimizer.param_groups for p in group["params"])
    if clip is not None:
        nn.utils.clip_grad_norm_(*clip)
    optimizer.step()
    return {name: value.detach() for name, value in terms.items()}


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
