"""Who may import whom, and what every file of the package is held to."""

import ast
from pathlib import Path

import pytest

import sclgan

SOURCE = Path(sclgan.__file__).parent
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}

# A name stands for the module and all below it; the longest that fits decides. Of those not named here none is used.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"pretrained"},
    # leaves: nothing of the package
    "distributed": set(),
    "files": set(),
    "random": set(),
    "models": set(),
    # what computes
    "losses": {"losses", "distributed"},
    "data": {"data", "distributed", "files", "random"},
    "encoders": {"encoders", "losses", "data.types", "data.captions", "data.needed"},
    "encoders.clip_tokens": {"encoders", "data.types", "files"},
    "gans": {
        "gans.augmentation",
        "gans.base",
        "gans.layers",
        "gans.stacked",
        "gans.stacked_discriminators",
        "gans.stacked_gan",
        "gans.galip_generator",
        "encoders.base",
        "encoders.clip",
        "encoders.damsm",
    }
    | {"losses", "distributed"},
    "metrics": {
        "metrics",
        "encoders.lite0",
        "encoders.lite2",
        "encoders.clip",
        "encoders.clip_tokens",
        "encoders.weight_files",
        "data.types",
        "data.grounds",
        "distributed",
        "files",
        "random",
        "__init__",
    },
    # what decides
    "recipe": {"losses.contrastive", "data.labels", "gans.augmentation"},
    "recipes": {"recipe", "recipes", "gans", "encoders", "data", "losses.contrastive"},
    # what runs
    "train": {"train", "recipe", "losses", "metrics.retrieval", "metrics.zero_shot", "gans.base", "encoders.base"}
    | {"gans.augmentation"}
    | {"data.types", "data.pairs", "data.stream", "distributed", "files", "random"},
    "train.session": {"train", "recipe", "run", "encoders.base"}
    | {"gans.augmentation", "gans.base", "gans.feature_discriminator"}
    | {"data.types", "data.pairs", "data.packed", "data.stream", "data.captions", "distributed", "files", "random"},
    "train.evaluator": {"train", "recipe", "run", "evaluation", "grading", "metrics", "data.types", "distributed"},
    "run": {
        "models",
        "recipe",
        "train.checkpoint",
        "gans.base",
        "encoders.base",
        "distributed",
        "files",
        "random",
    },
    "curve_picture": {"metrics.curve", "files"},
    "grading": {"metrics", "curve_picture", "train.log", "data", "encoders.base", "distributed"},
    "evaluation": {
        "run",
        "models",
        "grading",
        "recipe",
        "metrics",
        "train.log",
        "data.types",
        "data.emoji",
        "encoders.damsm",
    }
    | {"data.picture_files", "distributed", "files", "random"},
    "folder_evaluation": {"run", "grading", "metrics", "data.picture_files", "encoders.damsm", "distributed", "random"},
    "pretrained": {"models", "run"},
    "pictures": {"run", "gans.base", "data.captions", "files"},
    "official": {"official_sizes", "run", "recipe", "recipes", "train.checkpoint", "gans", "encoders", "data", "files"},
    "official_sizes": {"encoders.weight_files"},
    "experiments": {
        "__init__",
        "experiments",
        "evaluation",
        "models",
        "run",
        "recipe",
        "recipes",
        "metrics",
        "train",
        "files",
    }
    | {"data.types", "data.emoji", "distributed", "random"},
    # the command line
    "commands": {
        "commands.arguments",
        "commands.printing",
        "experiments",
        "evaluation",
        "folder_evaluation",
        "grading",
        "metrics.listing",
        "models",
        "official",
        "pictures",
        "run",
        "recipe",
        "recipes",
        "train",
        "data",
        "distributed",
        "files",
    },
    "__main__": {"commands", "distributed"},
}


def holds(name: str, module: str) -> bool:
    """Whether `module` is `name` or below it."""
    return module == name or module.startswith(f"{name}.")


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, at its head or within functions, without "sclgan."."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively: write sclgan.{node.module}"
            of_package = node.module == "sclgan" or f"{node.module}".startswith("sclgan.")
            for alias in node.names if of_package else ():
                below = f"{node.module}.{alias.name}"
                found.add(below if below.removeprefix("sclgan.") in FILES else f"{node.module}")
    inside = {name for name in found if holds("sclgan", name)}
    return {"__init__" if name == "sclgan" else name.removeprefix("sclgan.") for name in inside}


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_only_what_its_place_allows(module):
    place = max((name for name in MAY_IMPORT if holds(name, module)), key=len, default=None)
    assert place is not None, f"say in MAY_IMPORT where {module} stands"
    strangers = {name for name in imports(FILES[module]) if not any(holds(one, name) for one in MAY_IMPORT[place])}
    assert not strangers, f"{module} ({place}) may not import {sorted(strangers)}"


def test_the_table_itself_keeps_the_promises_of_the_design():
    def reach(place: str) -> set[str]:
        return {one.split(".")[0] for one in MAY_IMPORT[place]}

    computes = {"losses", "data", "encoders", "gans", "metrics"}
    decides_or_runs = {"recipe", "recipes", "train", "run", "evaluation", "experiments", "commands", "__main__"}
    assert all(not reach(place) & decides_or_runs for place in computes)
    assert not reach("losses") & (computes - {"losses"})
    assert not reach("data") & (computes - {"data"})
    assert "gans" not in MAY_IMPORT["gans"]  # siblings share base and layers, not each other
    assert "gans" not in MAY_IMPORT["train"] | MAY_IMPORT["run"] | MAY_IMPORT["evaluation"]  # the four verbs suffice
    assert {place for place in MAY_IMPORT if "experiments" in reach(place)} == {"experiments", "commands"}
    assert {place for place in MAY_IMPORT if "commands" in reach(place)} == {"commands", "__main__"}
    assert not any("__main__" in reach(place) for place in MAY_IMPORT)


def test_the_reader_of_imports_sees_every_form(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import os, sclgan.files\nfrom sclgan import distributed\nfrom sclgan.train.log import Metrics\n"
        "from sclgan.train import checkpoint\nimport sclgan\nfrom sclganother import a\n"
        "def f():\n    from sclgan.run import Run\n"
    )
    assert imports(path) == {"files", "distributed", "train.log", "train.checkpoint", "__init__", "run"}


@pytest.mark.parametrize("module", FILES)
def test_a_module_says_what_it_is(module):
    first_line = (ast.get_docstring(ast.parse(FILES[module].read_text())) or "").split("\n")[0]
    assert len(first_line) > 10
    assert first_line.endswith((".", ":"))


def test_no_file_names_a_place_on_one_machine():
    places = ("/home/", "/root/", "/Users/", "/tmp/", "/mnt/", "C:\\")
    texts = {path: path.read_text() for path in SOURCE.rglob("*") if path.suffix in (".py", ".jinja", ".html", ".md")}
    assert len(texts) > len(FILES)
    found = [(path.name, place) for path, text in texts.items() for place in places if place in text]
    assert not found
