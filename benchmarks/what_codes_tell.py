"""What pre-trained encoders tell apart on emoji: the background of one drawing, and the class of unseen drawings.

    python benchmarks/what_codes_tell.py OUT.md ENCODERS [ENCODERS ...]

The folders are those of `sclgan pretrain`, such as encoders/ of a table, of several rows and seeds.

- background: a held-out drawing is laid on each of its backgrounds; the picture's code is to be nearest to that of the
  caption which names its background, among the captions of this drawing. What one label's pictures do not share.
- class: the nearest other picture of unseen classes, on any background, is to be of the same class. What they do share.
- recall: mean of R@1 and R@5 on held-out pictures and captions, both ways, as pre-training recorded it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sclgan.data.sets.emoji import BACKGROUNDS, Emoji, collection, compose
from sclgan.data.sets.emoji_captions import caption
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.experiments.tables.definitions import ending_title
from sclgan.experiments.tables.seeds import interval, paired_test
from sclgan.files import write_atomically
from sclgan.random import Stream, numpy_generator
from sclgan.runs.encoders import load_encoders
from sclgan.runs.folder import saved_recipe
from sclgan.runs.records import read_metrics

BATCH = 64
MEASURES = ("background", "class", "recall")

Rows = dict[tuple[str, str], dict[int, dict[str, float]]]
"""(encoders, variant) -> seed -> measure -> value."""


@torch.no_grad()
def image_codes(encoders: Encoders, pictures: Sequence[np.ndarray]) -> Float[Tensor, "n d"]:
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    codes = [encoders.encode_image(part.float() / 127.5 - 1).image for part in pixels.split(BATCH)]
    return F.normalize(torch.cat(codes), dim=1)


@torch.no_grad()
def background_accuracy(encoders: Encoders, tokenizer: Tokenizer, size: int) -> tuple[float, float]:
    """The share of pictures whose background is told, and the share that chance would tell."""
    source = Emoji("test")
    told, chance = [], []
    for (concept, drawing), words in zip(source.rows, source.words, strict=True):
        sprite = collection().sprite_image(concept, drawing)
        pictures = [compose(sprite, BACKGROUNDS[name], size, None, flips=False) for name in drawing.backgrounds]
        captions = [caption(words, name, 0, 0) for name in drawing.backgrounds]
        texts = F.normalize(encoders.encode_text(tokenizer(captions)).sentence, dim=1)
        nearest = (image_codes(encoders, pictures) @ texts.T).argmax(1)
        told += (nearest == torch.arange(len(captions))).tolist()
        chance += [1 / len(captions)] * len(captions)
    return float(np.mean(told)), float(np.mean(chance))


def class_accuracy(encoders: Encoders, size: int) -> tuple[float, float]:
    """The share of pictures whose nearest other is of their class, and the share that chance would give."""
    source = Emoji("unseen")
    pictures = [
        source.picture(row, size, numpy_generator(Stream.SCORED_PICTURE, 0, row), augment=False).pixels
        for row in range(len(source))
    ]
    codes, labels = image_codes(encoders, pictures), torch.tensor(source.labels).flatten()
    same = labels[:, None] == labels[None, :]
    nearest = (codes @ codes.T).fill_diagonal_(-2).argmax(1)
    return float(same[torch.arange(len(labels)), nearest].double().mean()), float(
        (same.sum(1) - 1).double().mean() / (len(labels) - 1)
    )


def measured(folders: Sequence[Path]) -> tuple[Rows, dict[str, float]]:
    """What every folder scores, and what chance does."""
    rows: Rows = {}
    chances: dict[str, float] = {}
    for folder in folders:
        recipe = saved_recipe(folder)
        encoders, tokenizer = load_encoders(folder, recipe)
        background, of_background = background_accuracy(encoders, tokenizer, recipe.image_size)
        same_class, of_class = class_accuracy(encoders, recipe.image_size)
        recall = max(record.get("retrieval/mean", 0.0) for record in read_metrics(folder))
        scores = {"background": background, "class": same_class, "recall": recall}
        print(f"{recipe.name}, seed {recipe.seed}: {scores}", flush=True)
        rows.setdefault((type(encoders).__name__, recipe.row.ending), {})[recipe.seed] = scores
        chances |= {"background": of_background, "class": of_class}
    return rows, chances


def table(rows: Rows, chances: dict[str, float]) -> list[str]:
    """Markdown: a row for each variant of each kind of encoders."""
    lines = [f"| encoders | row | {' | p | '.join(MEASURES)} | p |", "|---|---|" + "---|---|" * len(MEASURES)]
    for kind, ending in sorted(rows, key=lambda one: (one[0], len(one[1]), one[1])):
        cells = [kind, ending_title(ending)]
        for measure in MEASURES:
            own = {seed: scores[measure] for seed, scores in rows[kind, ending].items()}
            control = {seed: s[measure] for seed, s in rows.get((kind, "2x"), {}).items() if seed in own}
            ends = interval(list(own.values()))
            cells.append(f"{np.mean(list(own.values())):.1%}" + (f" ± {(ends[1] - ends[0]) / 2:.1%}" if ends else ""))
            p = paired_test([own[seed] for seed in control], list(control.values())) if ending != "2x" else None
            cells.append("" if p is None else f"{p:.2g}")
        lines.append(f"| {' | '.join(cells)} |")
    by_chance = [f"{chances[measure]:.1%}" if measure in chances else "" for measure in MEASURES]
    return [*lines, f"| chance | | {' | | '.join(by_chance)} | |"]


def main() -> None:
    """Measures every folder and writes the table."""
    torch.set_num_threads(1)
    lines = [
        *("# What the encoders tell apart", "", f"- {(__doc__ or '').partition('- ')[2].strip()}"),
        "- Mean over seeds, ± half of its 95% interval; p of Student's paired test against twice the batch.",
        *("", "## emoji", "", *table(*measured([Path(name) for name in sys.argv[2:]])), ""),
    ]
    write_atomically(Path(sys.argv[1]), "\n".join(lines).encode())


if __name__ == "__main__":
    main()
