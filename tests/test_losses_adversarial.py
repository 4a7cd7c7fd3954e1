"""Hinge, BCE, KL, mismatched pairs and the gradient penalty: closed forms, gradients, two ranks against one process."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ranks import run_on_ranks
from sclgan.distributed import own_rows
from sclgan.losses.adversarial import (
    bce_fake,
    bce_mismatched,
    bce_real,
    hinge_fake,
    hinge_generator,
    hinge_mismatched,
    hinge_real,
    kl_to_standard_normal,
    matching_aware_gradient_penalty,
    mismatched_sentences,
    squared_gradient_norms,
)


def test_hinge_pieces() -> None:
    logits = torch.tensor([-2.0, 0.5, 3.0])
    assert hinge_real(logits).item() == pytest.approx((3 + 0.5 + 0) / 3)
    assert hinge_fake(logits).item() == pytest.approx((0 + 1.5 + 4) / 3)
    assert hinge_generator(logits).item() == pytest.approx(-0.5)
    assert hinge_mismatched(logits, num_rows=4).item() == pytest.approx(hinge_fake(logits).item())


def test_bce_pieces() -> None:
    values = [-2.0, 0.0, 0.5, 3.0]
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    sigmoids = [1 / (1 + math.exp(-value)) for value in values]
    assert bce_real(logits).item() == pytest.approx(sum(-math.log(s) for s in sigmoids) / 4)
    assert bce_fake(logits).item() == pytest.approx(sum(-math.log(1 - s) for s in sigmoids) / 4)
    assert bce_mismatched(logits, num_rows=5).item() == pytest.approx(bce_fake(logits).item())
    assert torch.autograd.gradcheck(bce_real, logits)
    assert torch.autograd.gradcheck(bce_fake, logits)


def test_bce_has_a_gradient_where_a_sigmoid_saturates() -> None:
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    (bce_real(logits) + bce_fake(logits)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([-0.5, 0.5]))
    near = torch.linspace(-8, 8, 5)
    torch.testing.assert_close(bce_real(near), F.binary_cross_entropy(near.sigmoid(), torch.ones(5)))
    torch.testing.assert_close(bce_fake(near), F.binary_cross_entropy(near.sigmoid(), torch.zeros(5)))


def test_kl_is_that_of_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0, 1)).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    one = torch.ones(2, 3)
    assert kl_to_standard_normal(2 * one, 0 * one).item() == pytest.approx(2)
    assert kl_to_standard_normal(0 * one, one).item() == pytest.approx((math.e - 2) / 2)
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mean.detach().requires_grad_(), log_variance.detach()))


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
    torch.testing.assert_close(squared_gradient_norms(logits, image, sentence).sqrt().detach(), norms)
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
