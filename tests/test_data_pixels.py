"""Floats in [-1, 1] to 8 bits."""

import pytest
import torch

from sclgan.data.pixels import to_8_bits


def test_values_are_rounded_and_clipped_and_every_level_returns() -> None:
    image = torch.tensor([-2.0, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 2.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert to_8_bits(image)[0, 0, 0].tolist() == [0, 0, 0, 1, 255, 255]
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_8_bits(levels.float() / 127.5 - 1), levels)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_generator_that_diverged_draws_no_black_picture(value: float) -> None:
    images = torch.zeros(3, 3, 2, 2)
    images[1, 0, 1, 1] = value
    with pytest.raises(ValueError, match="1 of 3 drawn pictures hold NaN or infinity: the generator has diverged"):
        to_8_bits(images)
