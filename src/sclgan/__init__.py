"""Text-to-image GANs with label-guided supervised contrastive learning.

Liu, Zhang, Zhang, Li, Pan: "A Framework For Image Synthesis Using Supervised Contrastive Learning", ICPR 2024
(arXiv 2412.03957).

    generator = sclgan.from_pretrained("runs/scl")
    pictures = generator("a red apple on a white background", num_images=4, seed=3)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sclgan.runs.pretrained import from_pretrained

__version__ = "0.1.0"
__all__ = ["__version__", "from_pretrained"]


def __getattr__(name: str) -> Any:
    """`from_pretrained`, when it is asked for: importing the package must not wait for torch."""
    if name == "from_pretrained":
        from sclgan.runs.pretrained import from_pretrained

        return from_pretrained
    raise AttributeError(f"module 'sclgan' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), "from_pretrained"])
