"""The evaluation engine end to end on a tiny source: protocols, records, batch sizes, ranks, errors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluate_source import evaluate
from fakes import Squares
from ranks import run_on_ranks
from sclgan import distributed
from sclgan.encoders.lite0 import WEIGHTS_SHA256, Lite0
from sclgan.evaluation.batches import PictureBatch
from sclgan.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocol_named, protocols_named
from sclgan.evaluation.reals import composition, label_of, measure_reals, row_of
from sclgan.evaluation.results import Result
from sclgan.features.networks import LiteExtractor
from sclgan.features.registry import EXTRACTORS, Classifier

SIZE = 16
WITHOUT_BACKGROUND = [name for name in PROTOCOLS if name != "background_accuracy"]


class Means:
    """An extractor of colours in a four by four grid, with a fixed random classifier and codes of captions."""

    weights_sha256: str = "0" * 64
    num_features: int = 48

    def __init__(self, name: str = "lite0@128") -> None:
        self.name = name

    def texts(self, captions: Sequence[str]) -> Tensor:
        _, words = encode(torch.zeros(len(captions), 3, SIZE, SIZE), captions)
        return words @ torch.randn(4, 48, generator=torch.Generator().manual_seed(1))

    def __call__(self, images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 4).flatten(1)

    def probabilities(self, features: Tensor) -> Tensor:
        weight = torch.randn(48, 10, generator=torch.Generator().manual_seed(0))
        return (features @ weight).softmax(dim=1)


class NamedGrounds(Squares):
    """Squares whose captions name the ground."""

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True):
        picture = super().picture(index, size, rng, augment=augment)
        return type(picture)(picture.pixels, picture.caption + " on a black background")


def encode(images: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Codes of the colour: one for the pixels' strongest channels, the same for the caption's word."""
    words = ("red", "green", "blue", "white")
    texts = torch.eye(4)[[next(i for i, word in enumerate(words) if word in caption) for caption in captions]]
    corner = images[:, :, 2, 2].float() > 128
    seen = torch.where(corner.all(dim=1), 3, corner.long().argmax(dim=1))
    return torch.eye(4)[seen], texts


def generated(num_samples: int, batch_size: int, *, noise: float = 40, codes: bool = True) -> Iterator[PictureBatch]:
    """This rank's share of noisy copies of the source's pictures."""
    source = Squares("test")
    own = range(num_samples)[distributed.rank() :: distributed.world_size()]
    for start in range(0, len(own), batch_size):
        images, captions, labels = [], [], []
        indices = list(own[start : start + batch_size])
        for index in indices:
            row, picture = composition(source, index, SIZE, seed=7, num_samples=num_samples)
            rng = np.random.default_rng(index)
            noisy = np.clip(picture.pixels + noise * rng.standard_normal(picture.pixels.shape), 0, 255)
            images.append(torch.from_numpy(noisy.astype(np.uint8)).permute(2, 0, 1))
            captions.append(picture.caption)
            labels.append(label_of(source, row))
        stack = torch.stack(images)
        pair = encode(stack, captions) if codes else (None, None)
        yield PictureBatch(torch.tensor(indices), stack, captions, torch.tensor(labels), *pair)


def results_of(num_samples: int, batch_size: int) -> dict[str, Result]:
    results = evaluate(
        WITHOUT_BACKGROUND,
        Squares("test"),
        generated(num_samples, batch_size),
        training=Squares("train"),
        num_reals=48,
        extractors={name: Means(name) for name in EXTRACTORS},
        encode=encode,
        encoders_sha256="1" * 64,
    )
    return {result.protocol: result for result in results}


def assert_same_values(a: dict[str, Result], b: dict[str, Result]) -> None:
    for name in WITHOUT_BACKGROUND:  # the square root of a rank-deficient covariance magnifies rounding to 1e-8
        assert a[name].value == pytest.approx(b[name].value, rel=1e-6, abs=1e-6)
        assert a[name].floor == pytest.approx(b[name].floor, rel=1e-6, abs=1e-6)
        assert a[name].num_samples == b[name].num_samples


def test_one_pass_serves_every_protocol() -> None:
    results = results_of(48, 10)
    assert list(results) == WITHOUT_BACKGROUND
    fd = results["fd_lite0"]
    assert fd.floor is not None
    assert fd.value > fd.floor  # the fakes are noisy, the floor is of clean pictures
    assert results["r_precision_damsm"].floor is not None
    assert results["r_precision_damsm"].extractor == "the run's own encoders"
    assert results["r_precision_damsm"].weights_sha256 == "1" * 64
    assert results["is_lite0"].num_reals == 0
    assert (fd.num_samples, fd.num_reals, fd.num_floor, fd.split) == (48, 48, 48, "test")
    assert fd.label == "fd_lite0@48"
    record = json.loads(json.dumps(results["kid_lite0"].to_json()))
    assert len(record["interval"]) == 2
    assert record["versions"]["torch"] == str(torch.__version__)


def test_batch_size_does_not_matter() -> None:
    assert_same_values(results_of(30, 4), results_of(30, 30))


