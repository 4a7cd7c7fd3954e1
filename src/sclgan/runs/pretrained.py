"""Drawing from Python in two lines: `from_pretrained` opens a run or a model by name, calling it draws."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sclgan import models
from sclgan.runs.opened import Run, open_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextToImage:
    """A trained generator with its text encoder: call it with captions. `run` is all that was opened."""

    run: Run

    def __call__(
        self, captions: str | Sequence[str], *, num_images: int = 1, seed: int = 0, batch_size: int = 64
    ) -> list[Image.Image]:
        """Draws `num_images` pictures of each caption, caption by caption; the same ones for the same seed.

        Picture k has the same noise for every caption. Words that are left out, because the
        text encoder never saw them or reads no further, are named in a warning.

        Raises:
            ValueError: a caption is empty or holds no known word, or there are fewer than one picture to draw.
        """
        asked = [captions] if isinstance(captions, str) else list(captions)
        if not asked:
            raise ValueError('no caption was given: write at least one, such as "a red apple"')
        for caption in asked:
            for line in self.run.tokenizer.read(caption).left_out(caption):
                log.warning("%s", line)
        pictures = self.run.sample(asked, num_images=num_images, seed=seed, batch_size=batch_size)
        return [Image.fromarray(pixels) for pixels in pictures.permute(0, 2, 3, 1).contiguous().numpy()]

    @property
    def image_size(self) -> int:
        """Side of the pictures in pixels."""
        return self.run.recipe.image_size


def from_pretrained(run: str | Path, *, checkpoint: str = "last") -> TextToImage:
    """Opens a model that comes with the package, by its name, or a run folder of `sclgan train`, to draw with.

        generator = sclgan.from_pretrained("emoji")
        pictures = generator("a red apple on a white background", num_images=4, seed=3)

    `checkpoint` of a run is "last", "best" (of the evaluations in training) or a step. A folder comes before a model
    of the same name. The weights are on the accelerator where there is one.

    Raises:
        FileNotFoundError: there is no such folder and no such model, or no such checkpoint.
        ValueError: the files are damaged.
    """
    return TextToImage(open_run(models.find_run(run), checkpoint, images=False))
