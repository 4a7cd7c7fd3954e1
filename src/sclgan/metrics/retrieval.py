"""Retrieval in the common space of an encoder pair: recall at k, and R-precision of generated images.

Xu et al. 2018, "AttnGAN", section 4 (R-precision with 1 true and 99 mismatched captions).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sclgan.metrics.estimate import Estimate

log = logging.getLogger(__name__)

BLOCK = 512  # rows compared at once
NUM_MISMATCHED = 99
TIE = 1e-6  # cosines nearer than this are equal: float32 codes of one caption differ by so much between batches


@dataclass(frozen=True)
class Recall:
    """The share of queries with a true answer among the k nearest, by k."""

    image_to_text: dict[int, float]
    text_to_image: dict[int, float]


def recall_at(
    k: Sequence[int],
    image_codes: Float[Tensor, "n d"],
    text_codes: Float[Tensor, "m d"],
    *,
    image_groups: Int[Tensor, " n"] | None = None,
    text_groups: Int[Tensor, " m"] | None = None,
) -> Recall:
    """Recall at each k in both directions, by cosine.

    An answer is true when its group is the query's. Without groups row i answers row i (and n = m); with image
    indices as groups an image has all of its captions; with labels any picture of the label is right. Equal
    similarities count as their random order would on average, so that constant codes score chance, not 1.

    Raises:
        ValueError: no groups and n != m; groups for one side only; a k below 1.
    """
    if (image_groups is None) != (text_groups is None):
        raise ValueError("groups were given for one side only: give image_groups and text_groups, or neither")
    if image_groups is None or text_groups is None:
        if len(image_codes) != len(text_codes):
            raise ValueError(f"{len(image_codes)} images and {len(text_codes)} texts: pass groups that pair them")
        image_groups = text_groups = torch.arange(len(image_codes), device=image_codes.device)
    if min(k, default=0) < 1:
        raise ValueError(f"k is {list(k)}; expected one or more numbers from 1")
    images, texts = F.normalize(image_codes, dim=1), F.normalize(text_codes, dim=1)
    return Recall(
        _recall(k, images, texts, image_groups, text_groups), _recall(k, texts, images, text_groups, image_groups)
    )


def r_precision(
    image_codes: Float[Tensor, "n d"],
    text_codes: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    *,
    num_folds: int = 10,
    seed: int = 0,
) -> Estimate:
    """The share of images whose own caption is nearer, by cosine, than 99 captions of other labels.

    The mismatched captions are drawn with `seed`, independently and with replacement, from the rows of other labels.
    Data without labels give every row a label of its own; so does one label for all rows, which tells nothing apart,
    and a line of the log then says so. A tie counts as a random choice would, so constant codes score 0.01. The value
    is over all images, the interval +- one standard deviation over `num_folds` seeded folds.

    Differs from the code of DM-GAN in that the last image of each fold is not dropped, and folds are shuffled.

    Raises:
        ValueError: one row; fewer rows than folds; a code is not finite.
    """
    if len(labels) < 2:
        raise ValueError("R-precision needs at least two captions, to draw a mismatched one")
    if len(set(labels.tolist())) < 2:
        log.info("all pictures have the same label: R-precision draws mismatched captions from all other pictures")
        labels = torch.arange(len(labels))
    if not 1 <= num_folds <= len(labels):
        raise ValueError(f"num_folds is {num_folds}; choose 1 to the number of images, {len(labels)}")
    if not (image_codes.isfinite().all() and text_codes.isfinite().all()):
        raise ValueError("a code is NaN or infinite: look at the encoders and the generator's output")
    generator = torch.Generator().manual_seed(seed)
    images, texts = (F.normalize(codes.detach().cpu(), dim=1) for codes in (image_codes, text_codes))
    mismatched = _rows_of_other_labels(labels.cpu(), generator)
    blocks = zip(*(torch.split(rows, BLOCK) for rows in (images, texts, mismatched)), strict=True)
    hits = torch.cat([_hits(image, text, texts[rows]) for image, text, rows in blocks])
    folds = hits[torch.randperm(len(hits), generator=generator)].tensor_split(num_folds)
    value, deviation = float(hits.mean()), float(torch.stack([fold.mean() for fold in folds]).std(correction=0))
    kind = f"one standard deviation over {num_folds} folds" if num_folds > 1 else "none"
    return Estimate(value, (value - deviation, value + deviation) if num_folds > 1 else None, kind)


def _recall(
    k: Sequence[int], queries: Tensor, gallery: Tensor, query_groups: Tensor, gallery_groups: Tensor
) -> dict[int, float]:
    ks = torch.tensor(list(k), dtype=torch.float64)
    found = torch.zeros(len(ks), dtype=torch.float64)
    for rows, groups in zip(torch.split(queries, BLOCK), torch.split(query_groups, BLOCK), strict=True):
        similarity = rows @ gallery.T  # [b m]
        is_true = groups[:, None] == gallery_groups[None, :]
        best = similarity.masked_fill(~is_true, -torch.inf).amax(dim=1, keepdim=True)
        nearer = ((similarity > best + TIE) & ~is_true).sum(dim=1, dtype=torch.float64).cpu()
        equal = (((similarity - best).abs() <= TIE) & ~is_true).sum(dim=1, dtype=torch.float64).cpu()
        chance = ((ks[None, :] - nearer[:, None]) / (1 + equal[:, None])).clamp(0, 1)  # [b k]
        found += (chance * is_true.any(dim=1).cpu()[:, None]).sum(dim=0)
    return {number: float(share) for number, share in zip(k, found / len(queries), strict=True)}


def _rows_of_other_labels(labels: Tensor, generator: torch.Generator) -> Int[Tensor, "n 99"]:
    """For each row 99 independent uniform draws from the rows that have another label."""
    order = labels.argsort(stable=True)
    ordered = labels[order].contiguous()
    start = torch.searchsorted(ordered, labels)  # the rows of one's own label are [start, end) of the ordered ones
    end = torch.searchsorted(ordered, labels, right=True)
    num_others = len(labels) - (end - start)
    uniform = torch.rand(len(labels), NUM_MISMATCHED, generator=generator, dtype=torch.float64)
    draw = (uniform * num_others[:, None]).long()
    draw += torch.where(draw >= start[:, None], (end - start)[:, None], 0)
    return order[draw]


def _hits(image: Tensor, text: Tensor, mismatched: Tensor) -> Tensor:
    """The probability that each image picks its own caption, ties broken at random; float64."""
    candidates = torch.cat([text[:, None], mismatched], dim=1)  # [b 100 d]
    similarity = torch.einsum("bd,bnd->bn", image, candidates)
    true, others = similarity[:, :1], similarity[:, 1:]
    ties = ((others - true).abs() <= TIE).sum(dim=1).double()
    return (others <= true + TIE).all(dim=1).double() / (1 + ties)
