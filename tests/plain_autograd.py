"""A backward pass in plain Python: PyTorch's own engine asks the driver of a GPU for its streams, fake tensors or not.

Every node of the graph is called once, when the gradients of all its outputs are there; what its inputs get is reduced
to their shapes and types, as the engine does. Hooks are not called.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

Place = tuple[Any, int]
"""A node and the number of one of its outputs."""


def run_backward(
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] = (),
    allow_unreachable: bool = False,
    *,
    accumulate_grad: bool,
) -> tuple[Tensor | None, ...]:
    """In place of `torch.autograd._engine_run_backward`."""
    del retain_graph, allow_unreachable
    roots, wanted = [_place(x) for x in tensors], [_place(x) for x in inputs]
    needed = _leading_to({node for node, _ in wanted}, [node for node, _ in roots]) if inputs else None
    arrived: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    for (node, number), gradient in zip(roots, gradients, strict=True):
        if gradient is not None:
            _add(arrived[node], number, gradient)
    found: dict[Place, Tensor] = {}
    with torch.set_grad_enabled(create_graph):
        for node in _in_order([node for node, _ in roots], needed):
            given = arrived.pop(node, {})
            found |= {place: given[place[1]] for place in wanted if place[0] is node and place[1] in given}
            is_leaf = type(node).__name__ == "AccumulateGrad"
            if not given or (is_leaf and not accumulate_grad):
                continue
            outputs = [given.get(number) for number in range(len(node._input_metadata))]
            results = node.apply(*outputs) if hasattr(node, "apply") else node(*outputs)
            results = results if isinstance(results, tuple) else (results,)
            for (child, number), gradient in zip(node.next_functions, results, strict=False):
                if child is not None and gradient is not None and (needed is None or child in needed):
                    _add(arrived[child], number, _as_expected(gradient, child._input_metadata[number]))
    return tuple(found.get(place) for place in wanted)


def _place(x: Tensor) -> Place:
    edge = get_gradient_edge(x)
    return edge.node, edge.output_nr


def _add(given: dict[int, Tensor], number: int, gradient: Tensor) -> None:
    given[number] = given[number] + gradient if number in given else gradient


def _as_expected(gradient: Tensor, of: Any) -> Tensor:
    assert gradient.device == of.device, f"a gradient is on {gradient.device}, its tensor on {of.device}"
    return gradient.sum_to_size(of.shape).to(of.dtype)


def _in_order(roots: Sequence[Any], needed: set[Any] | None) -> list[Any]:
    """The nodes below the roots, each after all that it gets gradients from."""
    order: list[Any] = []
    seen: set[Any] = set()
    stack = [(root, False) for root in roots]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif node not in seen and (needed is None or node in needed):
            seen.add(node)
            stack.append((node, True))
            stack += [(child, False) for child, _ in node.next_functions if child is not None]
    return order[::-1]


def _leading_to(ends: set[Any], roots: Sequence[Any]) -> set[Any]:
    """The nodes below the roots from which an end is reached."""
    needed: set[Any] = set()
    for node in reversed(_in_order(roots, None)):
        if node in ends or any(child in needed for child, _ in node.next_functions):
            needed.add(node)
    return needed
