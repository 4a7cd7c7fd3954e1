"""What a request asks for, compared with the runs and limits of the server, before it takes a place in the queue."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import HTTPException

from sclgan.serving.drawing import Served
from sclgan.serving.limits import Limits


@dataclass(frozen=True)
class Checks:
    """Each raises an HTTPException with the sentence that the client is told."""

    served: Mapping[str, Served]
    limits: Limits

    def run(self, name: str) -> Served:
        """The run of that name."""
        if name not in self.served:
            raise HTTPException(404, f"This server has no such run; it has {', '.join(self.served)}.")
        return self.served[name]

    def length(self, caption: str) -> None:
        """Refuses a caption of too many characters."""
        most = self.limits.caption_length
        if len(caption) > most:
            raise HTTPException(422, f"A caption may have {most} characters, not {len(caption)}.")

    def readable(self, run: Served, *captions: str) -> None:
        """Refuses captions that are too long, or of which the run reads no word."""
        for caption in captions:
            self.length(caption)
            try:
                run.run.tokenizer([caption])
            except ValueError as error:
                sentence = str(error).removeprefix("caption 1 of 1 ")
                raise HTTPException(422, f"The caption {sentence}") from error

    def number(self, num_images: int) -> None:
        """Refuses more pictures than one request may draw."""
        if num_images > self.limits.num_images:
            raise HTTPException(422, f"One request may draw {self.limits.num_images} pictures, not {num_images}.")
