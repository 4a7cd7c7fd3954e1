"""Runs side by side on one self-contained page: results, samples of the same captions and noise, curves, cost."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sclgan.data.emoji import Emoji, collection
from sclgan.data.types import Source
from sclgan.evaluation import SPLIT, read_evaluations
from sclgan.experiments.curves import COLORS, Curve, svg
from sclgan.files import write_atomically
from sclgan.metrics.reals import composition
from sclgan.recipe import construct, to_json
from sclgan.run import Run, open_run
from sclgan.train.log import read_metrics, round_to

NUM_CAPTIONS = 10
NUM_NOISES = 4

LOSSES = {
    "g/adv": "generator: adversarial",
    "g/words": "generator: words",
    "g/sentence": "generator: sentence",
    "g/contrast": "generator: contrast",
    "d/real": "discriminator: real",
    "d/fake": "discriminator: fake",
    "d/magp": "discriminator: gradient penalty",
    "g/kl": "generator: KL of the condition",
    "d/real_cond": "discriminator: real pairs",
    "d/fake_cond": "discriminator: generated pairs",
    "d/real_uncond": "discriminator: real images",
    "d/fake_uncond": "discriminator: generated images",
}
PRETRAINING = {
    "words": "words",
    "sentence": "sentence",
    "contrast": "contrast",
    "retrieval/image_to_text_r1": "image to text R@1",
    "retrieval/text_to_image_r1": "text to image R@1",
    "retrieval/image_to_text_r5": "image to text R@5",
    "retrieval/text_to_image_r5": "text to image R@5",
}


@dataclass(frozen=True)
class Row:
    """A caption of a held-out picture, that picture, and what each run drew for it."""

    caption: str
    real: str
    samples: list[list[str]]


def compare_runs(folders: Sequence[Path], out: Path, *, seed: int = 0) -> Path:
    """Writes `out`/index.html, which needs no other file, and returns its path.

    Terms are shown a view, so that runs with one and two views share an axis.

    Raises:
        ValueError: no run, one named twice, or runs on different data or sizes.
        FileNotFoundError: a folder is no trained run.
    """
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError(f"compare takes different run folders, got {[str(folder) for folder in folders]}")
    runs = [open_run(folder) for folder in folders]
    if len({(json.dumps(plain["source"]), plain["image_size"]) for plain in map(_plain, runs)}) > 1:
        raise ValueError("the runs were trained on different data or sizes: they share no captions and no results")
    names = _names(runs)
    source: Source = construct(runs[0].recipe.source, SPLIT)
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("sclgan.experiments").joinpath("compare.html.jinja").read_text()
    )
    page = template.render(
        names=names,
        runs=runs,
        abouts=[run.recipe.about for run in runs],
        results=_results(runs),
        rows=_rows(runs, source, seed),
        num_noises=NUM_NOISES,
        side=2 * runs[0].recipe.image_size,
        pretraining=_curves(runs, names, PRETRAINING, "pretraining"),
        training=_curves(runs, names, LOSSES, "training"),
        costs=[_cost(run) for run in runs],
        differences=_differences(runs),
        credits=_credits(source),
        colors=COLORS,
        seed=seed,
    )
    path = out / "index.html"
    write_atomically(path, page.encode())
    return path


def _plain(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(to_json(run.recipe))
    return content


def _names(runs: Sequence[Run]) -> list[str]:
    """Recipe names; the folder's beside where two runs have one recipe."""
    names = [run.recipe.name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})" for name, run in zip(names, runs, strict=True)
    ]


def _results(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each protocol that any run was graded under, with the records of the runs in order."""
    records = [read_evaluations(run.folder) for run in runs]
    labels = list(dict.fromkeys(label for of_run in records for label in of_run))
    rows = []
    for label in labels:
        of_runs = [of_run.get(label) for of_run in records]
        known = [record for record in of_runs if record is not None]
        values = [record["value"] for record in known]
        best = max(values) if known[0]["better"] == "higher" else min(values)
        rows.append({"label": label, "records": of_runs, "any": known[0], "best": best})
    return rows


def _rows(runs: Sequence[Run], source: Source, seed: int) -> list[Row]:
    size = runs[0].recipe.image_size
    pictures = [composition(source, i, size, seed, num_samples=NUM_CAPTIONS)[1] for i in range(NUM_CAPTIONS)]
    captions = [picture.caption for picture in pictures]
    samples = []
    for run in runs:
        drawn = run.sample(captions, num_images=NUM_NOISES, seed=seed).permute(0, 2, 3, 1).numpy()
        samples.append([embedded(image) for image in drawn])
    return [
        Row(
            picture.caption,
            embedded(picture.pixels),
            [of_run[NUM_NOISES * i : NUM_NOISES * (i + 1)] for of_run in samples],
        )
        for i, picture in enumerate(pictures)
    ]


def embedded(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """The picture as a data URI, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _curves(runs: Sequence[Run], names: Sequence[str], terms: dict[str, str], phase: str) -> str:
    """One picture with a panel for each term that a run recorded."""
    panels: dict[str, list[Curve]] = {}
    for number, (run, name) in enumerate(zip(runs, names, strict=True)):
        folder = run.folder / "pretraining" if phase == "pretraining" else run.folder
        num_views = getattr(run.recipe, phase).num_views
        records = read_metrics(folder)
        evaluated = dict.fromkeys(name for record in records for name in record if name.startswith("evaluation/"))
        for term, title in {**terms, **{name: name.removeprefix("evaluation/") for name in evaluated}}.items():
            shared = term == "contrast" or term.endswith("/contrast") or term.startswith(("retrieval/", "evaluation/"))
            points = [(r["step"], r[term] / (1 if shared else num_views)) for r in records if term in r]
            if points:
                panels.setdefault(title, []).append(Curve(name, number, points))
    return svg(panels)


def _cost(run: Run) -> dict[str, Any]:
    """Images and seconds of both phases, as far as they are recorded."""
    cost: dict[str, Any] = {}
    for phase, folder in (("pretraining", run.folder / "pretraining"), ("training", run.folder)):
        timed = [record for record in read_metrics(folder) if "seconds" in record]
        if timed:
            cost[phase] = {"images": int(timed[-1]["images"]), "seconds": round(timed[-1]["seconds"])}
    cost["parameters"] = sum(p.numel() for p in run.gan.generator.parameters())
    return cost


def _differences(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The recipe's fields in which the runs differ, with the value of each."""
    flat = [_flat(_plain(run)) for run in runs]
    fields = [f for f in dict.fromkeys(name for of_run in flat for name in of_run) if f not in ("name", "about")]
    rows = [(name, [str(of_run.get(name, "-")) for of_run in flat]) for name in fields]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {path: round_to(value) if isinstance(value, float) else value}
    return {name: leaf for key, item in items for name, leaf in _flat(item, f"{path}.{key}".strip(".")).items()}


def _credits(source: Source) -> list[str]:
    """Who drew the pictures on the page, where the data set asks for it."""
    if not isinstance(source, Emoji):
        return []
    return [f"{maker.creator} ({maker.licence}, {maker.link})" for maker in collection().makers]