def test_ranks_give_the_results_of_one_process() -> None:
    single = results_of(23, 8)
    for results in run_on_ranks(results_of, 2, 23, 8):
        assert_same_values(results, single)


def test_real_pictures_are_measured_once() -> None:
    protocols = [PROTOCOLS["fd_lite0"], PROTOCOLS["kid_lite0"]]
    extractors = {"lite0@128": Means()}
    reals = measure_reals(protocols, Squares("test"), extractors, size=SIZE, num_reals=48, num_floor=20, seed=0)
    again = evaluate(protocols, reals, generated(20, 8, codes=False), extractors=extractors)
    fresh = evaluate(protocols, Squares("test"), generated(20, 8, codes=False), num_reals=48, extractors=extractors)
    assert [(r.value, r.floor) for r in again] == [(r.value, r.floor) for r in fresh]
    with pytest.raises(ValueError, match="measure the real pictures again"):
        evaluate(protocols, reals, generated(20, 8), seed=1, extractors=extractors)
    other = measure_reals(protocols[:1], Squares("test"), extractors, size=SIZE, num_reals=8, num_floor=0, seed=0)
    with pytest.raises(ValueError, match="not measured for"):
        evaluate(protocols, other, generated(20, 8), extractors=extractors)


def test_background_protocol_reads_captions() -> None:
    source = NamedGrounds("test")
    _, picture = composition(source, 0, SIZE, seed=0, num_samples=1)
    image = torch.from_numpy(np.full_like(picture.pixels, 18)).permute(2, 0, 1)[None]
    batch = PictureBatch(torch.tensor([0]), image, [picture.caption], torch.tensor([0]))
    (result,) = evaluate(["background_accuracy"], source, [batch], num_reals=8)
    assert result.value == 1
    assert result.extractor is None
    assert result.weights_sha256 is None


def test_rows_come_once_where_there_are_enough_and_else_at_random() -> None:
    once = [row_of(10, index, seed=3, num_samples=10) for index in range(10)]
    assert sorted(once) == list(range(10)) != once
    counts = np.bincount([row_of(10, index, seed=3, num_samples=1000) for index in range(1000)], minlength=10)
    assert 60 < counts.min() < counts.max() < 140


def test_kernel_distance_of_repeated_rows_is_not_biased() -> None:
    extractors = {"lite0@128": Means()}
    floors = []
    for seed in range(12):
        options: dict[str, Any] = {"size": SIZE, "num_reals": 40, "num_floor": 20, "seed": seed}
        reals = measure_reals([PROTOCOLS["kid_lite0"]], Squares("test"), extractors, **options)
        floors.append(reals.floors["kid_lite0"])
    assert abs(np.mean(floors)) < 3 * np.std(floors) / len(floors) ** 0.5


def test_rows_without_one_label_have_their_own() -> None:
    source = Squares("test", labelled=False)
    assert len({label_of(source, row) for row in range(len(source))}) == len(source)
    assert label_of(Squares("test"), 5) == 1


def test_inputs_that_cannot_be_graded_are_refused() -> None:
    means = {"lite0@128": Means()}
    batch = next(generated(4, 4, codes=False))
    with pytest.raises(ValueError, match="given twice"):
        evaluate(["is_lite0"], Squares("test"), [batch, batch], extractors=means)
    with pytest.raises(ValueError, match="no pictures were given"):
        evaluate(["is_lite0"], Squares("test"), [], extractors=means)
    with pytest.raises(ValueError, match="image_codes and text_codes"):
        evaluate(["r_precision_damsm"], Squares("test"), [batch], extractors=means)
    with pytest.raises(ValueError, match="repeated"):
        evaluate(["is_lite0", "is_lite0"], Squares("test"), [batch], extractors=means)
    with pytest.raises(ValueError, match="need the extractors"):
        evaluate(["is_lite0"], Squares("test"), [batch], extractors={})
    with pytest.raises(ValueError, match="no rows"):
        evaluate(["fd_lite0"], Squares("test", per_label=0), [batch], extractors=means)


def test_protocols_have_their_own_names_and_labels() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert PROTOCOLS["fd_lite0"].label(5_000) == "fd_lite0"
    with pytest.raises(ValueError, match="did you mean 'kid_lite0'"):
        protocol_named("kid_lit0")
    assert isinstance(protocol_named("background_accuracy"), EvaluationProtocol)
    assert [p.name for p in protocols_named(["kid", "precision_recall"])] == ["kid", "precision", "recall"]


def test_lite0_extractor() -> None:
    extractor = LiteExtractor(Lite0)
    assert isinstance(extractor, Classifier)
    assert extractor.weights_sha256 == WEIGHTS_SHA256
    images = torch.randint(0, 256, (21, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = extractor(images)
    assert features.shape == (21, extractor.num_features)
    assert features.dtype == torch.float32
    torch.testing.assert_close(extractor(images[20:]), features[20:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(extractor.probabilities(features).sum(1), torch.ones(21))
