"""Cross entropy of labels against its definition."""

import math

import pytest
import torch

from sclgan.losses.classification import label_cross_entropy

LOGITS = [[0.5, -1.0, 2.0], [0.1, 0.2, -0.3], [3.0, 1.0, -2.0]]


def test_one_label_a_row_is_the_plain_sum():
    labels = [2, 0, 7]  # the last row has no label: it adds 0 and counts in the mean
    losses = [-math.log(math.exp(row[k]) / sum(map(math.exp, row))) for row, k in zip(LOGITS, labels[:2], strict=False)]
    found = label_cross_entropy(torch.tensor(LOGITS, dtype=torch.float64), torch.tensor(labels))
    assert found.item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_several_labels_a_row_are_told_one_by_one():
    sets = [{0, 2}, {1}, set()]
    losses = [
        sum(-math.log(1 / (1 + math.exp(-x if label in own else x))) for label, x in enumerate(row)) / 3
        for row, own in zip(LOGITS, sets, strict=True)
        if own
    ]
    hot = torch.tensor([[label in own for label in range(3)] for own in sets])
    found = label_cross_entropy(torch.tensor(LOGITS, dtype=torch.float64), torch.tensor([0, 1, 5]), hot)
    assert found.item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_rows_without_labels_have_no_gradient():
    logits = torch.tensor(LOGITS, requires_grad=True)
    label_cross_entropy(logits, torch.tensor([2, 0, 7])).backward()
    assert logits.grad is not None
    assert logits.grad[2].abs().max() == 0
    assert logits.grad[:2].abs().min() > 0
