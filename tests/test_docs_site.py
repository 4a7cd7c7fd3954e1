"""The documentation as a site: it builds without a warning, fetches nothing, and its Python runs."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIG = ROOT / "zensical.toml"
PAGES = sorted(DOCS.rglob("*.md"))
# Run by test_docs.py, test_publishing_*.py and test_docs_losses.py.
ELSEWHERE = {"your-own-data.md", "export-and-publish.md", "losses.md"}
pytestmark = pytest.mark.skipif(not CONFIG.is_file(), reason="the documents are not installed")


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def in_navigation(entries: list[dict[str, object]]) -> Iterator[str]:
    for entry in entries:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else in_navigation(target)  # type: ignore[arg-type]


def test_the_navigation_has_every_page_once() -> None:
    project = tomllib.loads(CONFIG.read_text())["project"]
    assert sorted(in_navigation(project["nav"])) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize(
    "page",
    [page for page in [ROOT / "README.md", *PAGES] if page.name not in ELSEWHERE and python_blocks(page)],
    ids=lambda page: page.name,
)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = torch.randn(4, 6, 8).unbind()
    names = {
        "z": codes[0],
        "labels": torch.tensor([0, 0, 1, 1, 2, 2]),
        **dict(zip(("t1", "t2", "v1", "v2"), codes, strict=True)),
    }
    names = names if page.name == "README.md" else {}  # the README shows calls without their arguments
    for block in python_blocks(page):
        exec(compile(block, str(page), "exec"), names)


class Fetched(HTMLParser):
    """The addresses that a page loads by itself: links that a reader may follow are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload", "dns-prefetch")
        if address := given.get("href" if loads else "src"):
            self.found.append(address)


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(CONFIG, tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text())
        assert parser.found
        assert not [address for address in parser.found if "//" in address], page.name
    losses = (tmp_path / "site" / "api" / "losses.html").read_text()
    assert 'id="sclgan.losses.contrastive.quadruple"' in losses  # made from the docstrings


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs() -> None:
    notebook = nbformat.read(DOCS / "one-minute.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "within a label" in printed
