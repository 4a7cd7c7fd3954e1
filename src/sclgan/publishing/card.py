"""The card of a model: its use, data, training, scores, files and limits, and the makers of what it was trained on."""

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sclgan.publishing.data_terms import UNKNOWN, DataTerms
from sclgan.publishing.model import Rounding
from sclgan.recipes import TITLES

INDEXED = ("num_samples", "seed", "extractor", "weights_sha256", "reals_sha256")
"""What of a record stands in the header."""
SHARED_NOISE = "pictures in a row have one caption, those in a column one noise"


@dataclass(frozen=True)
class Facts:
    """The contents of a card, from the files of a run.

    `where` is what `sclgan sample` calls the model. `pretraining` and `training` are the pictures and seconds of the
    phases, None for a phase that was not run with it; `machines` are the records of the starts of the training.
    `pictures` is the file that shows `captions`, one a row. `vocabulary` is None where every word is read, `rounding`
    where the weights are the run's own, `share_of_noise` where nothing was compared.
    """

    name: str
    where: str
    recipe: Mapping[str, Any]
    step: int
    command: str | None
    pretraining: Mapping[str, float | int] | None
    training: Mapping[str, float | int] | None
    records: Sequence[Mapping[str, Any]]
    data: DataTerms
    sizes: Mapping[str, int]
    sha256: Mapping[str, str]
    vocabulary: int | None
    num_parameters: int
    rounding: Rounding | None
    share_of_noise: float | None
    captions: Sequence[str]
    pictures: str | None
    machines: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]


def card(facts: Facts) -> str:
    """The README.md of a model: the header that model hubs read, then Markdown."""
    sections = [_head(facts), _use(facts), _data(facts), _training(facts), _scores(facts), _files(facts)]
    return "\n\n".join((*sections, _limits(facts), _attribution(facts))) + "\n"


def _head(facts: Facts) -> str:
    gan = TITLES[facts.recipe["row"]["gan"]]
    tags = ["text-to-image", "gan", gan.lower(), *([facts.data.name] if facts.data.name else [])]
    if "contrast" in facts.recipe["training"]["generator_objective"]:
        tags.append("supervised-contrastive-learning")
    lines = ["---", f"license: {json.dumps(facts.data.licence)}", "library_name: sclgan", "pipeline_tag: text-to-image"]
    lines += ["language: en"] if facts.data.in_package else []
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    lines += ["datasets:", f"- {facts.data.name}"] if facts.data.name else []
    lines += [*_index(facts), "---", ""]
    size = facts.recipe["image_size"]
    sentences = "English captions" if facts.data.in_package else "captions"
    about = (
        f"{gan} of sclgan, recipe `{facts.recipe['name']}`: it draws pictures of {size} x {size} pixels for "
        f"{sentences}. The generator has {facts.num_parameters:,} parameters."
    )
    return "\n".join([*lines, f"# {facts.name}", "", _wrapped(about), *_pictures(facts)])


def _index(facts: Facts) -> list[str]:
    """The scores as model hubs read them; JSON is YAML too."""
    if not facts.records:
        return []
    first = facts.records[0]
    metrics = [
        {
            "type": record.get("protocol", record["label"]),
            "name": record["label"],
            "value": record["value"],
            "args": {name: record.get(name) for name in INDEXED} | {"model_sha256": facts.sha256["model.safetensors"]},
        }
        for record in facts.records
    ]
    data = {"name": facts.data.name or "own pictures", "type": facts.data.name or "own", "split": first.get("split")}
    task = {"type": "text-to-image", "name": "text to image"}
    results = [{"task": task, "dataset": data, "metrics": metrics}]
    return ["model-index:", f"- {json.dumps({'name': facts.name, 'results': results})}"]


def _pictures(facts: Facts) -> list[str]:
    if facts.pictures is None:
        return []
    captions = [f"{number}. {_escaped(caption)}" for number, caption in enumerate(facts.captions, start=1)]
    about = f"Drawn by this model with seed 0; {SHARED_NOISE}. The captions of the rows:"
    return ["", f"![Pictures that the model drew]({facts.pictures})", "", about, "", *captions]


def _escaped(text: str) -> str:
    """A caption on one line, without effect as Markdown or HTML."""
    special = "\\`*_{}[]()<>#+-.!|&"
    return "".join(f"\\{letter}" if letter in special else letter for letter in " ".join(text.split()))


def _use(facts: Facts) -> str:
    caption = " ".join(facts.captions[0].split())
    return f"""## Use

    sclgan sample {shlex.quote(facts.where)} {shlex.quote(caption)} --out picture.png

```python
import sclgan

generator = sclgan.from_pretrained({json.dumps(facts.where)})
pictures = generator({json.dumps(caption, ensure_ascii=False)}, num_images=4, seed=3)  # a list of PIL pictures
```"""


def _data(facts: Facts) -> str:
    return f"## Data\n\n{_wrapped(facts.data.about)}"


