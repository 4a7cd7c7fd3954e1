"""Statistics over seeds: the mean with its interval, and whether two rows differ.

Student 1908, "The Probable Error of a Mean".
"""

import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95
FEWEST = 3
"""Seeds below which no test is made: over two a difference must be 13 of its standard errors to count."""


def interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval that holds the mean over all seeds with this confidence; None for fewer than two values.

    mean +- t(confidence, n - 1) s / sqrt(n)
    """
    if len(values) < 2:
        return None
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    if deviation == 0:
        return mean, mean
    from scipy.stats import t  # half a second that no other command should pay

    low, high = t.interval(confidence, len(values) - 1, loc=mean, scale=deviation / len(values) ** 0.5)
    return float(low), float(high)


def paired_test(values: Sequence[float], others: Sequence[float]) -> float | None:
    """The two-sided p-value of Student's paired test that both rows have one mean; None below `FEWEST` pairs.

    t = mean(d) / (s(d) / sqrt(n)),   d_i = values_i - others_i of one seed

    Equal differences, whose s is 0, give 1 where they are 0 and 0 where they are not.
    """
    differences = [value - other for value, other in zip(values, others, strict=True)]
    if len(differences) < FEWEST:
        return None
    if statistics.stdev(differences) == 0:
        return float(differences[0] == 0)
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)
