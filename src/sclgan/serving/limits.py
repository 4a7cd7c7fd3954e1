"""What one request may ask for, and how many requests are held at once."""

from dataclasses import dataclass

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Limits:
    """The maxima of a server. All but the time are checked before the model is used.

    Raises:
        ValueError: a maximum is not positive.
    """

    caption_length: int = 500
    """Characters of a caption."""
    num_images: int = 16
    """Pictures drawn for one request."""
    queue_length: int = 32
    """Requests that wait for the model; one more is being drawn."""
    deadline: float = 30.0
    """Seconds from the arrival of a request to its answer."""
    body_size: int = 16_384
    """Bytes of the body of a request; a caption of four-byte letters, escaped, fits three times."""
    open_requests: int = 256
    """Requests that are read or answered at once."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
