"""Figures of runs as PNG, PDF or SVG: samples beside each other, embeddings before and after, losses.

`qualitative` is laid out as Liu et al. 2024, Fig. 3: captions over the columns, models over the rows.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from sclgan import distributed
from sclgan.data.types import Source
from sclgan.evaluation.reals import composition
from sclgan.evaluation.run import SPLIT
from sclgan.experiments.clusters import principal_components, silhouette
from sclgan.experiments.compare import LOSSES, PRETRAINING, History, panels
from sclgan.experiments.curves import COLORS, Curve, drawn
from sclgan.files import MARK, check_own, replaced
from sclgan.random import Stream, numpy_generator
from sclgan.runs.encoders import load_encoders
from sclgan.runs.folder import saved_recipe
from sclgan.runs.opened import Run, open_run
from sclgan.runs.records import read_metrics

NUM_CAPTIONS = 8  # as in Fig. 3
PICTURES_PER_LABEL = 12
FORMATS = (".png", ".pdf", ".svg")


def qualitative(folders: Sequence[Path], out: Path, *, captions: Sequence[str] = (), seed: int = 0) -> None:
    """Each run in a row, each caption in a column, all from one noise; without captions, those of held-out pictures.

    Runs on different data need captions: they share no held-out pictures.

    Raises:
        ValueError: no run, no captions for runs on different data, an unknown ending of the file.
        FileNotFoundError: a folder is not a trained run.
    """
    _check(out, folders)
    runs = [open_run(folder, images=False) for folder in folders]
    captions = list(captions) or _held_out(runs, seed)
    drawings = [run.sample(captions, num_images=1, seed=seed).permute(0, 2, 3, 1).numpy() for run in runs]
    size = 1.25
    figure = Figure(figsize=(1.3 + size * len(captions), 0.9 + size * len(runs)), layout="constrained", dpi=200)
    grid = figure.subplots(len(runs), len(captions), squeeze=False)
    for axes_of_run, run, name, pictures in zip(grid, runs, _names(folders), drawings, strict=True):
        for axes, picture in zip(axes_of_run, pictures, strict=True):
            axes.imshow(picture, interpolation="lanczos" if run.recipe.image_size < 200 else "antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        axes_of_run[0].set_ylabel(textwrap.fill(name, 16), rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    for axes, caption in zip(grid[0], captions, strict=True):
        axes.set_title(textwrap.fill(caption, 20), fontsize=7)
    _save(figure, out)


def _held_out(runs: Sequence[Run], seed: int) -> list[str]:
    if len({str(run.recipe.source) for run in runs}) > 1:
        raise ValueError("the runs are of different data and share no held-out captions: give some with --caption")
    source = runs[0].recipe.source(SPLIT)
    size = runs[0].recipe.image_size
    return [composition(source, i, size, seed, num_samples=NUM_CAPTIONS)[1].caption for i in range(NUM_CAPTIONS)]


@dataclass(frozen=True)
class Embedded:
    """Codes of pictures and of their captions, in the common space of an encoder pair."""

    images: Float[Tensor, "n d"]
    texts: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]


def embedding(folders: Sequence[Path], out: Path, *, num_labels: int = 8, split: str = SPLIT, seed: int = 0) -> None:
    """Text and image codes of some labels by the encoders of two folders, before and after, on a plane.

    Each panel shows its codes on their own two principal components; the silhouettes in its title are those of the
    codes before the projection.

    Raises:
        ValueError: not two folders, different data, fewer than two labels, an unknown ending of the file.
        FileNotFoundError: a folder holds no pre-trained encoders.
    """
    _check(out, folders)
    if len(folders) != 2:
        raise ValueError(f"embedding shows two folders, before and after, not {len(folders)}")
    recipes = [saved_recipe(folder) for folder in folders]
    if str(recipes[0].source) != str(recipes[1].source):
        raise ValueError("the encoders were trained on different data: their labels differ")
    source = recipes[0].source(split)
    chosen = _labels(source, num_labels, seed)
    figure = Figure(figsize=(10, 5), layout="constrained", dpi=160)
    for axes, folder, name in zip(figure.subplots(1, 2), folders, _names(folders), strict=True):
        _scatter(axes, _encoded(folder, source, chosen, seed), name)
    handles = [
        Line2D([], [], color=COLORS[i % len(COLORS)], marker="s", linestyle="", label=source.label_names[label])
        for i, label in enumerate(chosen)
    ]
    handles += [
        Line2D([], [], color="#667", marker=marker, linestyle="", label=what)
        for marker, what in (("o", "image"), ("x", "text"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    _save(figure, out)


def _labels(source: Source, num: int, seed: int) -> list[int]:
    """Labels that have a row of which they are the only label, chosen by the seed."""
    there = sorted({labels[0] for labels in source.labels if len(labels) == 1})
    if num < 2 or len(there) < num:
        raise ValueError(f"{num} labels to show: choose 2 to {len(there)}, those with pictures of no other label")
    return [there[place] for place in sorted(numpy_generator(Stream.CHOICE, seed).permutation(len(there))[:num])]


@torch.no_grad()
def _encoded(folder: Path, source: Source, chosen: Sequence[int], seed: int) -> Embedded:
    """Pictures of each label in turn, its rows one after the other and again, each drawn anew."""
    recipe = saved_recipe(folder)
    encoders, tokens = load_encoders(folder, recipe)
    size = recipe.pretraining.image_size or recipe.image_size
    images, texts = [], []
    for label in chosen:
        rows = [row for row, labels in enumerate(source.labels) if tuple(labels) == (label,)]
        pictures = [
            source.picture(row, size, numpy_generator(Stream.FIGURE, seed, row, number), augment=False)
            for number in range(PICTURES_PER_LABEL)
            for row in [rows[number % len(rows)]]
        ]
        pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures])).permute(0, 3, 1, 2)
        images.append(encoders.encode_image(pixels.to(distributed.device()).float() / 127.5 - 1).image.cpu())
        captions = tokens([picture.caption for picture in pictures]).to(distributed.device())
        texts.append(encoders.encode_text(captions).sentence.cpu())
    labels = torch.arange(len(chosen)).repeat_interleave(PICTURES_PER_LABEL)
    return Embedded(F.normalize(torch.cat(images), dim=1), F.normalize(torch.cat(texts), dim=1), labels)


def _scatter(axes: Axes, codes: Embedded, name: str) -> None:
    places, share = principal_components(torch.cat([codes.images, codes.texts]))
    (x, y), num = places.T.numpy(), len(codes.labels)
    colors = [COLORS[int(label) % len(COLORS)] for label in codes.labels]
    axes.scatter(x[:num], y[:num], c=colors, marker="o", s=18, alpha=0.8, linewidths=0)
    axes.scatter(x[num:], y[num:], c=colors, marker="x", s=22, linewidths=1.2)
    both = silhouette(torch.cat([codes.images, codes.texts]), codes.labels.repeat(2))
    axes.set_title(
        f"{name}\nsilhouette: images {silhouette(codes.images, codes.labels):.3f}, "
        f"texts {silhouette(codes.texts, codes.labels):.3f}, both {both:.3f}",
        fontsize=9,
    )
    axes.set_xlabel(f"two principal components: {share:.0%} of the variance", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)


def loss(folders: Sequence[Path], out: Path) -> None:
    """The losses and scores of both phases of runs, against the step; a folder of `sclgan pretrain` has one phase.

    Raises:
        ValueError: no run, none with records, an unknown ending of the file.
        FileNotFoundError: a folder is not a run.
    """
    _check(out, folders)
    first, second = [], []
    for number, (folder, name) in enumerate(zip(folders, _names(folders), strict=True)):
        recipe = saved_recipe(folder)
        trained = any(term in LOSSES for record in read_metrics(folder) for term in record)
        place = folder / "pretraining" if trained else folder
        first.append(History(name, number, place, recipe.pretraining.num_views))
        if trained:
            second.append(History(name, number, folder, recipe.training.num_views))
    found: dict[str, list[Curve]] = {
        f"{phase}: {title}": curves
        for phase, of_phase in (
            ("pre-training", panels(first, PRETRAINING)),
            ("GAN", panels(second, LOSSES)),
        )
        for title, curves in of_phase.items()
    }
    if not found:
        raise ValueError(f"no records in {', '.join(map(str, folders))}: metrics.jsonl is empty or not there")
    figure = drawn(found)
    figure.supxlabel("step; terms that are summed over views are shown per view", fontsize=8)
    handles = [
        Line2D([], [], color=COLORS[number % len(COLORS)], label=name) for number, name in enumerate(_names(folders))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    _save(figure, out)


def _check(out: Path, folders: Sequence[Path]) -> None:
    if out.suffix.lower() not in FORMATS:
        raise ValueError(f"--out {out}: a figure is written as {', '.join(FORMATS)}; end the name with one of these")
    check_own(out)
    if not folders:
        raise ValueError("a figure shows runs: name at least one folder")


def _names(folders: Sequence[Path]) -> list[str]:
    """Recipe names, or the folder's name where two have one recipe."""
    names = [saved_recipe(folder).name for folder in folders]
    return [
        name if names.count(name) == 1 else folder.resolve().name for name, folder in zip(names, folders, strict=True)
    ]


def _save(figure: Figure, out: Path) -> None:
    kind = out.suffix.lower().removeprefix(".")
    made_by = MARK.decode()
    about = {
        "png": {"Software": made_by},
        "pdf": {"Creator": made_by, "CreationDate": None},
        "svg": {"Creator": made_by, "Date": None},
    }[kind]
    with mpl.rc_context({"svg.hashsalt": "sclgan", "svg.fonttype": "none"}), replaced(out) as temporary:
        figure.savefig(temporary, format=kind, metadata=about)
