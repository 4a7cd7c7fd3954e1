"""Adversarial losses on matching, mismatched and generated image-text pairs: hinge, BCE, gradient penalty; KL.

Hinge and penalty: Tao et al. 2022, "DF-GAN: A Simple and Effective Baseline for Text-to-Image Synthesis" (CVPR),
section 3. BCE and KL: Zhang et al. 2017, "StackGAN" (ICCV), section 3, as AttnGAN and DM-GAN use them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sclgan.distributed import gather_rows, own_rows, rank, world_size
from sclgan.losses.precision import in_float32


@in_float32
def hinge_real(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """`mean_b max(0, 1 - logits)`: pairs that D should accept."""
    return F.relu(1 - logits).mean()


@in_float32
def hinge_fake(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """`mean_b max(0, 1 + logits)`: pairs that D should reject."""
    return F.relu(1 + logits).mean()


@in_float32
def hinge_mismatched(logits: Float[Tensor, " m"], num_rows: int, num_parts: int = 1) -> Float[Tensor, ""]:
    """`hinge_fake` of the pairs that `mismatched_sentences` made of `num_rows` rows of this rank, or of a part."""
    return mean_over_mismatched(F.relu(1 + logits), num_rows, num_parts)


@in_float32
def hinge_generator(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """`-mean_b logits`: G's side of the hinge game."""
    return -logits.mean()


@in_float32
def bce_real(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """`mean_b -log sigmoid(logits)`: pairs and images that D should accept, and those of G in its own step.

    Differs from the code of AttnGAN and DM-GAN, which takes the clamped logarithm of a float32 sigmoid: there a very
    wrong logit (below -27 here, above 17 in `bce_fake`) has next to no gradient.
    """
    return F.softplus(-logits).mean()


@in_float32
def bce_fake(logits: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """`mean_b -log(1 - sigmoid(logits))`: pairs and images that D should reject; see `bce_real`."""
    return F.softplus(logits).mean()


@in_float32
def bce_mismatched(logits: Float[Tensor, " m"], num_rows: int, num_parts: int = 1) -> Float[Tensor, ""]:
    """`bce_fake` of the pairs that `mismatched_sentences` made of `num_rows` rows of this rank, or of a part."""
    return mean_over_mismatched(F.softplus(logits), num_rows, num_parts)


@in_float32
def kl_to_standard_normal(mean: Float[Tensor, "b c"], log_variance: Float[Tensor, "b c"]) -> Float[Tensor, ""]:
    """The KL divergence of the Gaussians of conditioning augmentation from N(0, I) (Zhang et al. 2017, Eq. 2).

        mean_{b, c}  (mean^2 + exp(log_variance) - 1 - log_variance) / 2

    Differs from the paper, whose divergence is the sum over the c dimensions: its code, AttnGAN's, DM-GAN's and this
    take the mean over them.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def mismatched_sentences(sentence: Float[Tensor, "b d"]) -> Float[Tensor, "m d"]:
    """For each row of this rank the sentence of the next row of the global batch; the last global row has none.

    Image i goes with sentence i + 1: `logits(features[: len(wrong)], wrong)`. m = b, but b - 1 on the last rank.

    Reference quirk: labels are ignored, so both halves of a pair may have one label. Kept: all released weights saw it.

    Raises:
        ValueError: the global batch is a single row, which has no other row to be mismatched with.
    """
    everyone = gather_rows(sentence)
    if len(everyone) < 2:
        raise ValueError("mismatched pairs need a batch of 2 or more, got 1: raise the batch size or drop the term")
    own = own_rows(len(everyone))
    return everyone[own.start + 1 : own.stop + 1]


def next_sentences(sentence: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """`mismatched_sentences` in a ring, as GALIP takes them: the last row of the global batch gets the first sentence.

    Raises:
        ValueError: the global batch is a single row, which has no other row to be mismatched with.
    """
    everyone = gather_rows(sentence)
    if len(everyone) < 2:
        raise ValueError("mismatched pairs need a batch of 2 or more, got 1: raise the batch size or drop the term")
    return everyone.roll(-1, dims=0)[own_rows(len(everyone))]


@dataclass(frozen=True)
class NextSentences:
    """For each row of a part of this rank's batch the sentence of the next row of the global batch, in a ring."""

    in_ring: Float[Tensor, "b d"]
    holds_last: bool
    """Whether the last row is that of the global batch, the next of which is the first."""
    num_parts: int = 1
    """Parts of this rank's batch."""

    @property
    def in_line(self) -> Float[Tensor, "m d"]:
        """As `mismatched_sentences`: without one for the last row of the global batch."""
        return self.in_ring[:-1] if self.holds_last else self.in_ring

    def split(self, num_parts: int) -> list["NextSentences"]:
        """Those of parts of equally many rows."""
        parts = self.in_ring.chunk(num_parts)
        last = len(parts) - 1
        return [NextSentences(part, self.holds_last and i == last, num_parts) for i, part in enumerate(parts)]


def next_of_all(sentence: Float[Tensor, "b d"]) -> NextSentences:
    """The next sentences of all rows of this rank.

    Raises:
        ValueError: the global batch is a single row, as in `mismatched_sentences`.
    """
    return NextSentences(next_sentences(sentence), rank() == world_size() - 1)


def mismatched(sentence: Float[Tensor, "b d"], following: NextSentences | None) -> tuple[Float[Tensor, "m d"], int]:
    """The `mismatched_sentences` of all rows or, where `following` is given, of a part; and the number of parts."""
    return (mismatched_sentences(sentence), 1) if following is None else (following.in_line, following.num_parts)


def mean_over_mismatched(values: Float[Tensor, " m"], num_rows: int, num_parts: int = 1) -> Float[Tensor, ""]:
    """This rank's share of the mean over all mismatched pairs, `num_rows` being the rows of this rank.

    The average over ranks is `sum over all pairs / (ranks x num_rows - 1)`, though the last rank has one pair less. If
    the rows are one of `num_parts` parts of this rank's, the average is over the parts too.
    """
    shares = world_size() * num_parts
    return values.sum() * (shares / (shares * num_rows - 1))


def matching_aware_gradient_penalty(
    logits: Float[Tensor, " b"], image: Float[Tensor, "b ..."], sentence: Float[Tensor, "b d"]
) -> Float[Tensor, ""]:
    """MA-GP with p = 6 (Tao et al. 2022): D should be flat around real images with matching sentences.

        mean_b  || [d logits / d image ; d logits / d sentence] ||_2 ^ 6

    The paper's factor k = 2 is the recipe's weight of this term. Arguments as for `squared_gradient_norms`.

    Differs from the paper, which adds the norms of the two gradients: its code, SSA-GAN's and this take the norm of
    both together.
    """
    return (squared_gradient_norms(logits, image, sentence) ** 3).mean()  # no root: smooth where a gradient is 0


def squared_gradient_norms(
    logits: Float[Tensor, " b"], image: Float[Tensor, "b ..."], sentence: Float[Tensor, "b d"]
) -> Float[Tensor, " b"]:
    """`|| [d logits / d image ; d logits / d sentence] ||_2 ^ 2` of each sample, differentiable in D's parameters.

    `logits` must be computed from this `image` (or features of images) and this `sentence`, both with `requires_grad`,
    sample by sample: a D with batch statistics has no gradient of one sample.
    """
    # logits[b] depends on row b alone, so the gradient of the sum holds every sample's own gradient.
    by_image, by_sentence = torch.autograd.grad(logits.sum(), (image, sentence), create_graph=True)
    return by_image.square().flatten(1).sum(1) + by_sentence.square().sum(1)
