"""Numbers from the literature, to be read beside ours and never in one column with them.

Each has its source and, as far as it is known, the protocol that it was measured by.
"""

from dataclasses import dataclass

DMGAN_README = "DM-GAN's README"
SSAGAN_README = "SSA-GAN's README"
GALIP_README = "GALIP's README"
T2I_CL = "Ye et al. 2021 (T2I_CL)"
METHOD = "Liu et al. 2024, abstract"

IS_CUB = "Inception score, network of 50 bird classes: `inception_score_cub`"
IS_COCO = "Inception score: `inception_score`"
FID_TF = "FID, TensorFlow's Inception: `fid`"
FID_TORCHVISION = "FID, torchvision's Inception: `fid_t2i_legacy`"
FID_PAPER = "FID, the paper's own code"
FID_AUGMENTED = "FID against statistics of augmented test pictures: `fid_t2i_legacy` with their file"


@dataclass(frozen=True)
class Published:
    """A number as its source prints it."""

    model: str
    data: str
    protocol: str
    value: str
    source: str


GAINS: tuple[tuple[str, float, tuple[float, ...]], ...] = (
    ("AttnGAN", 0.301, (35.49, 33.99)),
    ("DM-GAN", 0.273, (32.64, 26.55)),
    ("SSA-GAN", 0.162, (19.37,)),
    ("GALIP", 0.171, (5.85, 5.01)),
)
"""COCO: the gain that the method's paper reports, and the published FIDs that it may refer to, since which one is not
known: those of the papers and of released weights below; for AttnGAN's second that of T2I_CL, 23.93 / (1 - 0.296)."""

PUBLISHED = (
    Published("AttnGAN", "cub", IS_CUB, "4.36", DMGAN_README),
    Published("AttnGAN", "cub", FID_TORCHVISION, "23.98", DMGAN_README),
    Published("AttnGAN", "cub", FID_TF, "14.01", DMGAN_README),
    Published("DM-GAN, paper", "cub", IS_CUB, "4.75", DMGAN_README),
    Published("DM-GAN, paper", "cub", FID_TORCHVISION, "16.09", DMGAN_README),
    Published("DM-GAN, released weights", "cub", IS_CUB, "4.71", DMGAN_README),
    Published("DM-GAN, released weights", "cub", FID_TORCHVISION, "15.34", DMGAN_README),
    Published("DM-GAN, released weights", "cub", FID_TF, "11.91", DMGAN_README),
    Published("SSA-GAN", "cub", IS_CUB, "5.17", SSAGAN_README),
    Published("SSA-GAN", "cub", FID_TF, "15.61", SSAGAN_README),
    Published("GALIP", "cub", FID_AUGMENTED, "10.08", GALIP_README),
    Published("AttnGAN + CL", "cub", IS_CUB, "4.42", T2I_CL),
    Published("AttnGAN + CL", "cub", FID_PAPER, "16.34", T2I_CL),
    Published("DM-GAN + CL", "cub", IS_CUB, "4.77", T2I_CL),
    Published("DM-GAN + CL", "cub", FID_PAPER, "14.38", T2I_CL),
    Published("AttnGAN", "coco", IS_COCO, "25.89", DMGAN_README),
    Published("AttnGAN", "coco", FID_TORCHVISION, "35.49", DMGAN_README),
    Published("AttnGAN", "coco", FID_TF, "29.53", DMGAN_README),
    Published("DM-GAN, paper", "coco", IS_COCO, "30.49", DMGAN_README),
    Published("DM-GAN, paper", "coco", FID_TORCHVISION, "32.64", DMGAN_README),
    Published("DM-GAN, released weights", "coco", IS_COCO, "32.43", DMGAN_README),
    Published("DM-GAN, released weights", "coco", FID_TORCHVISION, "26.55", DMGAN_README),
    Published("DM-GAN, released weights", "coco", FID_TF, "24.24", DMGAN_README),
    Published("SSA-GAN", "coco", FID_TF, "19.37", SSAGAN_README),
    Published("GALIP, paper", "coco", FID_TORCHVISION, "5.85", GALIP_README),
    Published("GALIP, released weights", "coco", FID_TORCHVISION, "5.01", GALIP_README),
    Published("AttnGAN + CL", "coco", FID_PAPER, "23.93", T2I_CL),
    Published("DM-GAN + CL", "coco", FID_PAPER, "20.79", T2I_CL),
    *(
        Published(
            f"{model} + the method",
            "coco",
            "change of FID against the plain GAN; in brackets the FID that it would give, by the baseline",
            f"-{gain:.1%} ({' or '.join(f'{baseline * (1 - gain):.3g} from {baseline}' for baseline in baselines)})",
            METHOD,
        )
        for model, gain, baselines in GAINS
    ),
)
