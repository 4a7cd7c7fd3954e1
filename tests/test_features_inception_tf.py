"""Inception-v3 with random weights in the published layouts, against the networks of torch-fidelity and torchvision."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import Inception3

from sclgan.features import inception_tf
from sclgan.features.inception_tf import Inception
from sclgan.features.resize import tf1_bilinear
from weight_files import inception_state


@pytest.fixture(scope="module")
def ported() -> dict[str, Tensor]:
    return inception_state(1008, auxiliary=False)


def images(num_images: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randint(0, 256, (num_images, 3, size, size), dtype=torch.uint8, generator=generator)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest value."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_features_and_logits_are_those_of_torch_fidelity(ported: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(ported, tmp_path / "weights.pth")
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased", "logits"],
        feature_extractor_weights_path=str(tmp_path / "weights.pth"),
    )
    ours = Inception(ported, poolings="tensorflow")
    with torch.no_grad():
        for size in (64, 224, 256, 299, 512):
            pictures = images(1, size)
            features = ours((tf1_bilinear(pictures, 299) - 128) / 128)
            expected = theirs(pictures)
            assert expected[0].std() > 0.1 * expected[0].abs().max() > 0
            assert_equal(features, expected[0])
            assert_equal(ours.logits(features, bias=False), expected[1])
            assert_equal(ours.logits(features, bias=True), expected[2])


def test_torchvision_poolings_are_those_of_torchvision() -> None:
    state = inception_state(1000, auxiliary=True)
    theirs = Inception3(transform_input=False, init_weights=False)
    theirs.load_state_dict(state)
    theirs.eval()
    ours = Inception(state, poolings="torchvision")
    pictures = images(1, 299).float() / 127.5 - 1
    with torch.no_grad():
        assert_equal(ours.logits(ours(pictures), bias=True), theirs(pictures))


def test_rows_are_independent_and_the_plain_convolution_computes_the_same(
    ported: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an accelerator runs is the plain one."""
    network = Inception(ported, poolings="tensorflow")
    pictures = images(3, 299).float() / 127.5 - 1
    with torch.no_grad():
        together = network(pictures)
        assert_equal(network(pictures[2:]), together[2:])
        monkeypatch.setattr(inception_tf, "_ONEDNN", False)
        assert_equal(network(pictures), together)


def test_files_of_before_the_counter_of_batches_load(ported: dict[str, Tensor]) -> None:
    old = {name: value for name, value in ported.items() if not name.endswith("num_batches_tracked")}
    a, b = (Inception(state, poolings="tensorflow") for state in (ported, old))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_other_networks_are_refused(ported: dict[str, Tensor]) -> None:
    other = dict(ported)
    del other["Mixed_5b.branch1x1.conv.weight"]
    other["extra"] = torch.zeros(1)
    other["fc.weight"] = torch.zeros(1008, 3)
    expected = r"3 tensors differ: missing Mixed_5b\.branch1x1\.conv\.weight; unexpected extra; fc\.weight is"
    with pytest.raises(ValueError, match=expected):
        Inception(other, poolings="tensorflow")
