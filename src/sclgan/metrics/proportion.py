"""A share of independent pictures, with Wilson's interval (Wilson 1927)."""

import math

from sclgan.metrics.estimate import Estimate


def proportion(num_right: int, num_counted: int, what: str) -> Estimate:
    """`num_right` of `num_counted`, with Wilson's 95 % interval; `what` names in the plural what was counted."""
    from scipy.special import ndtri  # scipy.stats has the interval, and takes half a second to import

    n, share, z = num_counted, num_right / num_counted, float(ndtri(0.975))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    interval = (max(middle - half, 0.0), min(middle + half, 1.0))
    return Estimate(share, interval, f"95 % Wilson interval over {n} {what}")
