"""Text-to-image GANs with label-guided supervised contrastive learning.

Liu, Zhang, Zhang, Li, Pan: "A Framework For Image Synthesis Using Supervised Contrastive Learning", ICPR 2024
(arXiv 2412.03957).

    generator = sclgan.from_pretrained("runs/scl")
    pictures = generator("a red apple on a white background", num_images=4, seed=3)

The names of the package are `from_pretrained`, `losses` (the losses as functions of tensors) and `__version__`. The
first two are imported when they are used, since importing the package must not wait for torch.
"""

TYPE_CHECKING = False  # `typing` itself would be most of the time of the import
if TYPE_CHECKING:
    from sclgan import losses
    from sclgan.runs.pretrained import from_pretrained

__version__ = "0.1.0"
__all__ = ["__version__", "from_pretrained", "losses"]


def __getattr__(name: str) -> object:
    if name == "from_pretrained":
        from sclgan.runs.pretrained import from_pretrained

        return from_pretrained
    if name == "losses":
        import sclgan.losses

        return sclgan.losses
    raise AttributeError(f"module 'sclgan' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
