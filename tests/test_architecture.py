"""What every file of the package is held to. Who may import whom: the contracts in `pyproject.toml`."""

import ast
from pathlib import Path

import pytest

import sclgan

SOURCE = Path(sclgan.__file__).parent
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


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
