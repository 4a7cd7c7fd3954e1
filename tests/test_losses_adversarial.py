"""Hinge pieces, mismatched pairs and the gradient penalty: closed forms, gradients, two ranks against one process."""

import pytest
import torch
from torch import Tensor

from ranks import run_on_ranks
from sclgan.distributed import own_rows
from sclgan.losses.adversarial import (
    gradient_norms,
    hinge_fake,
    hinge_generator,
    hinge_mismatched,
    hinge_real,
    matching_aware_gradient_penalty,
    mismatched_sentences,
)


def test_hinge_pieces() -> None:
    logits = torch.tensor([-2.0, 0.5, 3.0])
    assert hinge_real(logits).item() == pytest.approx((3 + 0.5 + 0) / 3)
    assert hinge_fake(logits).item() == pytest.approx((0 + 1.5 + 4) / 3)
    assert hinge_generator(logits).item() == pytest.approx(-0.5)
    assert hinge_mismatched(logits, num_rows=4).item() == pytest.approx(hinge_fake(logits).item())


def test_mismatched_sentences_are_the_next_rows() -> None:
    sentence = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(mismatched_sentences(sentence), sentence[1:])
    with pytest.raises(ValueError, match="batch of 2 or more"):
        mismatched_sentences(sentence[:1])


def bilinear(image: Tensor, sentence: Tensor) -> Tensor:
    """A discriminator with known gradients: `sum(image)^2 / 2 + sentence . (1, 2)`."""
    return image.flatten(1).sum(1).square() / 2 + sentence @ torch.tensor([1.0, 2.0], dtype=sentence.dtype)


def test_penalty_is_the_mean_sixth_power() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 1, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()
    sentence = torch.randn(3, 2, generator=generator, dtype=torch.float64).requires_grad_()
    norms = (4 * image.detach().flatten(1).sum(1).square() + 1 + 4).sqrt()
    logits = bilinear(image, sentence)
    torch.testing.assert_close(gradient_norms(logits, image, sentence).detach(), norms)
    penalty = matching_aware_gradient_penalty(logits, image, sentence)
    torch.testing.assert_close(penalty.detach(), (norms**6).mean())
    assert torch.autograd.gradcheck(
        lambda image, sentence: matching_aware_gradient_penalty(bilinear(image, sentence), image, sentence),
        (image, sentence),
    )


def test_penalty_of_a_flat_discriminator_has_a_gradient() -> None:
    weight = torch.zeros(2, 3, requires_grad=True)
    image, sentence = torch.ones(2, 3, 1, 1, requires_grad=True), torch.zeros(2, 1, requires_grad=True)
    logits = (weight * image.flatten(1)).sum(1) + 0 * sentence.sum(1)
    penalty = matching_aware_gradient_penalty(logits, image, sentence)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty == 0
    assert torch.equal(gradient, torch.zeros(2, 3))


def mismatched_loss() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    image, sentence = (x[own_rows(6)].clone().requires_grad_() for x in torch.randn(2, 6, 3, generator=generator))
    wrong = mismatched_sentences(sentence)
    loss = hinge_mismatched((image[: len(wrong)] * wrong).sum(1), num_rows=len(image))
    loss.backward()
    return [loss.detach(), *(x.grad for x in (image, sentence) if x.grad is not None)]


def test_two_ranks_are_one_process() -> None:
    loss, *gradients = mismatched_loss()
    ranks = run_on_ranks(mismatched_loss, 2)
    torch.testing.assert_close((ranks[0][0] + ranks[1][0]) / 2, loss)
    for whole, first, second in zip(gradients, ranks[0][1:], ranks[1][1:], strict=True):
        torch.testing.assert_close(torch.cat([first, second]) / 2, whole)
