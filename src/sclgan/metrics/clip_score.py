"""CLIP score: how near a picture is to its caption in CLIP's space.

Hessel et al. 2021, "CLIPScore", Eq. 1, without their factor 2.5 and their clamp at 0, which hide the cosine. Tao et
al. 2023 (GALIP) print 100 times the cosine.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sclgan.metrics.estimate import Estimate


def clip_score(image_codes: Float[Tensor, "n d"], text_codes: Float[Tensor, "n d"]) -> Estimate:
    """The mean cosine of each picture and its caption, in [-1, 1]; interval +- 1.96 standard errors.

    Raises:
        ValueError: there are no rows; a code is not finite.
    """
    if len(image_codes) == 0:
        raise ValueError("no picture to compare with its caption was given")
    if not (image_codes.isfinite().all() and text_codes.isfinite().all()):
        raise ValueError("a code is NaN or infinite: look at the generator's output before measuring it")
    images, texts = (codes.detach().cpu().double() for codes in (image_codes, text_codes))
    cosines = F.cosine_similarity(images, texts, dim=1)
    mean = float(cosines.mean())
    if len(cosines) == 1:
        return Estimate(mean)
    half = 1.96 * float(cosines.std()) / len(cosines) ** 0.5
    return Estimate(mean, (mean - half, mean + half), f"95 %, standard error over {len(cosines)} pictures")
