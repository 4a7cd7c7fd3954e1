"""DAMSM's matching losses: plain-Python sums, gradients, limits of the label mask, two ranks against one process."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ranks import run_on_ranks
from reference import attention_maps
from sclgan.distributed import own_rows
from sclgan.losses.matching import cross_entropies, info_nce, sentence_loss, word_scores, words_loss

GAMMAS: dict[str, Any] = {"gamma1": 4.0, "gamma2": 5.0, "gamma3": 10.0}
LENGTHS = (3, 1, 4, 2)


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Words, mask, regions, sentences, images of four pairs with d = 5, t = 4 and 2 x 3 regions."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(4)[None] < torch.tensor(LENGTHS)[:, None]
    words = torch.randn(4, 5, 4, generator=generator, dtype=dtype) * mask[:, None]
    regions = torch.randn(4, 5, 2, 3, generator=generator, dtype=dtype)
    sentence, image = torch.randn(2, 4, 5, generator=generator, dtype=dtype)
    return words, mask, regions, sentence, image


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def slow_attention(words: list[list[float]], regions: list[list[float]], gamma1: float) -> list[list[float]]:
    """[word][region], from lists of vectors."""
    over_words = [softmax([sum(x * y for x, y in zip(w, r, strict=True)) for w in words]) for r in regions]
    return [softmax([gamma1 * over_words[r][t] for r in range(len(regions))]) for t in range(len(words))]


def slow_score(words: list[list[float]], regions: list[list[float]], gamma1: float, gamma2: float) -> float:
    total = 0.0
    for word, weights in zip(words, slow_attention(words, regions, gamma1), strict=True):
        context = [sum(a * r[d] for a, r in zip(weights, regions, strict=True)) for d in range(len(word))]
        total += math.exp(gamma2 * cosine(context, word))
    return math.log(total)


def slow_cross_entropies(logits: list[list[float]], labels: list[int] | None) -> tuple[float, float]:
    """Image to text and text to image; `logits[image][text]`."""
    n = len(logits)
    sums = [0.0, 0.0]
    for i in range(n):
        rivals = [j for j in range(n) if j == i or labels is None or labels[i] != labels[j]]
        sums[0] -= math.log(math.exp(logits[i][i]) / sum(math.exp(logits[i][j]) for j in rivals))
        sums[1] -= math.log(math.exp(logits[i][i]) / sum(math.exp(logits[j][i]) for j in rivals))
    return sums[0] / n, sums[1] / n


def as_lists() -> tuple[list[list[list[float]]], list[list[list[float]]]]:
    """[caption][word][d] without padding, [image][region][d]."""
    words, _, regions, _, _ = inputs()
    captions = [words[i, :, :length].T.tolist() for i, length in enumerate(LENGTHS)]
    return captions, [image.flatten(1).T.tolist() for image in regions]


@pytest.mark.parametrize("labels", [None, [7, 2, 7, 1], [0, 0, 0, 0]])
def test_words_loss_is_the_plain_sum(labels: list[int] | None) -> None:
    words, mask, regions, _, _ = inputs()
    captions, images = as_lists()
    logits = [[10 * slow_score(caption, image, 4.0, 5.0) for caption in captions] for image in images]
    found = words_loss(words, mask, regions, None if labels is None else torch.tensor(labels), **GAMMAS)
    assert [value.item() for value in found] == pytest.approx(slow_cross_entropies(logits, labels), abs=1e-10)


@pytest.mark.parametrize("labels", [None, [7, 2, 7, 1]])
def test_sentence_loss_is_the_plain_sum(labels: list[int] | None) -> None:
    _, _, _, sentence, image = inputs()
    logits = [[10 * cosine(code, text) for text in sentence.tolist()] for code in image.tolist()]
    found = sentence_loss(sentence, image, None if labels is None else torch.tensor(labels), gamma3=10.0)
    assert [value.item() for value in found] == pytest.approx(slow_cross_entropies(logits, labels), abs=1e-10)


def test_info_nce_is_the_plain_sum() -> None:
    _, _, _, sentence, image = inputs()
    logits = [[7 * cosine(code, text) for text in sentence.tolist()] for code in image.tolist()]
    found = info_nce(sentence, image, torch.tensor(7.0, dtype=torch.float64))
    assert found.item() == pytest.approx(sum(slow_cross_entropies(logits, None)) / 2, abs=1e-10)


def test_attention_is_the_plain_one() -> None:
    words, mask, regions, _, _ = inputs()
    maps = attention_maps(words, mask, regions, gamma1=4.0)
    for i, (caption, image) in enumerate(zip(*as_lists(), strict=True)):
        expected = torch.tensor(slow_attention(caption, image, 4.0), dtype=torch.float64)
        torch.testing.assert_close(maps[i, : LENGTHS[i]].flatten(1), expected)


def test_gradients() -> None:
    words, mask, regions, sentence, image = inputs()
    labels = torch.tensor([7, 2, 7, 1])

    def loss(words: Tensor, regions: Tensor, sentence: Tensor, image: Tensor) -> Tensor:
        by_words = words_loss(words * mask[:, None], mask, regions, labels, **GAMMAS)
        return torch.stack([*by_words, *sentence_loss(sentence, image, labels, gamma3=10.0)]).sum()

    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in (words, regions, sentence, image)])


def test_pieces_change_nothing() -> None:
    words, mask, regions, _, _ = inputs()
    words.requires_grad_()
    whole = word_scores(words, mask, regions, gamma1=4.0, gamma2=5.0)
    pieces = word_scores(words, mask, regions, gamma1=4.0, gamma2=5.0, max_elements=2 * 4 * 4 * 6)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(scores.square().sum(), words)[0] for scores in (whole, pieces)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)


def test_padding_changes_nothing() -> None:
    words, mask, regions, _, _ = inputs()
    longer = torch.cat([words, torch.full((4, 5, 3), 9.0, dtype=words.dtype)], dim=2)
    mask_of_longer = torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
    found = words_loss(longer, mask_of_longer, regions, **GAMMAS)
    torch.testing.assert_close(found, words_loss(words, mask, regions, **GAMMAS))


def test_a_row_without_rivals_adds_nothing() -> None:
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    for loss in cross_entropies(logits, torch.zeros(4, dtype=torch.int64)):
        assert loss == 0


def test_own_labels_are_no_labels() -> None:
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cross_entropies(logits, torch.arange(4)), cross_entropies(logits), rtol=0, atol=0)


def loss_and_gradients() -> list[Tensor]:
    """All losses of this rank's rows and the gradients in its own inputs."""
    rows = own_rows(4)
    words, mask, regions, sentence, image = (x[rows] for x in inputs())
    labels = torch.tensor([7, 2, 7, 1])[rows]
    leaves = [x.clone().requires_grad_() for x in (words, regions, sentence, image)]
    words, regions, sentence, image = leaves
    by_words = words_loss(words, mask, regions, labels, **GAMMAS)
    by_sentence = sentence_loss(sentence, image, labels, gamma3=10.0)
    of_clip = info_nce(sentence, image, torch.tensor(7.0, dtype=torch.float64))
    loss = torch.stack([by_words[0], 2 * by_words[1], 3 * by_sentence[0], 4 * by_sentence[1], 5 * of_clip]).sum()
    loss.backward()
    return [loss.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def test_two_ranks_are_one_process() -> None:
    loss, *gradients = loss_and_gradients()
    ranks = run_on_ranks(loss_and_gradients, 2)
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / 2, loss)
    for whole, first, second in zip(gradients, ranks[0][1:], ranks[1][1:], strict=True):
        torch.testing.assert_close(torch.cat([first, second]) / 2, whole)
