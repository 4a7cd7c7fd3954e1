"""Kernel distance, Inception-Score form, retrieval, diversity and ground: known values and torchmetrics."""

import pytest
import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from sclgan.metrics.diversity import IntraClassDiversity
from sclgan.metrics.ground import GroundAccuracy
from sclgan.metrics.inception_score import inception_score
from sclgan.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from sclgan.metrics.retrieval import r_precision, recall_at


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
    with pytest.raises(ValueError, match="two labels"):
        r_precision(codes, codes, torch.zeros(12, dtype=torch.long))
    with pytest.raises(ValueError, match="num_folds"):
        r_precision(codes, codes, labels, num_folds=13)


def test_diversity_equals_the_mean_over_pairs() -> None:
    features, labels = normal(30, 8), torch.arange(30) % 4
    whole = IntraClassDiversity()
    whole.update(features, labels)
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    for label, value in whole.of_labels().items():
        rows = unit[labels == label]
        pairs = [1 - float(rows[i] @ rows[j]) for i in range(len(rows)) for j in range(i)]
        assert value == pytest.approx(sum(pairs) / len(pairs), rel=1e-9)


def test_diversity_of_equal_pictures_is_zero_and_of_random_ones_near_one() -> None:
    labels = torch.arange(40) % 2
    equal, random = IntraClassDiversity(), IntraClassDiversity()
    equal.update(normal(2, 64)[labels], labels)
    random.update(normal(40, 64), labels)
    assert equal.estimate().value == pytest.approx(0, abs=1e-12)
    assert random.estimate().value == pytest.approx(1, abs=0.02)


def test_diversity_merges_and_skips_single_pictures() -> None:
    features, labels = normal(21, 8), torch.cat([torch.arange(20) % 4, torch.tensor([9])])
    whole, parts = IntraClassDiversity(), IntraClassDiversity()
    whole.update(features, labels)
    for rows, numbers in zip(torch.split(features, 5), torch.split(labels, 5), strict=True):
        part = IntraClassDiversity()
        part.update(rows, numbers)
        parts.merge(part)
    assert parts.estimate().value == pytest.approx(whole.estimate().value, rel=1e-12)
    assert 9 not in whole.of_labels()
    single = IntraClassDiversity()
    single.update(features[:1], labels[:1])
    with pytest.raises(ValueError, match="no label has two"):
        single.estimate()


def test_ground_accuracy_counts_named_grounds() -> None:
    navy = torch.tensor([28, 40, 100], dtype=torch.uint8)[None, :, None, None].expand(3, 3, 32, 32)
    accuracy = GroundAccuracy()
    with pytest.raises(ValueError, match="no caption names a ground"):
        accuracy.estimate()
    accuracy.update(navy, ["a car on a navy background", "a car on a peach background", "a car"])
    estimate = accuracy.estimate()
    assert estimate.value == 0.5
    assert estimate.interval is not None
    assert estimate.interval[0] < 0.5 < estimate.interval[1]
