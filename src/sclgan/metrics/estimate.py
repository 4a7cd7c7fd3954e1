"""A measured value and its interval."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value, and the interval that its samples leave open where that is cheap to compute; `kind` says which one."""

    value: float
    interval: tuple[float, float] | None = None
    kind: str = "none"


def half_width(standard_error: float, *, degrees_of_freedom: int) -> float:
    """Half of Student's 95 % interval around a mean with this standard error."""
    from scipy.special import stdtrit  # a tenth of a second that no other command should pay

    return float(stdtrit(degrees_of_freedom, 0.975)) * standard_error
