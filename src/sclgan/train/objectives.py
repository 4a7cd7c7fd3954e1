"""Watching for divergence without making the host wait for a GPU: objectives are kept there and looked at seldom.

On one CPU nothing is won by waiting: there `step.descend` looks at once, before anything is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan import distributed


class DivergedError(FloatingPointError):
    """A loss or a weight is NaN or infinite; `step` is where that was first, if it is not the step at hand."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


@dataclass(frozen=True)
class _Seen:
    step: int
    network: str
    loss: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]]


class Objectives:
    """The objectives since the last check, still on the device.

    Weights may be lost when a check refuses: the loop checks before it calls a hook or writes anything.
    """

    def __init__(self) -> None:
        self.step = 0
        """The step at hand, which the loop sets."""
        self._seen: list[_Seen] = []

    def add(self, network: str, loss: Float[Tensor, ""], terms: Mapping[str, Float[Tensor, ""]]) -> None:
        """Adds an objective of the step at hand; refused at once where the host waits for nothing and nobody.

        Raises:
            DivergedError: it is not finite.
        """
        one = _Seen(self.step, network, loss.detach(), {name: value.detach() for name, value in terms.items()})
        if loss.device.type != "cpu" or distributed.world_size() > 1:
            self._seen.append(one)
        elif not torch.isfinite(one.loss):
            raise DivergedError(_said(network, "", {name: float(value) for name, value in one.terms.items()}))

    def check(self) -> None:
        """Looks at what was added since the last call; every rank calls it, and all of them refuse together.

        Raises:
            DivergedError: names the first step, network and rank whose objective is not finite.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return
        finite = torch.stack([one.loss for one in seen]).isfinite()
        by_rank = distributed.gather_rows(finite[None].to(torch.uint8)).tolist()
        wrong = [(place, rank) for rank, flags in enumerate(by_rank) for place, flag in enumerate(flags) if not flag]
        if not wrong:
            return
        place, rank = min(wrong)
        values = distributed.gather_objects({name: float(value) for name, value in seen[place].terms.items()})[rank]
        where = f" on rank {rank}" if len(by_rank) > 1 else ""
        raise DivergedError(_said(seen[place].network, where, values), seen[place].step)


def _said(network: str, where: str, values: Mapping[str, float]) -> str:
    return f"the loss of the {network} is not finite{where}: " + ", ".join(f"{k} = {v:g}" for k, v in values.items())
