"""The Inception-v3 trunk: shapes, torchvision's own features, weights from a file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import Inception3

from sclgan.encoders.base import Backbone
from sclgan.encoders.inception import InceptionTrunk
from sclgan.weights import registry


@pytest.fixture(scope="module")
def network() -> Inception3:
    torch.manual_seed(0)
    return Inception3(transform_input=False, init_weights=False).eval()


@pytest.fixture(scope="module")
def weights(network: Inception3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("align_corners", [False, True])
def test_features_are_torchvisions(network: Inception3, weights: Path, align_corners: bool) -> None:
    found: dict[str, torch.Tensor] = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *args, name=name: found.update({name: args[2]}))
        for name in ("Mixed_6e", "avgpool")
    ]
    trunk = InceptionTrunk(weights, align_corners=align_corners).eval()
    assert isinstance(trunk, Backbone)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        network(F.interpolate(image, (299, 299), mode="bilinear", align_corners=align_corners))
        regions, pooled = trunk(image)
    for hook in hooks:
        hook.remove()
    assert regions.shape == (1, 768, 17, 17)
    assert pooled.shape == (1, 2048)
    torch.testing.assert_close(regions, found["Mixed_6e"])
    torch.testing.assert_close(pooled, found["avgpool"].flatten(1))


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1), "layer1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not fit torchvision's Inception-v3") as error:
        InceptionTrunk(tmp_path / "other.pth")
    assert "unexpected layer1.weight" in str(error.value)
    (tmp_path / "other.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"other\.pth is not a whole file of weights|other\.pth does not hold weights"):
        InceptionTrunk(tmp_path / "other.pth")


def test_the_weights_are_those_of_the_registry_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.ENVIRONMENT, str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"get https://.*pth .* encoders\.backbone\.weights=FILE"):
        InceptionTrunk("imagenet")
    (needed,) = InceptionTrunk.needed_files("imagenet")
    assert needed.put == f"put it in {tmp_path / 'weights'}"
    expected = tmp_path / "hub" / "checkpoints" / needed.name
    expected.parent.mkdir(parents=True)
    expected.touch()
    with pytest.raises(ValueError, match=r"inception_v3_google-0cc3c7bd\.pth has SHA-256"):
        InceptionTrunk("imagenet")