def _training(facts: Facts) -> str:
    lines = ["## Training", "", "| | |", "|---|---|", f"| recipe | `{facts.recipe['name']}`, see `recipe.json` |"]
    lines.append(f"| command | `{facts.command}` |" if facts.command else "| command | `recipe.json` has every field |")
    lines.append(f"| steps of the generator | {facts.step:,} of {facts.recipe['training']['steps']:,} |")
    for title, cost in (("pre-training of the encoders", facts.pretraining), ("training of the GAN", facts.training)):
        said = "not recorded with this run" if cost is None else _cost(cost)
        lines.append(f"| {title} | {said} |")
    lines.append(f"| seed | {facts.recipe['seed']} |")
    places = dict.fromkeys(f"{one['machine']} ({_named(one['versions'])})" for one in facts.machines)
    lines.append(f"| trained on | {'; '.join(places) or 'not recorded with this run'} |")
    lines.append(f"| written with | {_named(facts.versions)} |")
    if decay := facts.recipe["training"]["ema_decay"]:
        lines.append(f"| weights of the generator | their moving average over steps, decay {decay} |")
    return "\n".join(lines)


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _cost(cost: Mapping[str, float | int]) -> str:
    return f"{int(cost['images']):,} pictures seen, {cost['seconds'] / 3600:.2g} hours"


def _scores(facts: Facts) -> str:
    if not facts.records:
        return (
            "## Scores\n\nNone: this checkpoint was not evaluated. Nothing is known about its quality but its pictures."
        )
    weights = "the run's weights before rounding" if facts.rounding else "these weights"
    about = (
        f"Measured by the protocols of sclgan (`sclgan protocols`), with {weights}. Brackets are intervals; *real* is "
        "the score of other real pictures; *n* is the number of generated pictures."
    )
    lines = [
        *("## Scores", "", _wrapped(about), ""),
        "| protocol | value | better | real | n | network | sha256 of its weights |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for record in facts.records:
        interval, floor = record.get("interval"), record.get("floor")
        bounds = "" if interval is None else f" [{interval[0]:.4g}, {interval[1]:.4g}]"
        real = "" if floor is None else f"{floor:.4g}"
        digest = f"`{record['weights_sha256'][:12]}`" if record.get("weights_sha256") else ""
        cells = (record["better"], real, f"{record['num_samples']:,}", record.get("extractor") or "", digest)
        lines.append(f"| `{record['label']}` | {record['value']:.4g}{bounds} | {' | '.join(cells)} |")
    machines = sorted({str(record.get("machine", "a machine that was not recorded")) for record in facts.records})
    seeds = sorted({str(record.get("seed", "not recorded")) for record in facts.records})
    lines += ["", f"Measured on {'; '.join(machines)}, seed {', '.join(seeds)}."]
    versions = {_named(record["versions"]) for record in facts.records if record.get("versions")}
    lines += [f"Versions: {'; '.join(sorted(versions))}."] if versions else []
    return "\n".join(lines)


def _files(facts: Facts) -> str:
    rows = [f"| `{name}` | {facts.sizes[name]:,} | `{digest}` |" for name, digest in facts.sha256.items()]
    if facts.rounding is None:
        about = "`model.safetensors` holds the averaged generator and the encoders, bit for bit those of the run."
    else:
        about = (
            "`model.safetensors` holds the averaged generator and the encoders, matrices in float16 and vectors in "
            "float32; computation is in float32. The frozen trunk of the image encoder comes from its own package. "
            f"Pictures of {facts.rounding.number} held-out captions differ from the run's by {facts.rounding.mean:.2g} "
            f"of 255 levels on average, and by {facts.rounding.largest} at most."
        )
    about += " None of the files is code, and sclgan runs none from a model's folder."
    return "\n".join(["## Files", "", "| file | bytes | sha256 |", "|---|---:|---|", *rows, "", _wrapped(about)])


def _limits(facts: Facts) -> str:
    size, words = facts.recipe["image_size"], facts.recipe["max_words"]
    if facts.vocabulary is None:
        reads = f"It reads the first {words} tokens of a caption. `sclgan sample` names the words beyond."
    else:
        reads = (
            f"It knows {facts.vocabulary:,} words and reads the first {words} of a caption. Other words are left out, "
            "and `sclgan sample` names them."
        )
    noise = [
        f"Influence of the noise: two pictures of one caption differ {share:.0%} as much as pictures of two captions, "
        "on average over pixels."
        for share in [facts.share_of_noise]
        if share is not None
    ]
    example = " ".join(facts.captions[0].split())
    if facts.data.in_package:
        own = [
            f"It draws emoji, {size} pixels wide: things, colours and backgrounds as in its data, and no photographs. "
            "Things that it was not trained on come out as others that look alike.",
            "It is a small network trained on few drawings: details and rare things are often wrong.",
            f'Its captions had the form "{example}"; other sentences work less well.',
        ]
    else:
        own = [
            f"It draws what its data show, {size} pixels wide. Things that it was not trained on come out as others "
            "that look alike, and captions of another form than those of its data work less well.",
            "What is one-sided, wrong or private in its data may be so in its pictures. This was not examined.",
        ]
    listed = [textwrap.fill(text, 118, initial_indent="- ", subsequent_indent="  ") for text in (reads, *noise, *own)]
    return "\n".join(["## Limits", "", *listed])


def _attribution(facts: Facts) -> str:
    lines = ["## Licence and attribution", ""]
    if facts.data.licence == UNKNOWN:
        lines += [_wrapped("Nobody stated a licence of this model: ask its maker before you use it."), ""]
    if not facts.data.attribution:
        lines += [_wrapped("Nobody stated whose the training data are, and under which terms.")]
    lines += [facts.data.attribution] if facts.data.attribution else []
    return "\n".join(lines).rstrip()


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
