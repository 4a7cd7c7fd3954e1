"""The cost of a recipe: counts against closed forms, bytes against real modules, what does not fit said."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from command_line import done, refused
from runs import small, small_fields
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train import cost, memory
from sclgan.train.cost import DataSizes, Memory, StepCost
from sclgan.train.pretended import pretend, pretending, shapes_alone

PLAIN, NAME, SIZES = "galip_emoji", "galip_emoji_scl", DataSizes(20, 3)


def test_a_convolution_is_counted_by_its_formula():
    with shapes_alone():
        layer = nn.Conv2d(3, 8, 3, padding=1)
    with pretending(5) as tally:
        pretend(layer)
        weights = 4 * (8 * 3 * 9 + 8)
        assert tally.bytes == weights
        x = torch.rand(2, 3, 16, 16)
        tally.reset()
        y = layer(x)
        forward = 2 * 2 * 8 * 16 * 16 * 3 * 9
        assert tally.operations == forward
        assert tally.bytes == tally.peak == weights + x.nbytes + y.nbytes
        y.sum().backward()
        assert tally.operations == 2 * forward  # the pixels need no gradient
        del y
        assert tally.bytes == 2 * weights + x.nbytes
        assert tally.peak > tally.bytes


def test_attention_is_counted_as_its_products():
    with pretending(5) as tally:
        query, key = (torch.rand(2, 3, length, 8, requires_grad=True) for length in (7, 5))
        out = F.scaled_dot_product_attention(query, key, key)
        assert tally.operations == 2 * (2 * 2 * 3 * 7 * 5 * 8)
        out.sum().backward()
        assert tally.operations == 7 * (2 * 2 * 3 * 7 * 5 * 8)


def test_a_packed_lstm_is_counted_with_every_word():
    with shapes_alone():
        layer = nn.LSTM(6, 4, batch_first=True)
    with pretending(5) as tally:
        pretend(layer)
        packed = nn.utils.rnn.pack_padded_sequence(torch.rand(3, 5, 6), torch.tensor([5] * 3), batch_first=True)
        out, lengths = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=5)
        assert (out.shape, lengths.shape) == ((3, 5, 4), (3,))
        assert tally.operations == 2 * 3 * 5 * 16 * (6 + 4)


@pytest.fixture(scope="module")
def whole() -> StepCost:
    """A step on sixteen rows."""
    made = small(PLAIN, "training.batch_size=16")
    return cost.step_cost(made, made.training, SIZES)


def test_parameters_states_and_gradients_are_those_of_the_real_networks(whole):
    made = small(PLAIN)
    encoders = cost.build_encoders(made, SIZES)
    gan = made.gan(encoders, image_size=made.image_size)
    numbers = cost.parameters(made, SIZES)
    of = [sum(p.numel() for p in module.parameters()) for module in (gan.generator, gan.discriminator, encoders)]
    assert [numbers["generator"], numbers["discriminator"], numbers["encoders"]] == of
    found = whole.memory
    assert found.gradients == 4 * (of[0] + of[1])
    assert found.averaged == 4 * of[0]
    num_tensors = sum(1 for module in (gan.generator, gan.discriminator) for _ in module.parameters())
    assert found.optimizers == 2 * found.gradients + 4 * num_tensors  # Adam's two moments and its step
    buffers = sum(x.nbytes for module in (gan.generator, gan.discriminator, encoders) for x in module.buffers())
    assert found.weights == 4 * sum(of) + buffers
    assert found.total == sum((found.weights, found.averaged, found.optimizers, found.gradients, found.activations))


@pytest.mark.parametrize(
    ("field", "operations", "activations"),
    [("training.batch_size=8", (0.49, 0.51), (0.45, 0.99)), ("training.accumulate=4", (1.0, 1.5), (0.2, 0.7))],
)
def test_cost_falls_with_the_batch_and_with_its_parts(whole, field, operations, activations):
    made = small(PLAIN, "training.batch_size=16", field)
    found = cost.step_cost(made, made.training, SIZES)
    assert operations[0] < found.operations / whole.operations < operations[1]
    assert activations[0] < found.memory.activations / whole.memory.activations < activations[1]


def test_terms_that_are_taken_seldom_count_by_their_share():
    settings = override(recipe(NAME), ["training.batch_size=8"]).training
    settings = replace(settings, every={"magp": 4}, ramps={"contrast": (10, 5)})
    kinds = list(cost.kinds_of_steps(settings))
    assert sorted(share for _, share in kinds) == [0.25, 0.75]
    assert all(step > 15 for step, _ in kinds)
    assert list(cost.kinds_of_steps(recipe(NAME).pretraining)) == [(1, 1.0)]


def test_data_that_are_not_there_are_replaced_by_stated_sizes():
    sizes = cost.data_sizes(override(recipe("ssagan_cub"), ["source.root=nowhere"]))
    assert (sizes.num_tokens, sizes.num_labels) == (5450, 200)
    assert sizes.note is not None
    assert "5,450 tokens and 200 labels are assumed" in sizes.note
    assert cost.data_sizes(small()).note is None


def test_the_largest_batch_fills_the_memory(monkeypatch):
    monkeypatch.setattr(cost, "step_cost", linear)
    made = override(recipe(NAME), ["training.batch_size=16"])

    def fitting(available: int, *fields: str) -> int:
        settings = override(made, fields).training
        return cost.largest_batch(made, settings, SIZES, linear(made, settings, SIZES), available)

    assert fitting(100 + 10 * 57 + 3) == 57
    assert fitting(100 + 10 * 57 + 3, "training.accumulate=4") == 56
    assert fitting(100 + 19) == 0


def test_describe_prints_the_cost_and_times_what_fits():
    out = done("describe", PLAIN, "--cost", *small_fields(PLAIN)).out
    assert out.splitlines()[0].startswith(f"{PLAIN}: GALIP")
    rows = {line[:22].strip(): line.split() for line in out.splitlines()}
    assert rows["steps"][-2:] == ["2", "2"]
    assert float(rows["seconds a step"][-1]) > 0
    assert float(rows["hours"][-1]) > 0


def linear(_: object, settings: cost.Settings, __: object) -> StepCost:
    """A cost of 100 bytes and 10 for each row."""
    return StepCost(1, Memory(100, 0, 0, 0, 10 * settings.batch_size))


def test_describe_says_what_does_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 110)
    monkeypatch.setattr(cost, "step_cost", linear)
    out = done("describe", NAME, "--cost", *small_fields(NAME)).out
    assert "GiB, 0.00 are free: it was not timed" in out
    assert [line.split()[-2:] for line in out.splitlines() if "largest batch" in line] == [["none", "none"]]
    assert [line.split()[-2:] for line in out.splitlines() if "hours" in line] == [["-", "-"]]


def test_a_recipe_that_cannot_be_trained_has_no_cost():
    assert "training.batch_size must be at least 2" in refused("describe", NAME, "--cost", "training.batch_size=1")
    assert "no field" in refused("describe", NAME, "--cost", "training.batch=4")


def test_the_memory_that_is_free_is_less_than_there_is():
    assert 2**20 < memory.available_memory() < 2**50
