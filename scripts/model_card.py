"""The card of a model in the package: its use, training, scores and limits, and the makers of the drawings it saw."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TITLES = {"SSAGAN": "SSA-GAN", "AttnGAN": "AttnGAN", "DMGAN": "DM-GAN", "GALIP": "GALIP"}
SOURCES = {
    "sclgan.data.sets.emoji.Emoji": ("emoji", "single emoji on plain backgrounds"),
    "sclgan.data.sets.scenes.Scenes": ("scenes", "several emoji on one background"),
}
EXAMPLE = "a red apple on a white background"


@dataclass(frozen=True)
class Facts:
    """The contents of a card, from the files of a run.

    `pretraining` and `training` are the pictures and seconds of the phases; None for a phase that was not run with it.
    """

    name: str
    recipe: Mapping[str, Any]
    step: int
    command: str | None
    pretraining: Mapping[str, float] | None
    training: Mapping[str, float] | None
    records: Sequence[Mapping[str, Any]]
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    vocabulary: int
    num_parameters: int
    largest_rounding: int
    mean_rounding: float
    num_compared: int
    share_of_noise: float
    attribution: str


def card(facts: Facts) -> str:
    """The README.md of a model: the header that model hubs read, then Markdown."""
    sections = (_head(facts), _use(facts), _data(facts), _training(facts), _scores(facts), _files(facts))
    return "\n\n".join((*sections, _limits(facts), _attribution(facts))) + "\n"


def _head(facts: Facts) -> str:
    gan = TITLES[facts.recipe["gan"]["call"].rpartition(".")[2]]
    tags = ["text-to-image", "gan", gan.lower(), "emoji"]
    if "contrast" in facts.recipe["training"]["generator_weights"]:
        tags.append("supervised-contrastive-learning")
    lines = ["---", "license: apache-2.0", "library_name: sclgan", "pipeline_tag: text-to-image", "language: en"]
    lines += ["tags:", *(f"- {tag}" for tag in tags), "datasets:", f"- {_source(facts)[0]}", "---", ""]
    size = facts.recipe["image_size"]
    about = (
        f"{gan} of sclgan, recipe `{facts.recipe['name']}`: it draws pictures of {size} x {size} pixels for English "
        f"captions. The generator has {facts.num_parameters:,} parameters."
    )
    return "\n".join([*lines, f"# {facts.name}", "", _wrapped(about)])


def _use(facts: Facts) -> str:
    return f"""## Use

    sclgan sample {facts.name} "{EXAMPLE}" --out apple.png

```python
import sclgan

generator = sclgan.from_pretrained("{facts.name}")
pictures = generator("{EXAMPLE}", num_images=4, seed=3)  # a list of PIL pictures
```"""


def _data(facts: Facts) -> str:
    name, what = _source(facts)
    about = (
        f"`{name}`, a data set in the package: {what}, drawn by several makers, with captions made from names, "
        "measured colours and the background. Training saw the split `train`; the scores are on the split `test`, "
        "held-out drawings of things that were trained on."
    )
    return f"## Data\n\n{_wrapped(about)}"


def _training(facts: Facts) -> str:
    lines = ["## Training", "", "| | |", "|---|---|", f"| recipe | `{facts.recipe['name']}`, see `recipe.json` |"]
    lines.append(f"| command | `{facts.command}` |" if facts.command else "| command | `recipe.json` has every field |")
    lines.append(f"| steps of the generator | {facts.step:,} of {facts.recipe['training']['steps']:,} |")
    for title, cost in (("pre-training of the encoders", facts.pretraining), ("training of the GAN", facts.training)):
        said = "not recorded with this run" if cost is None else _cost(cost)
        lines.append(f"| {title} | {said} |")
    lines.append(f"| seed | {facts.recipe['seed']} |")
    if decay := facts.recipe["training"]["ema_decay"]:
        lines.append(f"| weights of the generator | their moving average over steps, decay {decay} |")
    return "\n".join(lines)


def _cost(cost: Mapping[str, float]) -> str:
    return f"{int(cost['images']):,} pictures seen, {cost['seconds'] / 3600:.2g} hours"


def _scores(facts: Facts) -> str:
    about = (
        "Measured by the protocols of sclgan (`sclgan protocols`), with the run's weights before rounding. Brackets "
        "are intervals; *real* is the score of other real pictures; *n* is the number of generated pictures."
    )
    lines = [
        *("## Scores", "", _wrapped(about), ""),
        "| protocol | value | better | real | n | network | sha256 of its weights |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for record in facts.records:
        interval = record["interval"]
        bounds = "" if interval is None else f" [{interval[0]:.4g}, {interval[1]:.4g}]"
        real = "" if record["floor"] is None else f"{record['floor']:.4g}"
        digest = f"`{record['weights_sha256'][:12]}`" if record["weights_sha256"] else ""
        cells = (record["better"], real, f"{record['num_samples']:,}", record["extractor"] or "", digest)
        lines.append(f"| `{record['label']}` | {record['value']:.4g}{bounds} | {' | '.join(cells)} |")
    machines = sorted({str(record["machine"]) for record in facts.records})
    seeds = sorted({str(record["seed"]) for record in facts.records})
    lines += ["", f"Measured on {'; '.join(machines)}, seed {', '.join(seeds)}."]
    return "\n".join(lines)


def _files(facts: Facts) -> str:
    rows = [f"| `{name}` | {facts.sizes[name]:,} | `{digest}` |" for name, digest in facts.sha256.items()]
    about = (
        "`model.safetensors` holds the averaged generator and the encoders, matrices in float16 and vectors in "
        "float32; computation is in float32. The frozen trunk of the image encoder comes from its own package. "
        f"Pictures of {facts.num_compared} held-out captions differ from the run's by {facts.mean_rounding:.2g} of "
        f"255 levels on average, and by {facts.largest_rounding} at most."
    )
    return "\n".join(["## Files", "", "| file | bytes | sha256 |", "|---|---:|---|", *rows, "", _wrapped(about)])


def _limits(facts: Facts) -> str:
    size, words = facts.recipe["image_size"], facts.recipe["max_words"]
    points = (
        f"It knows {facts.vocabulary:,} words and reads the first {words} of a caption. Other words are left out, and "
        "`sclgan sample` names them.",
        f"It draws emoji, {size} pixels wide: things, colours and backgrounds as in its data, and no photographs. "
        "Things that it was not trained on come out as others that look alike.",
        f"Influence of the noise: two pictures of one caption differ {facts.share_of_noise:.0%} as much as pictures of "
        "two captions, on average over pixels.",
        "It is a small network trained on few drawings: details and rare things are often wrong.",
        f'Its captions had the form "{EXAMPLE}"; other sentences work less well.',
    )
    listed = [textwrap.fill(point, 118, initial_indent="- ", subsequent_indent="  ") for point in points]
    return "\n".join(["## Limits", "", *listed])


def _attribution(facts: Facts) -> str:
    table = [line for line in facts.attribution.splitlines() if line.startswith("|")]
    about = (
        "The code and this model are under Apache-2.0. The drawings that it was trained on stay under the licences of "
        "their makers, none of whom endorses this work; `EMOJI_ATTRIBUTION.md` in the package has the texts of the "
        "licences and the changes made."
    )
    return "\n".join(["## Attribution", "", _wrapped(about), "", *table])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _source(facts: Facts) -> tuple[str, str]:
    return SOURCES[facts.recipe["source"]["call"]]
