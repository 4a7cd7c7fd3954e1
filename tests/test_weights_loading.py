"""Strict loading of named tensors: what differs is named, and a module on "meta" gets its memory."""

import pytest
import torch
from torch import nn

from sclgan.weights.loading import load_strictly


def network(device: str = "cpu") -> nn.Sequential:
    with torch.device(device):
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_everything_that_differs_is_named_at_once_and_nothing_is_loaded() -> None:
    module, state = network(), network().state_dict()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    del state["1.num_batches_tracked"]
    state |= {"2.weight": torch.zeros(1, 4), "0.bias": torch.zeros(3, dtype=torch.int64), "extra": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"^a\.pt does not fit the Sequential: 4 tensors differ: ") as caught:
        load_strictly(module, state, "a.pt", advice="Get it again")
    for line in (
        "missing 1.num_batches_tracked",
        "unexpected extra",
        r"2.weight is (1, 4), not (1, 3)",
        "0.bias is torch.int64, not torch.float32",
        ". Get it again",
    ):
        assert line in str(caught.value)
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())


def test_of_another_network_some_tensors_of_each_kind_are_named_and_all_counted() -> None:
    state = {f"unknown.{number:02}": torch.zeros(1) for number in range(30)}
    with pytest.raises(ValueError, match=r"39 tensors differ: missing 0\.bias; .* unexpected unknown\.00; ") as caught:
        load_strictly(network(), state, "a.pt")
    assert str(caught.value).endswith("unexpected unknown.04 and 25 more unexpected")


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors_take_the_precision_and_the_memory_of_the_module(device: str) -> None:
    module, state = network(device), network().state_dict()
    half = {name: x.half() if x.is_floating_point() else x for name, x in state.items()}
    counter = half.pop("1.num_batches_tracked")
    load_strictly(module, half | {"head.weight": counter}, "a", ignored_prefixes=("head.",), counters_optional=True)
    loaded = module.state_dict()
    assert torch.equal(loaded.pop("1.num_batches_tracked"), counter)
    assert all(torch.equal(x, half[name].float()) for name, x in loaded.items())
    assert all(parameter.requires_grad for parameter in module.parameters())
