"""Feature extractors of the metrics: 8-bit pictures to feature vectors, resize included.

Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (arXiv 2104.11222): the resize
and the quantisation move the values as much as a year of research, so they belong to the extractor.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan.encoders.lite0 import Lite0
from sclgan.encoders.lite2 import Lite2
from sclgan.features.networks import (
    VIT_B_32,
    VIT_L_14,
    CLIPExtractor,
    DINOExtractor,
    InceptionExtractor,
    LiteExtractor,
    prepare_clean,
    prepare_legacy,
    prepare_tf1,
)


@runtime_checkable
class Extractor(Protocol):
    """A frozen network between pictures and a metric."""

    @property
    def name(self) -> str: ...

    @property
    def weights_sha256(self) -> str: ...

    @property
    def num_features(self) -> int: ...

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Float32 features on the CPU; each row depends on its own image alone."""
        ...


@runtime_checkable
class Classifier(Extractor, Protocol):
    """An extractor whose features its own network can classify, as the Inception-Score form needs."""

    def probabilities(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]: ...


@runtime_checkable
class Matcher(Extractor, Protocol):
    """An extractor that puts captions into the space of its features."""

    def texts(self, captions: Sequence[str]) -> Float[Tensor, "b d"]: ...


_TF = partial(InceptionExtractor, weights="inception-2015", poolings="tensorflow")
_TORCHVISION = partial(InceptionExtractor, weights="inception-torchvision", poolings="torchvision")
_FROM_FILES: Mapping[str, partial[Any]] = {
    "inception@tf1": partial(_TF, prepare=prepare_tf1),
    "inception@clean": partial(_TF, prepare=prepare_clean),
    "inception@t2i_legacy": partial(_TORCHVISION, prepare=prepare_legacy),
    "clip-vit-b-32": partial(CLIPExtractor, weights="clip-vit-b-32", sizes=VIT_B_32),
    "clip-vit-l-14": partial(CLIPExtractor, weights="clip-vit-l-14", sizes=VIT_L_14),
    "dino-resnet-50": partial(DINOExtractor, weights="dino-resnet-50"),
}

CUB_CLASSIFIER = (
    "StackGAN's classifier of 50 bird classes is a TensorFlow 1 checkpoint (birds_valid299/model.ckpt, linked from "
    "https://github.com/hanzhanggit/StackGAN-inception-model), which this package cannot read, and another network's "
    "score would not be comparable: save 30,000 pictures as PNG and run inception_score.py of that page on them"
)


def _cub_classifier(*, device: torch.device | None = None) -> NoReturn:
    del device
    raise FileNotFoundError(CUB_CLASSIFIER)


EXTRACTORS: Mapping[str, Callable[..., Extractor]] = MappingProxyType(
    {
        "lite0@128": partial(LiteExtractor, Lite0),
        "lite2@128": partial(LiteExtractor, Lite2),
        "inception-cub": _cub_classifier,
        **{name: partial(extractor, name) for name, extractor in _FROM_FILES.items()},
    }
)
"""By name, as protocols give it; called with `device=...`."""


def weights_of(extractor: str) -> str | None:
    """The file that an extractor needs, by its name in `weights.FILES`; None where none is needed."""
    return str(_FROM_FILES[extractor].keywords["weights"]) if extractor in _FROM_FILES else None
