"""A share of independent pictures with its interval.

Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
"""

from sclgan.metrics.statistics import Estimate


def proportion(num_right: int, num_counted: int, what: str) -> Estimate:
    """`num_right` of `num_counted`, with Wilson's 95 % interval; `what` names in plural what was counted."""
    n, share, z = num_counted, num_right / num_counted, 1.96
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return Estimate(share, (max(0.0, centre - half), min(1.0, centre + half)), f"95 % Wilson interval over {n} {what}")
