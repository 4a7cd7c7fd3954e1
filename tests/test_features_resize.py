"""The resizes against the programs whose names they bear."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from sclgan.features.resize import Filter, pillow, tf1_bilinear

FILTERS: dict[Filter, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def pixels(height: int, width: int, num_images: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(height + width)
    return torch.randint(0, 256, (num_images, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (224, 224), (256, 256), (299, 299), (512, 512), (90, 400)])
def test_tensorflow_1(height: int, width: int) -> None:
    images = pixels(height, width)
    expected = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(299, 299), align_corners=False)
    torch.testing.assert_close(tf1_bilinear(images, 299), expected, rtol=0, atol=5e-5)  # of 255


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (224, 224), (256, 256), (299, 299), (512, 512), (90, 400)])
def test_pillow(height: int, width: int, filter: Filter) -> None:
    images = pixels(height, width, 1)
    picture = images[0].permute(1, 2, 0).numpy()
    for size in (224, 299):
        eight_bit = np.asarray(Image.fromarray(picture).resize((size, size), FILTERS[filter]))
        found = pillow(images, size, filter=filter, quantised=True)[0].permute(1, 2, 0)
        assert np.array_equal(found.numpy(), eight_bit)
        for channel in range(3):
            plane = Image.fromarray(picture[..., channel].astype(np.float32)).resize((size, size), FILTERS[filter])
            found = pillow(images, size, filter=filter, quantised=False)[0, channel]
            np.testing.assert_allclose(found.numpy(), np.asarray(plane), rtol=0, atol=1e-4)  # of 255
