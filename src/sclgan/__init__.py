"""Text-to-image GANs with label-guided supervised contrastive learning.

Liu, Zhang, Zhang, Li, Pan: "A Framework For Image Synthesis Using Supervised Contrastive Learning", ICPR 2024
(arXiv 2412.03957).
"""

__version__ = "0.1.0"
