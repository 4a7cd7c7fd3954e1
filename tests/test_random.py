"""Random numbers are functions of their keys, and no two purposes, seeds or keys share a stream."""

from itertools import product

import numpy as np
import pytest
import torch

from sclgan.random import Stream, integer_seed, normal, numpy_generator, uniform

SMALL = range(3)
KEYS = [(), *((a,) for a in SMALL), *product(SMALL, SMALL), *product(SMALL, SMALL, SMALL)]


def test_no_two_purposes_seeds_or_keys_share_a_stream():
    """Lengths count: (seed, i) and (seed, i, 0) differ, which a key that is padded with zeros would not tell apart."""
    firsts = {
        numpy_generator(stream, seed, *key).random(2).tobytes() for stream, seed, key in product(Stream, SMALL, KEYS)
    }
    assert len(firsts) == len(Stream) * len(SMALL) * len(KEYS)
    seeds = {integer_seed(stream, seed, *key) for stream, seed, key in product(Stream, SMALL, KEYS)}
    assert len(seeds) == len(firsts)


def test_the_numbers_of_the_streams_are_fixed():
    """A stream that is renumbered changes every result that draws from it."""
    assert [stream.value for stream in Stream] == list(range(1, len(Stream) + 1))
    assert normal(1, 2, Stream.SAMPLE, 0).tolist() == [pytest.approx([0.40283498, -0.63854748])]


def test_noise_of_a_key_is_the_same_again_and_uncorrelated_with_that_of_other_purposes():
    draws = [normal(200, 20, stream, 0).flatten() for stream in (Stream.NOISE, Stream.GRADED_NOISE, Stream.SAMPLE)]
    assert torch.equal(draws[0], normal(200, 20, Stream.NOISE, 0).flatten())
    correlation = torch.corrcoef(torch.stack(draws)) - torch.eye(3)
    assert correlation.abs().max() < 4 / 4000**0.5
    drawn = uniform(1000, 3, Stream.AUGMENTATION, 0, 1, 0)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)


def test_pairs_do_not_follow_scenes():
    """They were one stream once: for seed 0 the caption that was drawn followed the place (chi-square 11,594)."""
    num_scenes, bins = 600, 5
    scenes, pairs = [
        [numpy_generator(stream, 0, 0, row).random() for row in range(num_scenes)]
        for stream in (Stream.SCENE, Stream.PAIR)
    ]
    table = np.histogram2d(np.array(scenes), np.array(pairs), bins=np.linspace(0, 1, bins + 1))[0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / num_scenes
    assert ((table - expected) ** 2 / expected).sum() < 40  # 16 degrees: 0.1 % of independent tables are above 39
