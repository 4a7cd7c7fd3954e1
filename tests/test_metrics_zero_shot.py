import math

import pytest
import torch

from fakes import unit_rows
from sclgan.metrics.zero_shot import zero_shot_accuracy


def test_accuracy_is_that_of_ranking_the_classes_by_cosine_one_by_one():
    images, classes = 3 * unit_rows(40, 8), 5 * unit_rows(7, 8, seed=1)
    labels = torch.arange(40) % 7

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    found = {1: 0, 3: 0}
    for image, label in zip(images.tolist(), labels.tolist(), strict=True):
        likeness = [cosine(image, one) for one in classes.tolist()]
        nearest = sorted(range(7), key=likeness.__getitem__, reverse=True)
        for k in found:
            found[k] += label in nearest[:k]
    assert zero_shot_accuracy((1, 3), images, classes, labels) == {k: hits / 40 for k, hits in found.items()}


def test_codes_that_say_nothing_score_chance_and_codes_that_say_all_score_one():
    labels = torch.tensor([0, 1, 2, 3, 3])
    accuracy = zero_shot_accuracy((1, 2), torch.ones(5, 4), torch.ones(4, 4), labels)
    assert accuracy == pytest.approx({1: 0.25, 2: 0.5})
    assert zero_shot_accuracy((1,), torch.eye(4)[labels], torch.eye(4), labels) == {1: 1.0}


def test_a_label_without_a_class_is_refused():
    with pytest.raises(ValueError, match="labels are 0 to 4, but there are 4 classes"):
        zero_shot_accuracy((1,), torch.eye(5), torch.eye(4, 5), torch.arange(5))
