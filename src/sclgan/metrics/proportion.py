"""A share of independent pictures, with Wilson's interval (Wilson 1927)."""

from sclgan.metrics.estimate import Estimate


def proportion(num_right: int, num_counted: int, what: str) -> Estimate:
    """`num_right` of `num_counted`, with Wilson's 95 % interval; `what` names in the plural what was counted."""
    from scipy.stats import binomtest  # half a second that no other command should pay

    low, high = binomtest(num_right, num_counted).proportion_ci(0.95, method="wilson")
    kind = f"95 % Wilson interval over {num_counted} {what}"
    return Estimate(num_right / num_counted, (float(low), float(high)), kind)
