"""Objectives that the data leave nothing to learn from are refused or told before training."""

import pytest

from fakes import Squares
from sclgan.data.objective import objective_notes

PLAIN = {"words": 1.0, "sentence": 1.0}
SCL = PLAIN | {"contrast": 1.0}
PASTED = ("cat", "dog", "owl", "fox")


def notes(labels, terms=PLAIN, *, rule="shared", batch_size=8, masks=True, num_views=None) -> list[str]:
    source = Squares()
    source.labels, source.label_names = labels, PASTED
    views = num_views or (2 if "contrast" in terms else 1)
    given = {"phase": "pretraining", "terms": terms, "num_views": views, "batch_size": batch_size}
    return objective_notes(source, **given, label_rule=rule, mask_same_label=masks)


@pytest.mark.parametrize("rule", ["shared", "dominant", "exact", "weighted"])
def test_one_label_for_all_is_told_to_plain_recipes_and_refused_where_labels_are_contrasted(rule):
    labels = [(1,)] * 16
    (note,) = notes(labels, rule=rule)
    assert (
        note
        == "all 16 labelled training pictures have the same label, 'dog': labels are not used, as if there were none"
    )
    for terms in (SCL, PLAIN | {"cross_entropy": 1.0}):
        with pytest.raises(ValueError, match=r"same label, 'dog', so .* has nothing to learn"):
            notes(labels, terms, rule=rule)


def test_a_label_that_is_the_first_of_all_is_one_label_under_that_rule_alone():
    labels = [(0, 1 + row % 2) for row in range(16)]
    with pytest.raises(ValueError, match="the same label under label_rule=dominant, 'cat', so 'contrast'"):
        notes(labels, SCL, rule="dominant")
    assert notes(labels, SCL, rule="exact") == []


def test_cross_entropy_needs_a_second_label_in_training_and_all_terms_a_second_picture():
    with pytest.raises(ValueError, match="all 15 labelled training pictures have the same label"):
        notes([(2,)] * 15 + [()], PLAIN | {"cross_entropy": 1.0})
    with pytest.raises(ValueError, match="batch_size is 1"):
        notes([(row % 4,) for row in range(16)], batch_size=1)


def test_the_method_on_data_without_labels_fails_at_the_start():
    for terms in (SCL, PLAIN | {"cross_entropy": 1.0}):
        with pytest.raises(ValueError, match="no labels, and"):
            notes([()] * 16, terms)
    assert notes([()] * 16) == []
    assert notes([()] * 16, SCL, rule="itself") == []


def test_labels_without_pairs_are_told():
    (note,) = notes([(row,) for row in range(4)], SCL)
    assert note.startswith("no two training pictures share a label")
    (note,) = notes([(0,), (0,), (1,), ()], SCL)
    assert note.startswith("1 of 4 training pictures are alone with their label and 1 have none")
    assert notes([(row % 2,) for row in range(16)], SCL) == []


def test_too_few_rivals_of_another_label_are_told_where_rows_of_one_label_are_masked():
    labels = [(0,)] * 15 + [(1,)]
    (note,) = notes(labels, batch_size=4)  # 3 others, 1 - (15/16)^2 - (1/16)^2 = 0.117 of them of another label
    assert "0.4 others of another label" in note
    assert "encoders.mask_same_label=false" in note
    assert notes(labels, batch_size=4, masks=False) == []
    assert notes(labels, batch_size=16) == []
