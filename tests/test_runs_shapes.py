"""A recipe that asks for more memory than its weights need is refused before the memory is taken."""

import json
import shutil

import pytest

from sclgan.runs.opened import open_run


@pytest.mark.parametrize(
    ("changed", "expected"),
    [  # terabytes, which no machine gives
        ({"encoders": {"code_size": 2_000_000}}, r"text_encoder\.rnn\.weight_ih_l0 is \(32, 16\), not \(4000000, 16\)"),
        ({"encoders": {"embedding_size": 10**9}}, r"text_encoder\.encoder\.weight is"),
        ({"gan": {"nf": 1_500_000}}, r"does not fit the Generator.*block0\.affine0\..* is \(16,\), not"),
    ],
)
def test_sizes_are_compared_before_memory_is_taken(changed, expected, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    content = json.loads((run / "recipe.json").read_text())
    for part, values in changed.items():
        content[part] |= values
    (run / "recipe.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=expected):
        open_run(run, images=False)
