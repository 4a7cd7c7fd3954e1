"""DAMSM's encoders: captions of any order, refused captions, a trunk that stays as it is."""

import pytest
import torch
from torch import Tensor, nn

from sclgan.data.types import Captions
from sclgan.encoders.base import Backbone
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.base import Fake, TextToImageGAN
from sclgan.gans.ssagan import SSAGAN


class Trunk(nn.Module):
    """A small trunk with batch normalisation and dropout, whose statistics must not move."""

    region_channels = 4
    pooled_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Dropout(0.5))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(image)
        return x, x.mean((2, 3))


def make() -> DAMSM:
    torch.manual_seed(0)
    return DAMSM(12, Trunk, code_size=8, embedding_size=6)


CAPTIONS = Captions(torch.tensor([[3, 0, 0, 0], [1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([1, 4, 2]))


def test_every_caption_is_encoded_as_if_alone() -> None:
    damsm = make().eval()
    together = damsm.encode_text(CAPTIONS)
    assert together.words.shape == (3, 8, 4)
    assert together.mask.tolist() == [[True, False, False, False], [True] * 4, [True, True, False, False]]
    for row, length in enumerate([1, 4, 2]):
        alone = damsm.encode_text(Captions(CAPTIONS.tokens[row : row + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(together.sentence[row], alone.sentence[0])
        torch.testing.assert_close(together.words[row, :, :length], alone.words[0])
        assert not together.words[row, :, length:].any()


@pytest.mark.parametrize("lengths", [[1, 0, 2], [1, 5, 2]])
def test_captions_of_impossible_length_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"1 to 4 words, rows \[1\] have"):
        make().encode_text(Captions(CAPTIONS.tokens, torch.tensor(lengths)))


def test_odd_code_size_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even, got 7"):
        DAMSM(12, Trunk, code_size=7)


def test_the_trunk_stays_as_it_is() -> None:
    damsm = make().train()
    before = {key: value.clone() for key, value in damsm.image_encoder.backbone.state_dict().items()}
    image = torch.randn(3, 3, 16, 16)
    codes = damsm.encode_image(image)
    terms = damsm.matching_terms(damsm.encode_text(CAPTIONS), codes, torch.arange(3))
    (terms["words"] + terms["sentence"]).backward()
    for key, value in damsm.image_encoder.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in damsm.image_encoder.backbone.parameters())
    assert all(p.grad is not None and p.grad.any() for p in damsm.trainable_parameters())
    torch.testing.assert_close(codes.regions, damsm.eval().encode_image(image).regions)


def test_image_codes_are_differentiable_in_the_image() -> None:
    damsm = make().eval().requires_grad_(False)
    image = torch.randn(1, 3, 16, 16, requires_grad=True)
    codes = damsm.encode_image(image)
    (codes.image.sum() + codes.regions.sum()).backward()
    assert image.grad is not None
    assert image.grad.any()


def test_parameters_are_told_apart() -> None:
    damsm = make()
    trainable, text = damsm.trainable_parameters(), damsm.text_parameters()
    assert len(text) == 1 + 8
    assert len(trainable) == len(text) + 3
    assert isinstance(damsm.image_encoder.backbone, Backbone)
    kept = [key for key in damsm.state_dict() if not key.startswith(damsm.frozen_prefixes)]
    assert len(kept) == len(trainable)


def test_whether_pairs_of_one_label_are_rivals_is_said_once_for_both_phases() -> None:
    """Masked or not, in pre-training and in the GAN phase; with labels that all differ it makes no difference."""
    damsm = make().eval()
    gans: list[TextToImageGAN] = [
        SSAGAN(damsm, nf=2, z_dim=4, image_size=32),
        AttnGAN(damsm, ngf=2, ndf=2, image_size=32, num_stages=2, z_dim=4, condition_dim=4, num_residual_blocks=1),
    ]
    damsm.requires_grad_(False)
    text, shared, own = damsm.encode_text(CAPTIONS), torch.tensor([0, 1, 0]), torch.arange(3)

    def terms(gan: TextToImageGAN | None, labels: Tensor) -> list[float]:
        if gan is None:
            found = damsm.matching_terms(text, damsm.encode_image(IMAGES), labels)
        else:
            fake = Fake(
                (torch.nn.functional.interpolate(IMAGES, 16), IMAGES) if isinstance(gan, AttnGAN) else (IMAGES,)
            )
            found = gan.generator_terms(fake, gan.embed(fake), text, labels)
        return [float(found[name].detach()) for name in ("words", "sentence")]

    for gan in (None, *gans):
        damsm.mask_same_label = True
        masked, apart = terms(gan, shared), terms(gan, own)
        assert all(one < other for one, other in zip(masked, apart, strict=True))
        damsm.mask_same_label = False
        assert terms(gan, shared) == apart


IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
