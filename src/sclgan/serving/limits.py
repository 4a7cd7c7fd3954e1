"""What one request may ask for, and how many requests are held at once."""

import math
from dataclasses import dataclass

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Limits:
    """The maxima of a server. All but the time are checked before the model is used.

    Raises:
        ValueError: a maximum is not a positive number.
    """

    caption_length: int = 500
    """Characters of a caption."""
    num_images: int = 16
    """Pictures drawn for one request."""
    queue_length: int = 32
    """Requests that wait for the model; one more is being drawn."""
    deadline: float = 30.0
    """Seconds from the arrival of a request to its answer."""
    open_requests: int = 256
    """Requests that are read or answered at once."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive number, not {value}")

    @property
    def body_size(self) -> int:
        """Bytes of the body of a request: two captions, each character two JSON escapes, and the other fields."""
        return 24 * self.caption_length + 4096
