"""The statistics of emoji that come with the package: what they are of, and their use as real pictures."""

import numpy as np
import torch
from PIL import Image

from sclgan.__main__ import COMMANDS
from sclgan.data.sets.emoji import Emoji
from sclgan.encoders.lite0 import Lite0
from sclgan.evaluation.packaged_statistics import statistics
from sclgan.evaluation.reals import composition
from sclgan.features.networks import LiteExtractor


def test_they_are_of_held_out_emoji_and_of_the_extractor_that_is_installed() -> None:
    known, extractor = statistics(), LiteExtractor(Lite0)
    assert (known.extractor, known.weights_sha256) == (extractor.name, extractor.weights_sha256)
    assert known.num_samples == 10_000
    torch.testing.assert_close(known.sigma, known.sigma.T, rtol=0, atol=0)
    assert torch.linalg.eigvalsh(known.sigma).min() > -1e-5
    pictures = [composition(Emoji("test"), i, 64, 0, num_samples=10_000)[1].pixels for i in range(200)]
    features = extractor(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()).double()
    # 200 of the 10,000: every mean within the error that so few leave, and as much variance in all.
    error = (known.sigma.diagonal() / len(features)).sqrt()
    assert ((features.mean(0) - known.mu).abs() / error).square().mean() < 2
    assert abs(features.var(0).sum() / known.sigma.trace() - 1) < 0.1


def test_a_folder_is_graded_against_them(tmp_path, capsys) -> None:
    for i in range(8):
        Image.fromarray(composition(Emoji("test"), i, 64, 1, num_samples=8)[1].pixels).save(tmp_path / f"{i}.png")
    COMMANDS["evaluate"](tmp_path, reals="emoji_64", protocol=("fd_lite0",), out=tmp_path.parent / "records.jsonl")
    assert "fd_lite0@8" in capsys.readouterr().out
