"""Compiled networks: the losses of uncompiled ones, and their checkpoints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
import json, sys, torch
from functools import partial
sys.path.insert(0, sys.argv[1])
from runs import small
from sclgan.encoders.damsm import DAMSM
from sclgan.train.batches import training_batches
from sclgan.train.training import new_phase
from sclgan.train.pretraining import new_encoders
from sclgan.runs.encoders import encoders_class

torch.set_num_threads(1)
found = {}
for compiled in ("false", "true"):
    fields = ("training.batch_size=2", "feature_discriminator.maps=3", f"training.compile={compiled}")
    recipe = small("ssagan_emoji", *fields)
    source = recipe.source("test")
    tokenizer = encoders_class(recipe).tokenizer.of(source.captions(), max_words=recipe.max_words)
    encoders = new_encoders(recipe, tokenizer, num_labels=2).requires_grad_(False).eval()
    phase, _ = new_phase(recipe, encoders)
    batches = training_batches(recipe, source, tokenizer, recipe.training, None)
    losses = [{k: float(v) for k, v in phase.step(batches[n].to(torch.device("cpu")), n + 1).items()} for n in (0, 1)]
    found[compiled] = {"losses": losses, "keys": {n: sorted(m.state_dict()) for n, m in phase.modules.items()}}
found["frames"] = torch._dynamo.utils.counters["stats"]["unique_graphs"]
print(json.dumps(found))
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++) on a CPU")
def test_losses_and_checkpoints_are_those_of_uncompiled_networks():
    """In a process of its own, which the checks of shapes do not slow: they would be compiled too."""
    ended = subprocess.run(
        [sys.executable, "-c", STEPS, str(Path(__file__).parent)], capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["frames"] > 0
    assert found["true"]["keys"] == found["false"]["keys"]
    for compiled, plain in zip(found["true"]["losses"], found["false"]["losses"], strict=True):
        assert compiled == pytest.approx(plain, rel=1e-3, abs=1e-4)
