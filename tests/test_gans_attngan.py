"""AttnGAN: the paper's numbers of parameters. What it shares with DM-GAN is in `test_gans_stacked.py`."""

from typing import Any

import torch

from reference import PoolingStub
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.attngan import AttnGAN


def num_parameters(**keywords: Any) -> list[int]:
    with torch.device("meta"):
        gan = AttnGAN(DAMSM(20, PoolingStub), **keywords)
    return [sum(p.numel() for p in module.parameters()) for module in (gan.generator, *gan.discriminator)]


def test_full_width_has_the_papers_number_of_parameters() -> None:
    assert num_parameters(ngf=32, ndf=64) == [7_084_592, 6_313_730, 19_424_002, 71_858_946]  # birds
    assert num_parameters(ngf=48, ndf=96, num_residual_blocks=3) == [13_811_456, 13_304_450, 42_800_258, 160_774_274]
