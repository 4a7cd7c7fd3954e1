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

from sclgan.data.types import Source
from sclgan.evaluation.reals import composition
from sclgan.evaluation.run import SPLIT
from sclgan.experiments.curves import COLORS, Curve, svg
from sclgan.files import check_own, write_atomically
from sclgan.runs.differences import differences
from sclgan.runs.evaluations import read_evaluations
from sclgan.runs.folder import resolved
from sclgan.runs.opened import Run, open_run
from sclgan.runs.records import read_metrics, round_to

NUM_CAPTIONS = 10
NUM_NOISES = 4

LOSSES = {
    "g/adv": "generator: adversarial",
    "g/words": "generator: words",
    "g/sentence": "generator: sentence",
    "g/similarity": "generator: similarity",
    "g/contrast": "generator: contrast",
    "g/nt_xent": "generator: NT-Xent",
    "g/cross_entropy": "generator: cross entropy of labels",
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
    "infonce": "InfoNCE",
    "contrast": "contrast",
    "nt_xent": "NT-Xent",
    "cross_entropy": "cross entropy of labels",
    "retrieval/image_to_text_r1": "image to text R@1",
    "retrieval/text_to_image_r1": "text to image R@1",
    "retrieval/image_to_text_r5": "image to text R@5",
    "retrieval/text_to_image_r5": "text to image R@5",
    "zero_shot/top1": "zero-shot, top 1",
    "zero_shot/top5": "zero-shot, top 5",
}


@dataclass(frozen=True)
class DrawnCaption:
    """A caption of a held-out picture, that picture, and the pictures that each run drew for it."""

    caption: str
    real: str
    samples: list[list[str]]


def compare_runs(folders: Sequence[Path], out: Path, *, seed: int = 0, opening: Sequence[tuple[str, str]] = ()) -> Path:
    """Writes `out`/index.html, which needs no other file, and returns its path.

    The page begins with pictures: those of `opening`, captions and data URIs, and those that the runs drew. Terms are
    shown per view, so that runs with one and two views share an axis.

    Raises:
        ValueError: no run, one named twice, runs on different data or sizes, or a page that is not one of these.
        FileNotFoundError: a folder is not a trained run.
    """
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError(f"compare takes different run folders, got {[str(folder) for folder in folders]}")
    path = out / "index.html"
    check_own(path)
    runs = [open_run(folder, images=False) for folder in folders]
    if (
        len({(json.dumps(plain["source"]), plain["image_size"]) for plain in (resolved(run.recipe) for run in runs)})
        > 1
    ):
        raise ValueError("the runs were trained on different data or sizes: they share no captions and no results")
    names = _names(runs)
    source = runs[0].recipe.source(SPLIT)
    page = rendered(
        "compare.html.jinja",
        names=names,
        runs=runs,
        abouts=[run.recipe.about for run in runs],
        results=_results(runs),
        opening=opening,
        rows=sample_rows(runs, source, seed),
        num_noises=NUM_NOISES,
        side=2 * runs[0].recipe.image_size,
        pretraining=svg(panels(_histories(runs, names, "pretraining"), PRETRAINING)),
        training=svg(panels(_histories(runs, names, "training"), LOSSES)),
        costs=[_cost(run) for run in runs],
        differences=differing_fields([resolved(run.recipe) for run in runs]),
        credits=source.credits,
        seed=seed,
    )
    write_atomically(path, page.encode())
    return path


def rendered(template: str, **values: Any) -> str:
    """A page from a template of this package, which may use the others."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: files("sclgan.experiments").joinpath(name).read_text()),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(colors=COLORS, **values)


def _names(runs: Sequence[Run]) -> list[str]:
    """Recipe names, with the folder's name beside them where two runs have one recipe."""
    names = [run.recipe.name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})" for name, run in zip(names, runs, strict=True)
    ]


def _results(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row per protocol that any run was graded under, with the records of the runs in order."""
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


def sample_rows(
    runs: Sequence[Run], source: Source, seed: int, *, num_captions: int = NUM_CAPTIONS, num_noises: int = NUM_NOISES
) -> list[DrawnCaption]:
    """Captions of held-out pictures, and the pictures that each run draws for them from the same noises."""
    size = runs[0].recipe.image_size
    pictures = [composition(source, i, size, seed, num_samples=num_captions)[1] for i in range(num_captions)]
    captions = [picture.caption for picture in pictures]
    samples = []
    for run in runs:
        drawn = run.sample(captions, num_images=num_noises, seed=seed).permute(0, 2, 3, 1).numpy()
        samples.append([embedded(image) for image in drawn])
    return [
        DrawnCaption(
            picture.caption,
            embedded(picture.pixels),
            [of_run[num_noises * i : num_noises * (i + 1)] for of_run in samples],
        )
        for i, picture in enumerate(pictures)
    ]


def embedded(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """The picture as a data URI; up to 128 pixels lossless, as a larger one would weigh 100 kB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=len(pixels) <= 128, quality=90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class History:
    """The records of one phase of a run. Its curves have the run's name and the colour `number`."""

    name: str
    number: int
    folder: Path
    num_views: int


def _histories(runs: Sequence[Run], names: Sequence[str], phase: str) -> list[History]:
    return [
        History(name, number, run.folder / ("pretraining" if phase == "pretraining" else ""), views)
        for number, (run, name) in enumerate(zip(runs, names, strict=True))
        for views in [getattr(run.recipe, phase).num_views]
    ]


def panels(histories: Sequence[History], terms: dict[str, str]) -> dict[str, list[Curve]]:
    """A panel per term that a run recorded, by its title; terms that are summed over views are shown per view."""
    found: dict[str, list[Curve]] = {}
    for history in histories:
        records = read_metrics(history.folder)
        evaluated = dict.fromkeys(name for record in records for name in record if name.startswith("evaluation/"))
        for term, title in {**terms, **{name: name.removeprefix("evaluation/") for name in evaluated}}.items():
            scores = term.startswith(("retrieval/", "zero_shot/", "evaluation/"))
            shared = scores or term.removeprefix("g/") in ("contrast", "nt_xent")
            points = [(r["step"], r[term] / (1 if shared else history.num_views)) for r in records if term in r]
            if points:
                found.setdefault(title, []).append(Curve(history.name, history.number, points))
    return found


def _cost(run: Run) -> dict[str, Any]:
    """Images and seconds of both phases, as far as they are recorded."""
    folders = {"pretraining": run.folder / "pretraining", "training": run.folder}
    cost: dict[str, Any] = {phase: spent for phase, folder in folders.items() if (spent := cost_of(folder))}
    cost["parameters"] = sum(p.numel() for p in run.gan.generator.parameters())
    return cost


def cost_of(folder: Path) -> dict[str, Any] | None:
    """Images and seconds of a phase, and on an accelerator its memory in GiB; None where nothing is recorded."""
    timed = [record for record in read_metrics(folder) if "seconds" in record]
    if not timed:
        return None
    peaks = [record["peak_memory_gib"] for record in timed if "peak_memory_gib" in record]
    memory = {"peak_memory_gib": max(peaks)} if peaks else {}
    return {"images": int(timed[-1]["images"]), "seconds": round(timed[-1]["seconds"])} | memory


def differing_fields(recipes: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The fields in which resolved recipes differ, with the value of each as it is shown."""
    found = differences(
        [{name: part for name, part in one.items() if name not in ("name", "row", "about")} for one in recipes]
    )
    return [(field, [_shown(value) for value in values]) for field, values in found.items()]


def _shown(value: Any) -> str:
    return "-" if value is None else str(round_to(value) if isinstance(value, float) else value)
