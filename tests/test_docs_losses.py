"""The page "The losses with your own model": its example runs, and what it learns shows in the loss."""

import re
import runpy
from pathlib import Path

import pytest

from sclgan import losses

PAGE = Path(__file__).parents[1] / "docs" / "losses.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the documents are not installed")


def test_the_example_runs_and_its_loss_falls(tmp_path):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "example.py").write_text(block)
    found = runpy.run_path(str(tmp_path / "example.py"))["losses"]
    assert found[-1] < found[0] - 0.5


def test_the_table_names_every_loss_and_no_other():
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|.*$", PAGE.read_text(), flags=re.MULTILINE)))
    assert sorted(named) == sorted(losses.__all__)
