"""Every command in the README and the docs exists; links lead somewhere; the lock follows the declared dependencies."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from command_line import done, recorded
from sclgan.__main__ import COMMANDS
from sclgan.recipes import recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
pytestmark = pytest.mark.skipif(not PAGES[0].is_file(), reason="the documents are not installed")
PLACEHOLDER = re.compile(r"\b(RECIPE|RUN|DIR|FILE|NAME|FOLDER)\b|[|…]|\.\.\.")


def commands(page: Path) -> list[list[str]]:
    """The words behind `sclgan` in each line of an example, those with placeholders left out."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(?:    )?(?:torchrun .* -m )?sclgan (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines if not PLACEHOLDER.search(line.split(" #")[0])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_accepted_and_names_a_recipe_that_exists(page):
    for words in commands(page):
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        with recorded(name) as calls:
            done(*words)
        assert len(calls) == 1
        if name in ("describe", "pretrain", "train"):
            assert recipe(next(word for word in words[1:] if "=" not in word)).name in words


def test_the_readme_shows_the_main_commands_in_less_than_150_lines():
    shown = {words[0] for words in commands(PAGES[0])}
    assert {"sample", "data", "train", "compare", "evaluate", "table", "recipes"} <= shown
    assert len(PAGES[0].read_text().splitlines()) < 150


def test_every_file_that_a_page_links_to_exists():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        missing = [link for link in links if not (page.parent / link).exists()]
        assert not missing, page.name


def test_the_lock_is_of_the_declared_dependencies_and_of_the_public_index():
    lock = (ROOT / "uv.lock").read_text()
    (own,) = (package for package in tomllib.loads(lock)["package"] if package["name"] == "sclgan")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {normalised(one) for one in project["dependencies"]}
    assert {one["name"] for one in own["dependencies"]} == declared, "run `uv lock`"
    for extra, names in project["optional-dependencies"].items():
        assert {one["name"] for one in own["optional-dependencies"][extra]} == set(map(normalised, names)), extra
    assert set(re.findall(r"https?://([^/\"]+)", lock)) == {"pypi.org", "files.pythonhosted.org"}


def normalised(requirement: str) -> str:
    """The name in a requirement, as package indexes write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()
