"""The metrics on given features: known values, torchmetrics and torch-fidelity."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.functional.retrieval import retrieval_r_precision
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd
from torchmetrics.multimodal.clip_score import CLIPScore

from sclgan.metrics.background import background_accuracy, has_named_background
from sclgan.metrics.clip_score import clip_score
from sclgan.metrics.diversity import distances_within_labels, intra_class_diversity
from sclgan.metrics.inception_score import inception_score
from sclgan.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from sclgan.metrics.precision_recall import share_within
from sclgan.metrics.proportion import proportion
from sclgan.metrics.retrieval import _rows_of_other_labels, r_precision, recall_at


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_kernel_distance_equals_that_of_torchmetrics() -> None:
    x, y = normal(60, 16), 0.5 + normal(60, 16, seed=1)
    expected = poly_mmd(x.double(), y.double()).item()
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-6)
    whole = kernel_distance_of_subsets(x, y, num_subsets=1, subset_size=60)
    assert whole.value == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_equals_the_sum_over_pairs() -> None:
    x, y = normal(4, 3).double(), normal(5, 3, seed=1).double()

    def mean_kernel(a: Tensor, b: Tensor, *, same: bool) -> float:
        values = [
            (float(a[i] @ b[j]) / 3 + 1) ** 3 for i in range(len(a)) for j in range(len(b)) if not (same and i == j)
        ]
        return sum(values) / len(values)

    expected = mean_kernel(x, x, same=True) + mean_kernel(y, y, same=True) - 2 * mean_kernel(x, y, same=False)
    assert kernel_distance(x, y).value == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased_and_its_interval_covers() -> None:
    same = torch.tensor(
        [kernel_distance(normal(20, 4, seed=2 * s), normal(20, 4, seed=2 * s + 1)).value for s in range(300)]
    )
    assert same.mean().abs() < 3 * same.std() / len(same) ** 0.5
    shifted = [kernel_distance(normal(40, 4, seed=2 * s), 1 + normal(40, 4, seed=2 * s + 1)) for s in range(200)]
    truth = kernel_distance(normal(4000, 4), 1 + normal(4000, 4, seed=1)).value
    covered = sum(low <= truth <= high for low, high in (e.interval for e in shifted if e.interval)) / len(shifted)
    assert covered > 0.88


def test_kernel_distance_equals_that_of_torch_fidelity() -> None:
    x, y = normal(60, 16), 0.5 + normal(60, 16, seed=1)
    options = {"kid_subsets": 1, "kid_subset_size": 60, "rng_seed": 0, "verbose": False}
    expected = kid_features_to_metric(x.double(), y.double(), **options)["kernel_inception_distance_mean"]
    assert kernel_distance_of_subsets(x, y, num_subsets=1, subset_size=60).value == pytest.approx(expected, rel=1e-9)


def test_subsets_are_those_of_the_seed() -> None:
    x, y = normal(50, 4), normal(50, 4, seed=1)
    first, again, other = (
        kernel_distance_of_subsets(x, y, num_subsets=5, subset_size=10, seed=seed).value for seed in (0, 0, 1)
    )
    assert first == again != other


def test_kernel_distance_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        kernel_distance(normal(1, 4), normal(5, 4))
    with pytest.raises(ValueError, match="same extractor"):
        kernel_distance(normal(5, 4), normal(5, 3))
    with pytest.raises(ValueError, match="NaN"):
        kernel_distance(normal(5, 4) / 0, normal(5, 4))
    with pytest.raises(ValueError, match="subset_size"):
        kernel_distance_of_subsets(normal(5, 4), normal(5, 4), subset_size=6)


def test_inception_score_of_known_predictions() -> None:
    assert inception_score(torch.full((50, 10), 0.1)).value == pytest.approx(1)
    assert inception_score(torch.eye(10).repeat(5, 1), num_splits=1).value == pytest.approx(10)
    assert inception_score(torch.eye(10)[torch.zeros(50, dtype=torch.long)]).value == pytest.approx(1)
    half = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]).repeat(10, 1)
    assert inception_score(half, num_splits=1).value == pytest.approx(2)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torchmetrics warns of its memory
def test_inception_score_equals_that_of_torchmetrics() -> None:
    logits = normal(100, 12) * 3
    theirs = InceptionScore(feature=torch.nn.Identity(), splits=5)
    theirs.update(logits)
    torch.manual_seed(4)  # torchmetrics shuffles with the global generator
    mean, _ = theirs.compute()
    ours = inception_score(logits.double().softmax(1), num_splits=5, seed=4)
    assert ours.value == pytest.approx(mean.item(), rel=1e-5)


def test_inception_score_equals_that_of_torch_fidelity() -> None:
    logits = normal(100, 12) * 3
    shuffled = logits[torch.randperm(100, generator=torch.Generator().manual_seed(4))]
    theirs = isc_features_to_metric(shuffled, splits=5, shuffle=False)
    ours = inception_score(logits.softmax(1), num_splits=5, seed=4)
    mean, deviation = theirs["inception_score_mean"], theirs["inception_score_std"]
    assert ours.value == pytest.approx(mean, rel=1e-6)
    assert ours.interval == pytest.approx((mean - deviation, mean + deviation), rel=1e-6)


def test_the_difference_to_torch_fidelity_on_few_pictures_is_that_of_the_order() -> None:
    logits = normal(40, 100)
    theirs = isc_features_to_metric(logits, splits=10)["inception_score_mean"]
    order = torch.from_numpy(np.random.RandomState(2020).permutation(40))  # the order of torch-fidelity
    ours, own_order = torch.randperm(40, generator=torch.Generator().manual_seed(0)), torch.empty(40, 100)
    own_order[ours] = logits[order]
    assert inception_score(own_order.double().softmax(1)).value == pytest.approx(theirs, rel=1e-6)
    assert inception_score(logits.softmax(1)).value == pytest.approx(theirs, rel=2e-2)


def test_sorted_classes_are_shuffled_before_splitting() -> None:
    by_class = torch.eye(10).repeat_interleave(100, dim=0)
    assert inception_score(by_class, num_splits=10).value > 9


def test_inception_score_refuses_logits_and_too_many_splits() -> None:
    with pytest.raises(ValueError, match="not logits"):
        inception_score(normal(20, 5))
    with pytest.raises(ValueError, match="num_splits"):
        inception_score(torch.full((5, 2), 0.5))


def test_recall_of_identity_and_of_constant_codes() -> None:
    codes = normal(20, 32)
    perfect = recall_at([1, 5], codes, 3 * codes)
    assert perfect.image_to_text == perfect.text_to_image == {1: 1.0, 5: 1.0}
    constant = recall_at([1, 5], torch.ones(20, 3), torch.ones(20, 3))
    assert constant.image_to_text[1] == pytest.approx(1 / 20)
    assert constant.image_to_text[5] == pytest.approx(5 / 20)


def test_recall_by_groups() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.9, 1.0], [0.1, 1.0]])
    recall = recall_at([1, 2], images, texts, image_groups=torch.tensor([0, 1]), text_groups=torch.tensor([1, 0, 0, 1]))
    assert recall.image_to_text == {1: 0.5, 2: 1.0}  # image 0's nearest text is image 1's
    assert recall.text_to_image == {1: 0.5, 2: 1.0}
    with pytest.raises(ValueError, match="pass groups"):
        recall_at([1], images, texts)
    with pytest.raises(ValueError, match="one side only"):
        recall_at([1], images, texts, image_groups=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected one or more"):
        recall_at([0], images, images)


def test_r_precision_of_perfect_random_and_constant_codes() -> None:
    labels = torch.arange(600) % 60
    codes = normal(600, 32)
    assert r_precision(codes, 2 * codes, labels).value == 1
    assert r_precision(torch.ones(600, 3), torch.ones(600, 3), labels).value == pytest.approx(0.01)
    random = [r_precision(normal(600, 32, seed=s), codes, labels).value for s in range(1, 11)]
    assert sum(random) / 10 == pytest.approx(0.01, abs=0.004)


def test_mismatched_captions_have_other_labels() -> None:
    labels = torch.arange(12) % 3
    codes = torch.eye(3)[labels]  # one code a label: a mismatched caption of the own label would tie
    estimate = r_precision(codes, codes, labels, num_folds=3)
    assert estimate.value == 1
    assert estimate.interval == (1, 1)
    with pytest.raises(ValueError, match="at least two captions"):
        r_precision(codes[:1], codes[:1], labels[:1])
    with pytest.raises(ValueError, match="num_folds"):
        r_precision(codes, codes, labels, num_folds=13)


def test_one_label_for_all_pictures_counts_as_none(caplog: pytest.LogCaptureFixture) -> None:
    images, texts, each = normal(40, 8), normal(40, 8, seed=1), torch.arange(40)
    with caplog.at_level("INFO"):
        assert r_precision(images, texts, torch.zeros_like(each)) == r_precision(images, texts, each)
    assert "all pictures have the same label" in caplog.text


def test_r_precision_equals_that_of_torchmetrics_on_the_same_candidates() -> None:
    labels = torch.arange(120) % 7
    texts = normal(120, 8)
    images = texts + 0.9 * normal(120, 8, seed=1)
    wrong = _rows_of_other_labels(labels, torch.Generator().manual_seed(3))
    assert (labels[wrong] != labels[:, None]).all()
    target = torch.tensor([True] + [False] * 99)
    hits = [
        retrieval_r_precision(torch.cosine_similarity(image[None], torch.cat([text[None], texts[rows]])), target)
        for image, text, rows in zip(images, texts, wrong, strict=True)
    ]
    expected = float(torch.stack(hits).double().mean())
    assert 0.1 < expected < 0.9
    assert r_precision(images, texts, labels, seed=3).value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("num_reals", "num_fakes", "width"), [(300, 200, 8), (1100, 1100, 3), (40, 50, 64)])
def test_precision_and_recall_equal_those_of_torch_fidelity(num_reals: int, num_fakes: int, width: int) -> None:
    reals, fakes = 5 + normal(num_reals, width), 5.3 + 0.7 * normal(num_fakes, width, seed=1)
    expected = prc_features_to_metric(fakes.double(), reals.double(), verbose=False)
    assert 0 < expected["recall"] < expected["precision"] < 1
    assert share_within(fakes, reals).value == pytest.approx(expected["precision"], rel=1e-6)
    assert share_within(reals, fakes).value == pytest.approx(expected["recall"], rel=1e-6)


def test_precision_by_hand() -> None:
    support = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # radii by the second neighbour: 2, 1, 2, 9
    points = torch.tensor([[-2.0], [-2.1], [4.0], [1.5], [19.1]])
    estimate = share_within(points, support, num_neighbours=2)
    assert estimate.value == pytest.approx(3 / 5)
    assert estimate.interval is not None
    assert estimate.interval[0] < 3 / 5 < estimate.interval[1]


def test_precision_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="needs at least 4 rows"):
        share_within(normal(5, 4), normal(3, 4))
    with pytest.raises(ValueError, match="same extractor"):
        share_within(normal(5, 4), normal(5, 3))
    with pytest.raises(ValueError, match="NaN"):
        share_within(normal(5, 4) / 0, normal(5, 4))


class Codes(nn.Module):
    """What torchmetrics takes for CLIP: pictures are their own codes, captions name the row of theirs."""

    config = SimpleNamespace()

    def __init__(self, texts: Tensor) -> None:
        super().__init__()
        self.texts = texts

    def get_image_features(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1)

    def get_text_features(self, rows: Tensor, _mask: Tensor) -> Tensor:
        return self.texts[rows]


def processed(images: list[Tensor] | None = None, text: list[str] | None = None, **_: object) -> dict[str, Tensor]:
    if images is not None:
        return {"pixel_values": torch.stack(images)}
    rows = torch.tensor([int(one) for one in text or ()])
    return {"input_ids": rows, "attention_mask": torch.ones(len(rows), 1)}


def test_clip_score_equals_that_of_torchmetrics() -> None:
    images, texts = normal(30, 3, 2, 2), normal(30, 12, seed=1)
    texts += images.flatten(1)
    theirs = CLIPScore(lambda: (Codes(texts), processed))
    theirs.update(images, [str(row) for row in range(30)])
    estimate = clip_score(images.flatten(1), texts)
    assert 100 * estimate.value == pytest.approx(theirs.compute().item(), rel=1e-6)
    assert estimate.interval is not None
    assert estimate.interval[0] < estimate.value < estimate.interval[1]
    assert clip_score(images.flatten(1), -images.flatten(1)).value == pytest.approx(-1)  # no clamp at 0
    assert clip_score(images[:1].flatten(1), texts[:1]).interval is None
    with pytest.raises(ValueError, match="no picture"):
        clip_score(texts[:0], texts[:0])
    with pytest.raises(ValueError, match="NaN"):
        clip_score(texts / 0, texts)


def test_diversity_equals_the_mean_over_pairs() -> None:
    features, labels = normal(31, 8), torch.cat([torch.arange(30) % 4, torch.tensor([9])])
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    found = distances_within_labels(features, labels)
    assert list(found) == [0, 1, 2, 3]  # label 9 has one picture
    for label, value in found.items():
        rows = unit[labels == label]
        pairs = [1 - float(rows[i] @ rows[j]) for i in range(len(rows)) for j in range(i)]
        assert value == pytest.approx(sum(pairs) / len(pairs), rel=1e-9)
    assert intra_class_diversity(features, labels).value == pytest.approx(sum(found.values()) / 4, rel=1e-12)


def test_diversity_of_equal_pictures_is_zero_and_of_random_ones_near_one() -> None:
    labels = torch.arange(40) % 2
    assert intra_class_diversity(normal(2, 64)[labels], labels).value == pytest.approx(0, abs=1e-12)
    assert intra_class_diversity(normal(40, 64), labels).value == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="no label has two"):
        intra_class_diversity(normal(2, 64), torch.arange(2))


def test_background_accuracy_counts_named_backgrounds() -> None:
    navy = torch.tensor([28, 40, 100], dtype=torch.uint8)[None, :, None, None].expand(3, 3, 32, 32)
    is_right = has_named_background(navy, ["a car on a navy background", "a car on a peach background", "a car"])
    assert is_right.tolist() == [1, 0, -1]
    estimate = background_accuracy(is_right)
    assert estimate.value == 0.5
    assert estimate.interval is not None
    assert estimate.interval[0] < 0.5 < estimate.interval[1]
    with pytest.raises(ValueError, match="no caption names a background"):
        background_accuracy(is_right[2:])


@pytest.mark.parametrize(("num_right", "num_counted"), [(0, 1), (0, 40), (7, 40), (40, 40), (1234, 5000)])
def test_interval_of_a_share_is_wilsons_as_scipy_computes_it(num_right: int, num_counted: int) -> None:
    estimate = proportion(num_right, num_counted, "pictures")
    expected = binomtest(num_right, num_counted).proportion_ci(0.95, method="wilson")
    assert estimate.value == num_right / num_counted
    assert estimate.interval == pytest.approx(expected, abs=1e-12)
