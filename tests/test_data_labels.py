"""The label rules: who is whose partner and how often, against counts in plain Python; batches under each rule."""

from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from fakes import Squares
from sclgan.data.captions import Vocabulary
from sclgan.data.label_report import label_reports
from sclgan.data.labels import RULES, Partners
from sclgan.data.pairs import PairedBatches
from sclgan.data.sets.backgrounds import background_of, named_background
from sclgan.data.sets.emoji import Emoji
from sclgan.data.sets.scene_places import PLACES
from sclgan.data.sets.scenes import Scenes
from sclgan.random import Stream, numpy_generator

# Rows 0-3 share label 0, which is everywhere; 5 has none; label 4 is in row 6 alone; 7 and 1 have one set.
ROWS = ((0,), (2, 0), (0, 1), (1, 0, 3), (3,), (), (4,), (0, 2), (3, 4))
NUM_LABELS = 5
ALONE = {"shared": {5}, "weighted": {5}, "dominant": {1, 3, 5, 6}, "exact": {5}}  # "exact" falls back to "shared"


def draws(rule, anchor, times=4000):
    """(label, partner) of many steps."""
    partners = Partners(ROWS, NUM_LABELS, rule)
    found = []
    for seed in range(times):
        rng = np.random.default_rng(seed)
        label = partners.label(anchor, rng)
        found.append((label, partners.partner(anchor, label, rng)))
    return found


def near(counts: Counter[Any], expected: dict[Any, float], times: int) -> bool:
    """Within 5 standard deviations of each expected share, and nothing else."""
    assert set(counts) == {key for key, share in expected.items() if share}
    return all(abs(counts[k] - times * p) <= 5 * (times * p * (1 - p)) ** 0.5 + 1e-9 for k, p in expected.items())


@pytest.mark.parametrize("rule", ["shared", "weighted"])
def test_shared_draws_a_label_by_inverse_frequency_and_a_uniform_row_that_has_it(rule):
    found = draws(rule, 3)  # labels 1, 0, 3 of 2, 5 and 3 rows
    weights = {1: 1 / 2, 0: 1 / 5, 3: 1 / 3}
    total = sum(weights.values())
    assert near(Counter(label for label, _ in found), {k: w / total for k, w in weights.items()}, 4000)
    of_0 = Counter(row for label, row in found if label == 0)
    assert near(of_0, dict.fromkeys((0, 1, 2, 7), 1 / 4), of_0.total())


def test_shared_draws_no_label_that_only_the_anchor_has():
    rows = ((0, 1), (1,), (2,))
    partners = Partners(rows, 3, "shared")
    assert {partners.label(0, np.random.default_rng(i)) for i in range(50)} == {1}


def test_dominant_pairs_rows_with_the_same_first_label():
    assert near(Counter(draws("dominant", 2)), {(0, 0): 0.5, (0, 7): 0.5}, 4000)
    assert set(draws("dominant", 1, 20)) == {(2, 1)}


def test_exact_pairs_equal_sets_and_falls_back_to_shared_with_a_label_of_its_own():
    one, other = draws("exact", 1, 20), draws("exact", 7, 20)
    assert {row for _, row in one} == {7}
    assert {row for _, row in other} == {1}
    assert {label for label, _ in one} == {label for label, _ in other}  # the order of labels does not matter
    alone = draws("exact", 3, 500)
    assert {row for _, row in alone} == {0, 1, 2, 4, 7, 8}  # whoever shares a label with it
    assert len({label for label, _ in alone}) == 1
    labels = [draws("exact", row, 1)[0][0] for row in range(len(ROWS))]
    assert labels[0] == 0
    assert labels[4] == 3  # a set of one label is that label
    assert len(set(labels)) == len(ROWS) - 1  # only 1 and 7 are equal


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_agrees_with_its_definition_on_who_has_a_partner(rule):
    partners = Partners(ROWS, NUM_LABELS, rule)
    alone = set(np.flatnonzero(~partners.has_partner).tolist())
    assert alone == {row for row in range(len(ROWS)) if {r for _, r in draws(rule, row, 40)} == {row}}
    expected = {
        "dominant": lambda a, b: ROWS[a][:1] == ROWS[b][:1] != (),
        "exact": lambda a, b: bool(set(ROWS[a]) & set(ROWS[b])),
    }.get(rule, lambda a, b: bool(set(ROWS[a]) & set(ROWS[b])))
    paired = {row for pair in combinations(range(len(ROWS)), 2) if expected(*pair) for row in pair}
    assert alone == set(range(len(ROWS))) - paired


@pytest.mark.parametrize("rule", RULES)
def test_with_one_label_a_row_all_rules_draw_the_same(rule):
    rows = [(label,) for label in (2, 0, 1, 0, 2, 2, 1)]
    partners = Partners(rows, 3, rule)
    for anchor, (own,) in enumerate(rows):
        others = [row for row, labels in enumerate(rows) if labels == (own,) and row != anchor]
        for seed in range(20):
            rng = np.random.default_rng(seed)
            label = partners.label(anchor, rng)
            assert (label, partners.partner(anchor, label, rng)) == (
                own,
                others[np.random.default_rng(seed).integers(len(others))],
            )


def test_an_unknown_rule_is_refused():
    with pytest.raises((ValueError, TypeError), match=r"rule|share"):
        Partners(ROWS, NUM_LABELS, "share")  # type: ignore[arg-type]


class ManyLabels(Squares):
    """Squares whose rows have the labels of ROWS."""

    def __init__(self) -> None:
        super().__init__(per_label=4)
        self.labels = list(ROWS)
        self.label_names = list("abcde")
        self.keys = self.keys[: len(ROWS)]


