"""Extractors on random weights in the published layouts, against the networks and preparations of others."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import Inception3, resnet50
from torchvision.transforms.functional import normalize, to_tensor

from sclgan.encoders.clip import DEVIATION, MEAN
from sclgan.features.networks import IMAGENET_DEVIATION, IMAGENET_MEAN, VIT_L_14, CLIPExtractor, prepare_clean
from sclgan.features.registry import EXTRACTORS, Classifier, Matcher
from weight_files import inception_state, put, randomised

BICUBIC = Image.Resampling.BICUBIC


def pixels(num_images: int, size: int) -> Tensor:
    """Pictures with shapes in them: smooth noise."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.rand(num_images, 3, 9, 9, generator=generator)
    fine = nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    return (fine * 255).byte()


def resized(images: Tensor, size: int, filter: Image.Resampling) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), filter) for image in images]


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest value."""
    assert expected.std() > 0.01 * expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.fixture(scope="module")
def ported() -> dict[str, Tensor]:
    return inception_state(1008, auxiliary=False)


def test_inception_of_the_literature(
    ported: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(monkeypatch, tmp_path, "inception-2015", ported)
    extractor = EXTRACTORS["inception@tf1"](device=None)
    assert isinstance(extractor, Classifier)
    assert len(extractor.weights_sha256) == 64
    theirs = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    images = pixels(2, 256)
    features, (expected, logits) = extractor(images), theirs(images)
    assert_equal(features, expected)
    torch.testing.assert_close(extractor.probabilities(features), logits.softmax(1), rtol=1e-4, atol=1e-7)


def test_preparation_of_clean_fid() -> None:
    """Each channel in floating point through Pillow, clamped."""
    for size in (64, 299, 400):
        images = pixels(1, size)
        planes = [
            np.asarray(Image.fromarray(plane.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
            for plane in images[0].numpy()
        ]
        expected = (torch.from_numpy(np.stack(planes)).clamp(0, 255)[None] - 128) / 128
        torch.testing.assert_close(prepare_clean(images), expected, rtol=0, atol=1e-6)


def test_legacy_of_text_to_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's network, whose own `transform_input` is meant for normalised pictures and gets [0, 1]."""
    state = inception_state(1000, auxiliary=True)
    put(monkeypatch, tmp_path, "inception-torchvision", state)
    theirs = Inception3(transform_input=True, init_weights=False)
    theirs.load_state_dict(state)
    theirs.fc = nn.Identity()
    images = pixels(2, 256)
    inputs = torch.stack([to_tensor(picture) for picture in resized(images, 299, Image.Resampling.BILINEAR)])
    with torch.no_grad():
        expected = theirs.eval()(inputs)
    assert_equal(EXTRACTORS["inception@t2i_legacy"](device=None)(images), expected)


def test_dino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = randomised(resnet50(weights=None))
    theirs.fc = nn.Identity()
    put(monkeypatch, tmp_path, "dino-resnet-50", theirs.state_dict())
    images = pixels(2, 256)
    inputs = [normalize(to_tensor(p), IMAGENET_MEAN, IMAGENET_DEVIATION) for p in resized(images, 224, BICUBIC)]
    with torch.no_grad():
        expected = theirs(torch.stack(inputs))
    assert_equal(EXTRACTORS["dino-resnet-50"](device=None)(images), expected)
    put(monkeypatch, tmp_path, "dino-resnet-50", resnet50(weights=None).state_dict())
    with pytest.raises(ValueError, match="does not fit DINO's ResNet-50"):
        EXTRACTORS["dino-resnet-50"](device=None)


SMALL = {"code_size": 16, "num_text_blocks": 2, "num_text_heads": 2}
SMALL |= {"image_size": 32, "patch_size": 8, "image_width": 24, "num_image_blocks": 2, "num_image_heads": 2}


def test_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against open_clip: its encoders, its tokens, its preparation of a Pillow picture."""
    theirs = open_clip.model.CLIP(
        16,
        {"layers": 2, "width": 24, "head_width": 12, "patch_size": 8, "image_size": 32},
        {"width": 16, "heads": 2, "layers": 2},
        quick_gelu=True,
    ).eval()
    put(monkeypatch, tmp_path, "clip-vit-b-32", theirs.state_dict())
    extractor = CLIPExtractor("clip-vit-b-32", weights="clip-vit-b-32", sizes=SMALL)
    assert isinstance(extractor, Matcher)
    assert extractor.num_features == 16
    images, captions = pixels(3, 64), ["a red bird", "a small white dog " * 40, "x"]
    inputs = torch.stack([normalize(to_tensor(p), MEAN, DEVIATION) for p in resized(images, 32, BICUBIC)])
    with torch.no_grad():
        assert_equal(extractor(images), theirs.encode_image(inputs))
        for _ in range(2):  # the second time from memory
            assert_equal(extractor.texts(captions), theirs.encode_text(open_clip.tokenize(captions)))
        assert_equal(extractor.texts(captions[:1]), theirs.encode_text(open_clip.tokenize(captions[:1])))


def test_sizes_of_the_second_tower_are_those_of_the_library() -> None:
    config = open_clip.get_model_config("ViT-L-14-quickgelu")
    image, text = config["vision_cfg"], config["text_cfg"]
    assert dict(VIT_L_14) == {
        "code_size": config["embed_dim"],
        "num_text_heads": text["heads"],
        "patch_size": image["patch_size"],
        "image_width": image["width"],
        "num_image_blocks": image["layers"],
        "num_image_heads": image["width"] // 64,
    }
    assert (text["width"], text["layers"], text["context_length"], image["image_size"]) == (768, 12, 77, 224)


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, tmp_path, "inception-2015", {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="does not fit Inception-v3: 473 tensors differ"):
        EXTRACTORS["inception@tf1"](device=None)
