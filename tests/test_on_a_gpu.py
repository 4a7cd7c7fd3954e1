"""The script for a machine with a GPU, in its dry form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "on_a_gpu.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the scripts are not installed")


def test_the_dry_form_runs_every_part_and_writes_results(tmp_path):
    out = tmp_path / "results.json"
    ended = subprocess.run([sys.executable, str(SCRIPT), str(out), "--dry"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    results = json.loads(out.read_text())
    assert list(results) == ["about", "collectives", "device tests", "ssagan float32"]
    assert results["about"]["torch"] == torch.__version__
    assert results["about"]["cores"] == os.cpu_count()
    assert results["collectives"]["intact"]
    assert results["ssagan float32"]["ms"] > 0
    assert ended.stdout.endswith("4 parts done\n")