def batches(rule, num_views=2) -> PairedBatches:
    source = ManyLabels()
    vocabulary = Vocabulary.of(Squares(per_label=4).captions(), max_words=6)
    return PairedBatches(source, vocabulary, num_views=num_views, batch_size=9, image_size=16, seed=0, label_rule=rule)


@pytest.mark.parametrize("rule", RULES)
def test_the_views_of_a_batch_share_its_labels_and_the_first_is_that_of_one_view(rule):
    two, one = batches(rule), batches(rule, num_views=1)
    for step in range(4):
        batch, plain = two[step], one[step]
        assert torch.equal(batch.views[0].image, plain.views[0].image)
        assert torch.equal(batch.labels, plain.labels)
        anchors = [anchor for _, anchor in two.rows(step)]
        assert batch.has_partner.tolist() == [anchor not in ALONE[rule] for anchor in anchors]
        assert (batch.label_sets is not None) == (rule == "weighted")
        if batch.label_sets is None:
            continue
        sets = [[set(np.flatnonzero(row)) for row in view] for view in batch.label_sets.numpy()]
        assert sets[0] == [set(ROWS[anchor]) for anchor in anchors]
        for label, mine, partners in zip(batch.labels.tolist(), *sets, strict=True):
            assert label in (mine & partners) or not mine
        assert batch.to(torch.device("cpu")).label_sets is not None


@pytest.mark.parametrize("source", [Emoji("train"), Scenes("train", num_scenes=300)], ids=["emoji", "scenes"])
def test_attributes_join_the_labels_of_the_contrast_and_change_no_picture(source: Emoji | Scenes) -> None:
    vocabulary = Vocabulary.of(source.captions(), max_words=30)
    made: dict[str, Any] = {"num_views": 2, "batch_size": 40, "image_size": 32, "seed": 0}
    with_attributes = PairedBatches(source, vocabulary, **made, label_rule="attributes")
    batch, plain = with_attributes[0], PairedBatches(source, vocabulary, **made)[0]
    assert batch.label_sets is not None
    assert batch.label_sets.shape == (2, 40, len(source.label_names) + len(source.attribute_names))
    assert torch.equal(batch.labels, plain.labels)
    for view, same, sets in zip(batch.views, plain.views, batch.label_sets, strict=True):
        assert torch.equal(view.image, same.image)
        assert torch.equal(view.captions.tokens, same.captions.tokens)
        assert sets[torch.arange(40), batch.labels].all()
        assert sets[:, len(source.label_names) :].any(dim=1).all()
    for place, (epoch, anchor) in enumerate(with_attributes.rows(0)):
        drawn = source.picture(anchor, 32, numpy_generator(Stream.PAIR, 0, epoch, anchor))
        own = np.flatnonzero(batch.label_sets[0, place])
        assert {*own.tolist()} == {*source.labels[anchor], *(len(source.label_names) + one for one in drawn.attributes)}


def test_attributes_of_a_picture_are_what_it_shows_and_its_caption_names() -> None:
    emoji, scenes = Emoji("train"), Scenes("train", num_scenes=60)
    for row in range(0, len(emoji), 40):
        picture = emoji.picture(row, 64, np.random.default_rng(row))
        *colors, background = (emoji.attribute_names[number] for number in picture.attributes)
        assert background == f"{background_of(picture.pixels)} background"
        assert named_background(picture.caption) in (None, background.removesuffix(" background"))
        assert colors == [f"{color} thing" for color in emoji.words[row].colors[:1]]
    num_named = 0
    for row in range(60):
        picture = scenes.picture(row, 32, np.random.default_rng(row))
        own = [scenes.attribute_names[number] for number in picture.attributes]
        named = [place.name for place in PLACES for way in place.said if any(said in picture.caption for said in way)]
        num_named += bool(named)
        assert own == [*dict.fromkeys(named)] or not named
    assert num_named > 30


def test_a_source_without_attributes_refuses_their_rule() -> None:
    with pytest.raises(
        ValueError, match=r"'squares' has no attributes, which label_rule=attributes needs: take another"
    ):
        batches("attributes")


def brute_pairs(rule) -> int:
    """Pairs of different rows that the rule can make, by asking every row for all its partners."""
    partners = Partners(ROWS, NUM_LABELS, rule)
    found = set()
    for anchor in range(len(ROWS)):
        for seed in range(300):
            rng = np.random.default_rng(seed)
            row = partners.partner(anchor, partners.label(anchor, rng), rng)
            found |= {frozenset((anchor, row))} if row != anchor else set()
    return len(found)


@pytest.mark.parametrize("rule", RULES)
def test_the_report_counts_what_the_rule_draws(rule):
    (report,) = label_reports(ROWS, list("abcde"), batch_size=9, rules=[rule])
    assert report.num_pairs == brute_pairs(rule)
    assert report.self_pairs == pytest.approx(len(ALONE[rule]) / len(ROWS))
    partners = Partners(ROWS, NUM_LABELS, rule)
    times = 3000
    counts = Counter(partners.label(row, np.random.default_rng((row, i))) for row in range(9) for i in range(times))
    shares = sorted(count / (9 * times) for count in counts.values())
    drawn = sorted([*report.drawn.values(), 1 / 9])  # and the row without a label
    np.testing.assert_allclose(shares, drawn, atol=0.01)
    np.testing.assert_allclose(np.sort(partners.shares[partners.shares > 0]), sorted(report.drawn.values()), rtol=1e-12)
    assert 0 < report.entropy <= np.log2(len(report.drawn)) + 1e-12
    assert report.fall_back == (pytest.approx(6 / 9) if rule == "exact" else report.fall_back)
    assert rule in report.lines()[0]


def test_a_report_on_data_without_labels_says_so():
    with pytest.raises(ValueError, match="no picture has a label"):
        label_reports([(), ()], [], batch_size=2)
