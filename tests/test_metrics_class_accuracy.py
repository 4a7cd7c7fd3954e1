"""Accuracy of classes: the classifier against other ways to its minimum, and what it says of pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from evaluate_source import evaluate
from fakes import Squares
from sclgan.data.sets.emoji import Emoji
from sclgan.evaluation.batches import PictureBatch
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.measured import measure
from sclgan.evaluation.protocols import PROTOCOLS
from sclgan.evaluation.reals import composed
from sclgan.evaluation.run import evaluate_run
from sclgan.evaluation.training_reals import MOST, measure_training, num_fitted, why_none
from sclgan.features import cache
from sclgan.metrics.probe import LinearProbe, fit

TOP1, TOP5 = PROTOCOLS["class_accuracy"], PROTOCOLS["class_accuracy_top5"]


def clouds(num_rows: int, num_classes: int, width: int, *, apart: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Float64 rows around a centre for each class, with labels that are not 0, 1, 2."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_rows) % num_classes
    centres = torch.randn(num_classes, width, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    noise = torch.randn(num_rows, width, generator=generator, dtype=torch.float64)
    return 3 + apart * centres[labels] + noise * torch.logspace(-1, 1, width, dtype=torch.float64), 7 * labels + 2


def test_classes_that_are_apart_are_told_apart() -> None:
    probe = fit(*clouds(200, 8, 20, apart=30))
    features, labels = clouds(100, 8, 20, apart=30, seed=1)
    assert probe.classes.tolist() == [2, 9, 16, 23, 30, 37, 44, 51]
    assert probe.right(features, labels, top=1).all()
    assert not probe.right(features, labels.roll(1), top=1).any()


def test_it_is_the_minimum_that_automatic_differentiation_and_newton_find() -> None:
    features, labels = clouds(60, 3, 4, apart=0.5)
    probe = fit(features, labels, penalty=0.02, tolerance=1e-9)
    rows = torch.from_numpy((features.numpy() - features.numpy().mean(0)) / features.numpy().std(0))

    def objective(parameters: Tensor) -> Tensor:
        weight, bias = parameters[:12].view(3, 4), parameters[12:]
        return F.cross_entropy(rows @ weight.T + bias, (labels - 2) // 7) + 0.01 * weight.square().sum()

    found = torch.cat([probe.weight.flatten(), probe.bias])
    assert torch.autograd.functional.jacobian(objective, found).abs().max() < 1e-8
    exact = torch.zeros(15, dtype=torch.float64)
    for _ in range(30):  # the Hessian is singular along a constant in the bias, which no score depends on
        hessian = torch.autograd.functional.hessian(objective, exact)
        exact = exact - torch.linalg.pinv(hessian) @ torch.autograd.functional.jacobian(objective, exact)
    torch.testing.assert_close(probe.weight.flatten(), exact[:12], rtol=0, atol=1e-6)
    torch.testing.assert_close(probe.bias - probe.bias.mean(), exact[12:] - exact[12:].mean(), rtol=0, atol=1e-6)
    torch.testing.assert_close(probe.scores(features), rows @ probe.weight.T + probe.bias)


def test_neither_the_order_of_rows_nor_the_scale_of_features_decides() -> None:
    features, labels = clouds(80, 4, 6, apart=0.5)
    probe, order = fit(features, labels), torch.randperm(80, generator=torch.Generator().manual_seed(3))
    scores = probe.scores(features)
    for other in (fit(features[order], labels[order]).scores(features), fit(5 * features, labels).scores(5 * features)):
        torch.testing.assert_close(other.softmax(1), scores.softmax(1), rtol=0, atol=1e-3)


def test_constant_features_say_nothing() -> None:
    features, labels = clouds(40, 3, 4, apart=5)
    wider = torch.cat([features, torch.full((40, 1), 7.0, dtype=torch.float64)], dim=1)
    probe = fit(wider, labels)
    shifted = wider.clone()
    shifted[:, -1] += 100
    assert torch.equal(probe.scores(shifted), probe.scores(wider))


def test_the_place_of_the_label_counts_and_equal_scores_do_not() -> None:
    flat = LinearProbe(torch.zeros(6), torch.ones(6), torch.eye(6), torch.zeros(6), torch.tensor([1, 3, 5, 7, 9, 11]))
    features, labels = torch.tensor([[6.0, 5, 4, 3, 2, 1]]).expand(7, 6), torch.tensor([1, 3, 5, 7, 9, 11, 4])
    assert flat.right(features, labels, top=1).tolist() == [True] + [False] * 6
    assert flat.right(features, labels, top=5).tolist() == [True] * 5 + [False] * 2
    assert flat.knows(labels).tolist() == [True] * 6 + [False]
    assert not flat.right(torch.ones(7, 6), labels, top=5).any()


def test_what_cannot_be_fitted_is_refused() -> None:
    features, labels = clouds(20, 2, 3, apart=1)
    with pytest.raises(ValueError, match="was given 1: expected pictures of at least two"):
        fit(features, torch.zeros(20, dtype=torch.long))
    with pytest.raises(ValueError, match="weights are damaged"):
        fit(features / 0, labels)
    with pytest.raises(ValueError, match="raise the penalty"):
        fit(features, labels, tolerance=1e-30)
    with pytest.raises(ValueError, match="look at the generator's output"):
        fit(features, labels).right(features / 0, labels, top=1)


class Few(Emoji):
    """The first classes of the embedded emoji; `first` numbers them otherwise."""

    def __init__(self, split: str, num_classes: int = 8, *, first: int = 0) -> None:
        super().__init__(split)
        kept = [row for row, (label,) in enumerate(self.labels) if label < num_classes]
        self.rows = tuple(self.rows[row] for row in kept)
        self.labels = tuple(((self.labels[row][0] + first) % num_classes,) for row in kept)
        self.keys = tuple(self.keys[row] for row in kept)
        names = self.label_names[:num_classes]
        self.label_names = tuple(names[(label - first) % num_classes] for label in range(num_classes))


SIZE, FITTED = 32, [replace(protocol, num_fitted=100) for protocol in (TOP1, TOP5)]


def graded(fakes: Iterator[PictureBatch], training: Emoji, **options: Any) -> dict[str, Any]:
    results = evaluate(FITTED, Few("test"), fakes, training=training, **options)
    return {result.protocol: result for result in results}


def test_held_out_drawings_are_recognised_and_their_labels_go_by_name() -> None:
    held_out = Few("test")
    of_reals = graded(composed(held_out, range(40), 40, SIZE, seed=5), Few("train"))
    again = graded(composed(held_out, range(40), 40, SIZE, seed=5, batch_size=7), Few("train", first=3))
    top1, top5 = of_reals["class_accuracy"], of_reals["class_accuracy_top5"]
    assert 0.5 < top1.value <= top5.value  # chance is 1 of 8, and 5 of 8
    assert 0.5 < top1.floor <= top5.floor
    assert top1.value == pytest.approx(again["class_accuracy"].value, abs=0.05)
    assert top5.value == pytest.approx(again["class_accuracy_top5"].value, abs=0.05)
    assert top1.interval[0] < top1.value < top1.interval[1]
    assert (top1.interval_kind, top1.split) == ("95 % Wilson interval over 40 pictures, chance 0.12", "train")
    num_rows = len(Few("train"))
    assert (top1.num_reals, top1.num_floor) == (num_rows * -(-100 // num_rows), 40)
    assert (top1.extractor, top1.better) == ("lite2@128", "higher")


def test_pictures_of_other_things_are_not_recognised() -> None:
    strangers = composed(Few("test"), range(40), 40, SIZE, seed=5)
    wrong = (replace(batch, labels=(batch.labels + 1) % 8) for batch in strangers)
    assert graded(wrong, Few("train"), floor=False)["class_accuracy"].value < 0.2


def test_one_classifier_serves_both_and_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    monkeypatch.setattr(cache, "fit", lambda *rows: fits.append(len(rows[0])) or fit(*rows))
    training, held_out = Squares("train"), Squares("test")
    extractors = {"lite2@128": Means()}
    fitted = measure_training(FITTED, training, held_out, extractors, size=16, num_floor=8, seed=0)
    for _ in range(2):
        fakes = measure(FITTED, composed(held_out, range(8), 8, 16, seed=0), extractors=extractors)
        for protocol in FITTED:
            value = fakes.measures[protocol.name].estimate(fitted.references[protocol.name]).value
            assert value == fitted.floors[protocol.name] == 1
    assert fits == [fitted.num_reals] == [112]


class Means:
    """An extractor of colours in a four by four grid."""

    name: str = "lite2@128"
    weights_sha256: str = "0" * 64
    num_features: int = 48

    def __call__(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images.float() / 255, 4).flatten(1)


class PartlyLabelled(Squares):
    """Every second square has no label."""

    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.labels = [own if row % 2 else () for row, own in enumerate(self.labels)]


def test_pictures_without_a_label_are_neither_fitted_to_nor_counted() -> None:
    training, held_out = PartlyLabelled("train"), PartlyLabelled("test")
    fakes = composed(held_out, range(16), 16, 16, seed=0)
    (result,) = evaluate(FITTED[:1], held_out, fakes, training=training, extractors={"lite2@128": Means()})
    assert (result.value, result.num_samples, result.num_reals) == (1, 16, 104)
    assert "over 8 pictures" in result.interval_kind


def test_every_row_is_fitted_to_equally_often() -> None:
    assert num_fitted(Squares(per_label=4), TOP1) == 2512
    assert num_fitted(Squares(per_label=624), TOP1) == 4992
    assert num_fitted(Squares(per_label=625), TOP1) == 2500
    assert num_fitted(Squares(per_label=700), TOP1) == 2800
    assert num_fitted(Squares(per_label=9999), TOP1) == MOST


def test_the_same_pictures_whatever_the_batch_and_others_in_each_turn() -> None:
    seen: list[bytes] = []

    class Keeping(Means):
        def __call__(self, images: Tensor) -> Tensor:
            seen.extend(image.numpy().tobytes() for image in images)
            return super().__call__(images)

    def pictures(batch_size: int) -> list[bytes]:
        seen.clear()
        options: dict[str, Any] = {"size": 32, "num_floor": 0, "seed": 4, "batch_size": batch_size}
        measure_training(FITTED[:1], Few("train"), Few("test"), {"lite2@128": Keeping()}, **options)
        return list(seen)

    whole, num_rows = pictures(1000), len(Few("train"))
    assert pictures(13) == whole
    assert len(whole) > num_rows
    assert len(set(whole[:num_rows])) == num_rows
    assert not set(whole[:num_rows]) & set(whole[num_rows:])


class Renamed(Squares):
    """Squares whose labels have other names."""

    def __init__(self, split: str) -> None:
        super().__init__(split)
        self.label_names = [f"other {name}" for name in self.label_names]


@pytest.mark.parametrize(
    ("training", "held_out", "expected"),
    [
        (Squares("train", labelled=False), Squares("test", labelled=False), "needs labels, and the split 'train'"),
        (Squares("train"), Renamed("test"), "such as 'blue', is in the split 'test'"),
        (Few("train", 1), Few("test", 1), "has only one"),
    ],
)
def test_data_that_give_no_classifier_say_why(training: Any, held_out: Any, expected: str) -> None:
    assert expected in (why_none(training, held_out) or "")
    with pytest.raises(ValueError, match=f"^class_accuracy, class_accuracy_top5: .*{expected}"):
        measure_training(FITTED, training, held_out, {"lite2@128": Means()}, size=16, num_floor=0, seed=0)
    assert why_none(Squares("train"), Squares("test")) is None


def test_without_training_pictures_it_is_refused() -> None:
    fakes = composed(Squares("test"), range(8), 8, 16, seed=0)
    with pytest.raises(ValueError, match="not measured for class_accuracy: pass this protocol to measure_training"):
        evaluate([TOP1], Squares("test"), fakes, extractors={"lite2@128": Means()})


def test_of_a_run_it_is_fitted_to_the_data_of_the_run_whatever_the_reals(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCLGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sclgan.evaluation.measured.EXTRACTORS", {"lite2@128": lambda device: Means()})
    monkeypatch.setattr(cache, "fit", lambda *rows: fit(*rows, tolerance=1e-3))
    for number in range(9):
        Image.new("RGB", (40, 40), (20 * number, 9, 90)).save(tmp_path / f"{number}.png")
    options: dict[str, Any] = {"num_images": 12, "out": tmp_path / "records.jsonl"}
    own, other = (
        evaluate_run(trained, EvaluationOptions(["kid_lite2", "class_accuracy"], reals=reals, **options))
        for reals in (None, str(tmp_path))
    )
    assert [result.label for result in own] == ["kid_lite2@12", "class_accuracy@12"]
    assert [result.label for result in other] == [f"kid_lite2@12 against {tmp_path.name}", "class_accuracy@12"]
    for result in (own[1], other[1]):
        assert (result.source, result.split, result.num_reals) == ("emoji", "train", len(Emoji("train")))
        assert (result.value, result.floor, result.num_floor) == (own[1].value, own[1].floor, 12)
    assert (other[0].num_reals, other[0].floor) == (9, None)
