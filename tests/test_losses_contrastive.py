import math

import pytest
import torch
from torch import Tensor

from fakes import unit_rows
from ranks import run_on_ranks
from sclgan import distributed
from sclgan.losses.contrastive import Pairs, nt_xent, quadruple, supcon
from sclgan.losses.matching import info_nce


def in_plain_python(rows: list[list[float]], labels: list[int], compared, temperature: float) -> float:
    """The definition, with loops; `compared(i, k)` says which pairs take part."""
    norms = [math.sqrt(sum(x * x for x in row)) for row in rows]
    unit = [[x / norm for x in row] for row, norm in zip(rows, norms, strict=True)]

    def score(i: int, k: int) -> float:
        return math.exp(sum(a * b for a, b in zip(unit[i], unit[k], strict=True)) / temperature)

    loss = 0.0
    for i in range(len(rows)):
        others = [k for k in range(len(rows)) if k != i and compared(i, k)]
        positives = [k for k in others if labels[k] == labels[i]]
        for p in positives:
            loss -= math.log(score(i, p) / sum(score(i, a) for a in others)) / len(positives)
    return loss / len(rows)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_supcon_is_the_plain_sum(temperature):
    z = 3 * torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = [0, 1, 0, 2, 1, 0, 3, 2, 2]  # 3 is alone: it adds 0 and counts in the mean
    expected = in_plain_python(z.tolist(), labels, lambda i, k: True, temperature)
    assert supcon(z, torch.tensor(labels), temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pairs", ["all", "intra", "cross"])
def test_quadruple_is_the_plain_sum_over_the_pairs_it_compares(pairs):
    t1, t2, v1, v2 = unit_rows(12, 6).split(3)
    labels = [0, 1, 0]
    compared = {
        "all": lambda i, k: True,
        "intra": lambda i, k: i // 6 == k // 6,
        "cross": lambda i, k: i // 6 != k // 6,
    }
    rows = torch.cat([t1, t2, v1, v2]).tolist()
    expected = in_plain_python(rows, labels * 4, compared[pairs], 0.2)
    found = quadruple([t1, t2], [v1, v2], torch.tensor(labels), temperature=0.2, pairs=pairs)
    assert found.item() == pytest.approx(expected, rel=1e-12)


SETS = [[{0}, {0, 1}, {2}, set()], [{0, 2}, {1}, {1, 2, 3}, set()]]  # of the rows of two views; no other row has 3
PAIR_LABELS = [0, 1, 2, 9]


def by_label_sets(rows: list[list[float]], sets: list[set[int]], compared, temperature: float) -> float:
    """The definition, with loops: the mean over an anchor's labels of one term each."""
    norms = [math.sqrt(sum(x * x for x in row)) for row in rows]

    def score(i: int, k: int) -> float:
        return math.exp(sum(a * b for a, b in zip(rows[i], rows[k], strict=True)) / norms[i] / norms[k] / temperature)

    loss = 0.0
    for i, own in enumerate(sets):
        others = [k for k in range(len(rows)) if k != i and compared(i, k)]
        for label in own:
            positives = [k for k in others if label in sets[k]]
            for p in positives:
                loss -= math.log(score(i, p) / sum(score(i, a) for a in others)) / len(positives) / len(own)
    return loss / len(rows)


@pytest.mark.parametrize("pairs", ["all", "intra", "cross"])
def test_label_sets_give_a_term_for_each_label_of_an_anchor(pairs):
    t1, t2, v1, v2 = unit_rows(16, 6).split(4)
    compared = {
        "all": lambda i, k: True,
        "intra": lambda i, k: i // 8 == k // 8,
        "cross": lambda i, k: i // 8 != k // 8,
    }
    flat = [own or {-1} for view in SETS for own in view] * 2  # a row without labels has one of its own
    expected = by_label_sets(torch.cat([t1, t2, v1, v2]).tolist(), flat, compared[pairs], 0.2)
    found = with_sets([t1, t2], [v1, v2], pairs)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("with_label_sets", [False, True])
def test_real_pictures_join_the_quadruple_as_further_images_of_their_rows(with_label_sets: bool) -> None:
    t1, t2, f1, f2, r1, r2 = unit_rows(24, 6).split(4)
    rows = torch.cat([t1, t2, f1, f2, r1, r2]).tolist()
    if with_label_sets:
        expected = by_label_sets(rows, [own or {-1} for view in SETS for own in view] * 3, lambda i, k: True, 0.2)
        found = with_sets([t1, t2], [f1, f2, r1, r2], "all")
    else:
        expected = in_plain_python(rows, [0, 1, 0, 2] * 6, lambda i, k: True, 0.2)
        found = quadruple([t1, t2], [f1, f2, r1, r2], torch.tensor([0, 1, 0, 2]), temperature=0.2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def with_sets(texts, images, pairs: Pairs, mine: slice = slice(None)) -> Tensor:
    sets = torch.tensor([[[label in own for label in range(4)] for own in view] for view in SETS])
    labels = torch.tensor(PAIR_LABELS)[mine]
    return quadruple(texts, images, labels, temperature=0.2, pairs=pairs, label_sets=sets[:, mine])


def test_label_sets_of_one_label_are_the_plain_contrast():
    t1, t2, v1, v2 = unit_rows(12, 6).split(3)
    labels = torch.tensor([0, 1, 0])
    sets = torch.nn.functional.one_hot(labels, 3).bool().expand(2, 3, 3)
    plain = quadruple([t1, t2], [v1, v2], labels, temperature=0.2)
    torch.testing.assert_close(quadruple([t1, t2], [v1, v2], labels, temperature=0.2, label_sets=sets), plain)


def test_gradcheck():
    z = unit_rows(6, 4).requires_grad_()
    labels = torch.tensor([0, 1, 0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda z: supcon(z, labels, temperature=0.3), z)
    t1, t2, v1, v2 = (part.detach().requires_grad_() for part in unit_rows(8, 4).split(2))
    for pairs in ("all", "intra", "cross"):
        assert torch.autograd.gradcheck(
            lambda *z, pairs=pairs: quadruple(z[:2], z[2:], torch.tensor([0, 1]), temperature=0.3, pairs=pairs),
            (t1, t2, v1, v2),
        )
    z = unit_rows(16, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: with_sets(z.split(4)[:2], z.split(4)[2:], "all"), z)


@pytest.mark.parametrize(("num_anchors", "expected"), [(10, 3.66), (24, 4.55), (48, 5.25)])
def test_random_codes_at_a_large_temperature_give_the_log_of_the_others(num_anchors, expected):
    parts = unit_rows(4 * num_anchors, 256).split(num_anchors)
    loss = quadruple(parts[:2], parts[2:], torch.arange(num_anchors), temperature=100.0).item()
    assert loss == pytest.approx(math.log(4 * num_anchors - 1), abs=1e-3)
    assert loss == pytest.approx(expected, abs=0.01)


def test_tight_clusters_at_a_small_temperature_reach_the_floor_log_3():
    centres = torch.eye(8, dtype=torch.float64)
    loss = quadruple([centres, centres], [centres, centres], torch.arange(8), temperature=0.01)
    assert loss.item() == pytest.approx(math.log(3), abs=1e-6)


def test_unique_labels_and_two_views_are_nt_xent():
    first, second = unit_rows(7, 12), unit_rows(7, 12, seed=1)
    z = torch.cat([first, second])
    similarity = (z @ z.T / 0.5).masked_fill(torch.eye(14, dtype=torch.bool), -torch.inf)
    nt_xent = torch.nn.functional.cross_entropy(similarity, torch.arange(14).roll(7))  # Chen et al. 2020, Eq. 1
    assert supcon(z, torch.arange(7).repeat(2), temperature=0.5).item() == pytest.approx(nt_xent.item(), rel=1e-12)


def test_length_and_order_of_rows_do_not_matter():
    z, labels, order = unit_rows(8, 5), torch.tensor([0, 0, 1, 1, 2, 2, 0, 1]), torch.randperm(8)
    loss = supcon(z, labels, temperature=0.1)
    torch.testing.assert_close(supcon(7 * z[order], labels[order], temperature=0.1), loss)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        supcon(unit_rows(4, 3), torch.tensor([0, 0, 1, 1]), temperature=temperature)


def test_unknown_pairs_are_refused():
    with pytest.raises((ValueError, TypeError), match=r"pairs|both"):
        quadruple([unit_rows(2, 3)], [unit_rows(2, 3)], torch.tensor([0, 1]), temperature=1.0, pairs="both")  # type: ignore[arg-type]


CODES, LABELS = unit_rows(16, 6, seed=3).unflatten(0, (4, 4)), torch.tensor([0, 1, 0, 2])


def loss_and_gradient(pairs: Pairs, weighted: bool = False) -> tuple[Tensor, Tensor]:
    """This rank's rows of the quadruple; the gradient in the codes of all ranks, as averaging would leave it."""
    codes = CODES.clone().requires_grad_()
    mine = distributed.own_rows(4)
    t1, t2, v1, v2 = codes[:, mine]
    if weighted:
        loss = with_sets([t1, t2], [v1, v2], pairs, mine)
    else:
        loss = quadruple([t1, t2], [v1, v2], LABELS[mine], temperature=0.2, pairs=pairs)
    loss.backward()
    gradient = distributed.sum_over_ranks(codes.grad) / distributed.world_size()
    return distributed.sum_over_ranks(loss.detach()) / distributed.world_size(), gradient


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pairs", ["all", "intra", "cross"])
def test_two_ranks_give_the_loss_and_the_gradient_of_one_process(pairs, weighted):
    loss, gradient = loss_and_gradient(pairs, weighted)
    for rank_loss, rank_gradient in run_on_ranks(loss_and_gradient, 2, pairs, weighted):
        torch.testing.assert_close(rank_loss, loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(rank_gradient, gradient, rtol=1e-10, atol=1e-12)


def test_unicl_with_a_label_for_each_row_is_the_symmetric_infonce():
    texts, images = unit_rows(10, 6).split(5)
    found = quadruple([texts], [images], torch.arange(5), temperature=0.1, pairs="cross")
    torch.testing.assert_close(found, info_nce(texts, images, torch.tensor(10.0, dtype=torch.float64)))


def test_unicl_is_both_directions_over_all_texts_and_images():
    texts, images, labels = unit_rows(12, 6)[:6], unit_rows(12, 6)[6:], [0, 1, 0] * 2

    def one_way(queries: Tensor, keys: Tensor) -> float:
        loss = 0.0
        for query, label in zip(queries.tolist(), labels, strict=True):
            scores = [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / 0.2) for key in keys.tolist()]
            own = [score for score, other in zip(scores, labels, strict=True) if other == label]
            loss -= sum(math.log(score / sum(scores)) for score in own) / len(own)
        return loss / len(labels)

    expected = (one_way(texts, images) + one_way(images, texts)) / 2
    found = quadruple(texts.split(3), images.split(3), torch.tensor([0, 1, 0]), temperature=0.2, pairs="cross")
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_nt_xent_is_the_plain_sum_and_needs_no_labels():
    first, second = 3 * unit_rows(8, 5)[:4], unit_rows(8, 5)[4:]
    rows = torch.cat([first, second]).tolist()
    expected = in_plain_python(rows, [0, 1, 2, 3] * 2, lambda i, k: True, 0.5)
    assert nt_xent([first, second], temperature=0.5).item() == pytest.approx(expected, rel=1e-12)


def nt_xent_of_own_rows() -> float:
    mine = distributed.own_rows(4)
    return nt_xent([unit_rows(8, 5)[:4][mine], unit_rows(8, 5)[4:][mine]], temperature=0.5).item()


def test_nt_xent_over_two_ranks_is_one_process():
    assert sum(run_on_ranks(nt_xent_of_own_rows, 2)) / 2 == pytest.approx(nt_xent_of_own_rows(), rel=1e-12)


def test_codes_of_half_precision_are_contrasted_in_float32() -> None:
    codes, labels = torch.randn(8, 16).bfloat16(), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = supcon(codes, labels, temperature=0.1)
    assert found.dtype == torch.float32
    assert torch.equal(found, supcon(codes.float(), labels, temperature=0.1))
