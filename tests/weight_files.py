"""Random weights in the place of published ones, for tests."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import Inception3

from sclgan.weights import registry as weights


def put(monkeypatch: pytest.MonkeyPatch, folder: Path, key: str, state: dict[str, Tensor]) -> Path:
    """Saves `state` as the weights `key` in the folder that the package looks into; its hash becomes the known one."""
    monkeypatch.setenv(weights.ENVIRONMENT, str(folder))
    known = weights.FILES[key]
    path = folder / next(iter(known.names))
    torch.save(state, path)
    names = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setattr(weights, "FILES", {**weights.FILES, key: replace(known, names=names)})
    return path


def randomised(network: nn.Module) -> nn.Module:
    """Weights that keep the size of activations, with statistics of BatchNorm that matter; in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                nn.init.uniform_(tensor, low, high, generator=generator)
    return network.eval()


def inception_state(num_classes: int, *, auxiliary: bool) -> dict[str, Tensor]:
    """In the layout of torchvision's file, with the auxiliary classifier or as the port of TensorFlow's, without."""
    return randomised(Inception3(num_classes=num_classes, aux_logits=auxiliary, init_weights=False)).state_dict()
