"""Terms that come later or are taken every k-th step, and the averages of weights."""

from dataclasses import replace

import pytest
from torch import nn

from sclgan.recipe import Training
from sclgan.recipe_json import to_json
from sclgan.recipes import recipe
from sclgan.train.ema import AveragedModel, constant_decay, decay_of, half_life
from sclgan.train.schedule import check, weights_at

PLAIN = Training(steps=1, generator_objective={"adv": 1.0, "words": 0.5}, discriminator_objectives=({"magp": 2.0},))


def test_a_lazy_term_is_taken_every_kth_step_with_k_times_its_weight():
    made = replace(PLAIN, every={"words": 4})
    weights = [weights_at(step, made.generator_objective, made) for step in range(1, 10)]
    assert [step for step, one in enumerate(weights, 1) if "words" in one] == [1, 5, 9]
    assert sum(one.get("words", 0.0) for one in weights[:8]) == 8 * 0.5
    assert all(one["adv"] == 1.0 for one in weights)


def test_a_term_with_a_ramp_is_left_out_and_then_rises_to_its_weight():
    made = replace(PLAIN, ramps={"words": (2, 4), "magp": (3, 0)})
    of_words = [weights_at(step, made.generator_objective, made).get("words") for step in range(1, 9)]
    assert of_words == [None, None, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    of_penalty = [weights_at(step, made.discriminator_objectives[0], made) for step in (3, 4)]
    assert of_penalty == [{}, {"magp": 2.0}]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"every": {"word": 2}}, r"training.every names \['word'\], which no objective has; they have .*'words'"),
        ({"every": {"words": 0}}, "training.every.words must be 1 .* not 0"),
        ({"every": {"words": 2}, "ramps": {"adv": (1, 0)}}, "leave steps without any term of the generator"),
        ({"ramps": {"words": (-1, 5)}}, "training.ramps.words must be two numbers of steps"),
    ],
)
def test_an_impossible_schedule_is_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        check(replace(PLAIN, **schedule))


def test_the_half_life_is_that_of_the_pictures_seen():
    decay = half_life(1000, 10)
    assert decay(10_000) ** 100 == pytest.approx(0.5)  # 1000 pictures later
    assert decay(99) ** 5 == pytest.approx(0.5)  # after 1000 pictures it is a twentieth of them, 50
    shares = [decay(updates) for updates in (0, 10, 100, 1000, 5000)]
    assert shares == sorted(shares)
    assert constant_decay(0.0)(7) == 0
    assert constant_decay(0.9)(0) == pytest.approx(0.1)
    assert constant_decay(0.9)(10**6) == 0.9


def test_the_average_follows_the_model_by_the_decay():
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    averaged = AveragedModel(model, lambda updates: 0.75 if updates else 0.5)
    model.weight.data.fill_(3.0)
    averaged.update(0)
    assert next(averaged.average.parameters()).item() == 2.0
    averaged.update(1)
    assert next(averaged.average.parameters()).item() == 2.25


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"ema_images": -1}, "ema_images"),
        ({"ema_decay": 0.9, "ema_images": 5}, "both say how to average"),
    ],
)
def test_an_impossible_average_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        decay_of(replace(PLAIN, **fields))


def test_small_data_changes_what_it_says_and_nothing_that_is_published():
    published, small = recipe("ssagan_cub"), recipe("ssagan_cub_small")
    assert published.feature_discriminator is None
    assert not published.training.augment
    assert not published.training.every
    moved = replace(small, training=published.training, feature_discriminator=None)
    assert to_json(replace(moved, row=published.row, about="")) == to_json(replace(published, about=""))
    assert small.training.every == {"magp": 4}
    assert small.training.augment == ("translation", "cutout")
    assert {"features_real", "features_mismatched", "features_fake"} < small.training.discriminator_objectives[0].keys()
