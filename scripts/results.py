"""Gathers evaluated runs into a file under results/, and writes the tables of the pages in docs/ from such files.

    python scripts/results.py gather results/demo.json --command "COMMAND" RUN [RUN ...]
    python scripts/results.py tables

The files of `sclgan table` (NAME.md and NAME.csv) and of `benchmarks/small_data.py` are copied there unchanged. Nothing
in the tables of the pages is typed by hand: `tables` replaces the text between the markers of each file.
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

from sclgan.runs.evaluations import read_evaluations

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "results.md", ROOT / "docs" / "small-data.md")


def gather(out: Path, command: str, runs: list[Path]) -> None:
    """Writes the newest evaluation of every protocol of every run, with its recipe's seed."""
    rows = []
    for run in runs:
        recipe = json.loads((run / "recipe.json").read_text())
        timed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        cost = next(record for record in reversed(timed) if "seconds" in record)
        rows.append(
            {
                "recipe": recipe,
                "images": cost["images"],
                "seconds": cost["seconds"],
                "evaluations": list(read_evaluations(run).values()),
            }
        )
    out.write_text(json.dumps({"command": command, "runs": rows}, indent=1) + "\n")


def table(path: Path) -> str:
    """Markdown: a row per protocol, a column per recipe, mean +- standard deviation over the seeds."""
    content: dict[str, Any] = json.loads(path.read_text())
    names = list(dict.fromkeys(run["recipe"]["name"] for run in content["runs"]))
    values: dict[str, dict[str, list[float]]] = {}
    about: dict[str, dict[str, Any]] = {}
    for run in content["runs"]:
        for record in run["evaluations"]:
            values.setdefault(record["label"], {name: [] for name in names})[run["recipe"]["name"]].append(
                record["value"]
            )
            about[record["label"]] = record
    seeds = sorted({run["recipe"]["seed"] for run in content["runs"]})
    machines = sorted({record["machine"] for run in content["runs"] for record in run["evaluations"]})
    lines = [
        f"| protocol | {' | '.join(names)} | real pictures | better |",
        f"|---|{'---|' * len(names)}---|---|",
    ]
    for label, of_recipes in values.items():
        cells = " | ".join(spread(of_recipes[name]) for name in names)
        floor = about[label]["floor"]
        lines.append(f"| `{label}` | {cells} | {'' if floor is None else f'{floor:.4g}'} | {about[label]['better']} |")
    seconds = ", ".join(
        f"{name} {statistics.mean(r['seconds'] for r in content['runs'] if r['recipe']['name'] == name):.0f} s"
        for name in names
    )
    several = f"Seeds {', '.join(map(str, seeds))}; mean ± standard deviation"
    how = f"{several if len(seeds) > 1 else f'Seed {seeds[0]}'}. GAN training: {seconds}. "
    return "\n".join([*lines, "", f"{how}{'; '.join(machines)}. Made with `{content['command']}`."])


def summary(path: Path) -> str:
    """The notes of a table of `sclgan table`, and its first section: the rows of the first data set in short."""
    how, of_data, *_ = path.read_text().split("\n## ")
    return "\n\n".join((how.partition("\n")[2].strip(), of_data.partition("\n")[2].strip()))


def spread(values: list[float]) -> str:
    """Mean, and standard deviation of two or more values."""
    mean = f"{statistics.mean(values):.4g}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.2g}"


def equal_time(path: Path) -> str:
    """The table of `benchmarks/small_data.py` as Markdown: a row per set of settings, a column per protocol."""
    content: dict[str, Any] = json.loads(path.read_text())
    labels = [name for name, value in content["rows"][0].items() if isinstance(value, list)]
    lines = [
        f"| settings | pictures | per second | {' | '.join(f'`{label}`' for label in labels)} |",
        f"|---|---|---|{'---|' * len(labels)}",
    ]
    for row in content["rows"]:
        cells = " | ".join(f"{row[label][0]:.3g}" for label in labels)
        lines.append(f"| {row['row']} | {row['pictures']:,} | {row['pictures_per_second']:.0f} | {cells} |")
    floors = " | ".join(f"{content['rows'][0][label][1]:.3g}" for label in labels)
    lines.append(f"| real pictures, held out | | | {floors} |")
    how = f"{content['seconds']:.0f} s of processor time each, seed {content['seed']}, {content['machine']}."
    return "\n".join([*lines, "", how])


def made(path: Path) -> str:
    """The table of one file under results/."""
    if path.suffix == ".md":
        return summary(path)
    return table(path) if "runs" in json.loads(path.read_text()) else equal_time(path)


def tables(page: Path) -> str:
    """The page with its tables made anew."""
    return re.sub(
        r"(<!-- (results/\S+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{made(ROOT / found[2])}\n{found[3]}",
        page.read_text(),
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="what")
    gathering = commands.add_parser("gather")
    gathering.add_argument("out", type=Path)
    gathering.add_argument("--command", required=True)
    gathering.add_argument("runs", type=Path, nargs="+")
    commands.add_parser("tables")
    given = parser.parse_args()
    if given.what == "gather":
        gather(given.out, given.command, given.runs)
    else:
        for page in PAGES:
            page.write_text(tables(page))


if __name__ == "__main__":
    main()
