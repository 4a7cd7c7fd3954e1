"""Forty fixed captions drawn by a model, each picture above its caption, to judge a generator by eye.

    python -m sclgan.experiments.showcase emoji --out docs/images/model.webp

The captions were chosen before the pictures were seen: things of every group, on backgrounds that training used.
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from sclgan import models
from sclgan.files import replaced
from sclgan.runs.opened import open_run

CAPTIONS = (
    "an orange tangerine on a dark green background",
    "a red apple on a white background",
    "a lemon on a lavender background",
    "a banana on a light blue background",
    "a watermelon on a white background",
    "a tomato on a pink background",
    "a carrot on a pale yellow background",
    "a pizza on a mint green background",
    "a doughnut on a light blue background",
    "a custard on a lavender background",
    "a birthday cake on a pink background",
    "a beer mug on a navy background",
    "an owl on a mint green background",
    "a frog on a white background",
    "a fish on a pale yellow background",
    "an octopus on a light blue background",
    "a butterfly on a white background",
    "a panda on a peach background",
    "a rabbit on a lavender background",
    "an elephant on a pale yellow background",
    "a rose on a white background",
    "an evergreen tree on a light blue background",
    "a palm tree on a peach background",
    "a maple leaf on a navy background",
    "a full moon on a navy background",
    "a star on a black background",
    "a cloud on a dark green background",
    "an umbrella on a pale yellow background",
    "a snowman on a navy background",
    "a globe showing the americas on a pink background",
    "a castle on a light blue background",
    "a bank on a white background",
    "a bus on a mint green background",
    "a sailboat on a peach background",
    "an airplane on a light blue background",
    "a basketball on a gray background",
    "a guitar on a white background",
    "a gem stone on a pale yellow background",
    "a green book on a pink background",
    "a locked padlock on a lavender background",
)


def sheet(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]], captions: Sequence[str], *, columns: int = 8, side: int = 112
) -> Image.Image:
    """The pictures in rows, enlarged to `side` pixels without smoothing, their captions below."""
    margin, text = 8, 52
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * (side + margin) + margin, rows * (side + text + margin) + margin), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for place, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = margin + place % columns * (side + margin)
        top = margin + place // columns * (side + text + margin)
        canvas.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (left, top))
        pen.text((left, top + side + 2), textwrap.fill(caption, 18), fill="black", font=font, spacing=1)
    return canvas


def main() -> None:
    """Reads the command line and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run folder, or the name of a model that comes with the package")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write, PNG or WebP by its ending")
    parser.add_argument("--seed", type=int, default=0, help="random seed for the noise, which all captions share")
    given = parser.parse_args()
    drawn = open_run(models.find_run(given.run), images=False).sample(CAPTIONS, num_images=1, seed=given.seed)
    made = sheet(list(drawn.permute(0, 2, 3, 1).numpy()), CAPTIONS)
    with replaced(given.out) as path:
        made.save(path, "WEBP" if given.out.suffix == ".webp" else "PNG", lossless=True)


if __name__ == "__main__":
    main()
