"""Image-text matching losses: DAMSM's, words against regions and sentences against images, and CLIP's.

Xu et al. 2018, "AttnGAN", section 3.2 (DAMSM); the values are those of the paper's code, see `word_scores`. Radford et
al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", figure 3 (`info_nce`).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sclgan.distributed import gather_rows, own_rows
from sclgan.losses.precision import in_float32

EPSILON = 1e-8  # the least product of two norms, as in torch.cosine_similarity of the time


@in_float32
def words_loss(
    words: Float[Tensor, "b d t"],
    mask: Bool[Tensor, "b t"],
    regions: Float[Tensor, "b d r s"],
    labels: Int[Tensor, " b"] | None = None,
    *,
    gamma1: float,
    gamma2: float,
    gamma3: float,
    max_elements: int = 2**25,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The losses of finding each image's caption among all by its words, and each caption's image.

        w0, w1 = cross_entropies(gamma3 * word_scores(words, regions))

    Every rank scores its own images against every rank's captions, so all ranks pass captions padded to one length.
    See `word_scores` for the arguments and `cross_entropies` for the effect of labels.
    """
    all_words, all_masks = gather_rows(words), gather_rows(mask.to(torch.uint8)).bool()
    scores = word_scores(all_words, all_masks, regions, gamma1=gamma1, gamma2=gamma2, max_elements=max_elements)
    return cross_entropies(gamma3 * scores, labels)


@in_float32
def sentence_loss(
    sentence: Float[Tensor, "b d"],
    image: Float[Tensor, "b d"],
    labels: Int[Tensor, " b"] | None = None,
    *,
    gamma3: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The losses of finding each image's caption among all by the sentence codes, and each caption's image.

        s0, s1 = cross_entropies(gamma3 * cos(image_j, sentence_i))

    Every rank scores its own images against every rank's captions, as in `words_loss`.
    """
    sentence = gather_rows(sentence)
    norms = torch.outer(torch.linalg.vector_norm(image, dim=1), torch.linalg.vector_norm(sentence, dim=1))
    return cross_entropies(gamma3 * (image @ sentence.T) / norms.clamp(min=EPSILON), labels)


def info_nce(
    sentence: Float[Tensor, "b d"], image: Float[Tensor, "b d"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """CLIP's loss: every image finds its caption among all, every caption its image.

        mean of  cross_entropies(scale * cos(image_j, sentence_i))

    Every rank scores its own images against every rank's captions, as in `words_loss`.
    """
    sentence = gather_rows(F.normalize(sentence, dim=1))
    by_image, by_text = cross_entropies(scale * F.normalize(image, dim=1) @ sentence.T)
    return (by_image + by_text) / 2


def cross_entropies(
    logits: Float[Tensor, "b n"], labels: Int[Tensor, " b"] | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The cross entropies of the true pairs, image to text and text to image.

        mean_j  -log( exp(logits[j, j]) / sum_i exp(logits[j, i]) )        and the same of the transposed logits

    `logits` holds this rank's images against every rank's texts (n = ranks x b); the means are over own images and own
    texts, so that their average over ranks is the mean over the global batch. With `labels`, pairs of different rows
    with one label leave the denominator: they are neither positives nor negatives. A row whose rivals all left adds 0.
    """
    own = own_rows(logits.shape[1])
    target = torch.arange(own.start, own.stop, device=logits.device)
    if labels is not None:
        all_labels = gather_rows(labels)
        same = labels[:, None] == all_labels[None, :]  # [b n]
        itself = target[:, None] == torch.arange(logits.shape[1], device=logits.device)
        logits = logits.masked_fill(same & ~itself, -torch.inf)
    columns = gather_rows(logits)[:, own].T  # [b n], own texts against every rank's images
    return F.cross_entropy(logits, target), F.cross_entropy(columns, target)


def word_scores(
    words: Float[Tensor, "n d t"],
    mask: Bool[Tensor, "n t"],
    regions: Float[Tensor, "b d r s"],
    *,
    gamma1: float,
    gamma2: float,
    max_elements: int = 2**25,
) -> Float[Tensor, "b n"]:
    """The match of image j and caption i, word by word (AttnGAN, Eqs. 7-10).

        similarity[t, r] = words_t . regions_r
        attention[t, :]  = softmax_r( gamma1 * softmax_t(similarity)[t, r] )
        context_t        = sum_r attention[t, r] regions_r
        score            = log sum_t exp( gamma2 * cos(context_t, words_t) )

    `mask` is True at real words; padding takes no part. Where the b x n x t x (r s) attentions exceed `max_elements`,
    images go in pieces that are recomputed in the backward pass, so that the memory stays bounded.

    Differs from the paper: Eq. 10 ends with a power 1/gamma2, which the paper's code and this do not have.
    """
    cost = words.shape[0] * words.shape[2] * regions.shape[2] * regions.shape[3]  # for one image
    pieces = torch.split(regions, max(1, max_elements // max(1, cost)))
    if len(pieces) == 1:
        return _word_scores(words, mask, regions, gamma1, gamma2)
    return torch.cat(
        [
            checkpoint(_word_scores, words, mask, piece, gamma1, gamma2, use_reentrant=False, preserve_rng_state=False)
            for piece in pieces
        ]
    )


def attention_weights(
    similarity: Float[Tensor, "*b t k"], mask: Bool[Tensor, "*#b t"], gamma1: float
) -> Float[Tensor, "*b t k"]:
    """Softmax over the words of a caption, then over the regions of an image (Eqs. 8-9)."""
    over_words = similarity.masked_fill(~mask[..., None], -torch.inf).softmax(dim=-2)
    return (gamma1 * over_words).softmax(dim=-1)


def _word_scores(
    words: Float[Tensor, "n d t"],
    mask: Bool[Tensor, "n t"],
    regions: Float[Tensor, "b d r s"],
    gamma1: float,
    gamma2: float,
) -> Float[Tensor, "b n"]:
    regions = regions.flatten(2)  # [b d k]
    num_texts, _, num_words = words.shape
    each_word = words.transpose(1, 2).flatten(0, 1)  # [(n t) d]: both products below are one matmul per image
    similarity = (each_word @ regions).view(len(regions), num_texts, num_words, -1)  # [b n t k]
    attention = attention_weights(similarity, mask, gamma1)
    context = attention.flatten(1, 2) @ regions.transpose(1, 2)  # [b (n t) d]
    # words_t . context_t = sum_r attention[t, r] similarity[t, r] would read the larger tensors again.
    dot = (context * each_word).sum(2)
    norms = torch.linalg.vector_norm(context, dim=2) * torch.linalg.vector_norm(each_word, dim=1)
    cosine = (dot / norms.clamp(min=EPSILON)).view(-1, num_texts, num_words)  # [b n t]
    return torch.logsumexp((gamma2 * cosine).masked_fill(~mask, -torch.inf), dim=2)
