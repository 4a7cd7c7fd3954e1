"""Statistics over seeds: the mean with its interval, and whether two rows differ.

Student 1908, "The Probable Error of a Mean". The distribution is in closed form for whole degrees of freedom
(Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
"""

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
FEWEST = 3
"""Seeds below which no test is made: over two a difference must be 13 of its standard errors to count."""


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval in which the mean over all seeds lies with this confidence; None of fewer than two values.

    mean +- t(confidence, n - 1) s / sqrt(n)
    """
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    half = _quantile(confidence, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def paired_test(values: Sequence[float], others: Sequence[float]) -> float | None:
    """The two-sided p-value of Student's paired test that both rows have one mean; None below `FEWEST` pairs.

    t = mean(d) / (s(d) / sqrt(n)),   d_i = values_i - others_i of one seed

    Equal differences, whose s is 0, give 1 where they are 0 and 0 where they are not.
    """
    differences = [value - other for value, other in zip(values, others, strict=True)]
    if len(differences) < FEWEST:
        return None
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation == 0:
        return float(mean == 0)
    return 1 - within(abs(mean) / deviation * math.sqrt(len(differences)), len(differences) - 1)


def within(t: float, degrees: int) -> float:
    """The probability that Student's t with so many degrees of freedom is at most `t` away from 0.

    With theta = atan(t / sqrt(degrees)), for odd and for even degrees:

        2/pi (theta + sin(theta) (cos + 2/3 cos^3 + 2 4/(3 5) cos^5 + ... up to cos^(degrees - 2)))
        sin(theta) (1 + 1/2 cos^2 + 1 3/(2 4) cos^4 + ... up to cos^(degrees - 2))
    """
    theta, odd = math.atan(t / math.sqrt(degrees)), degrees % 2
    cosine = math.cos(theta)
    term, series = cosine if odd else 1.0, 0.0
    for power in range(odd, degrees - 1, 2):
        series += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (theta + math.sin(theta) * series) if odd else math.sin(theta) * series


def _quantile(confidence: float, degrees: int) -> float:
    """The t that `within` gives this confidence, by bisection of its angle."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        reached = within(math.tan(middle) * math.sqrt(degrees), degrees) >= confidence
        low, high = (low, middle) if reached else (middle, high)
    return math.tan(high) * math.sqrt(degrees)
