"""Numbers outside their range and networks that do not fit are refused before anything is built, read or written."""

import re

import pytest
import torch

from runs import small
from sclgan.recipe_fields import check_ranges, override
from sclgan.recipes import KNOWN, recipe
from sclgan.train.constructors import check_constructors
from sclgan.train.pretraining import pretrain
from sclgan.train.training import train


@pytest.mark.parametrize("name", KNOWN)
def test_every_recipe_is_within_its_ranges(name):
    check_ranges(recipe(name))


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("pretraining.steps=-1", "at least 0"),
        ("training.steps=0", "at least 1"),
        ("pretraining.batch_size=1", "at least 2"),
        ("training.batch_size=-8", "at least 2"),
        ("training.num_views=0", "at least 1"),
        ("training.betas=0.5,1", "at least 0 and below 1, not 1.0"),
        ("pretraining.learning_rate_decay=-1", "above 0 and at most 1"),
        ("training.generator_learning_rate=0", "above 0"),
        ("training.discriminator_learning_rate=-0.1", "above 0"),
        ("pretraining.learning_rate=nan", "a finite number"),
        ("pretraining.temperature=0", "above 0"),
        ("training.generator_objective.adv=-1", "at least 0"),
        ("training.discriminator_objectives.0.real=inf", "a finite number"),
        ("training.every.magp=0", "at least 1"),
        ("training.ema_decay=-1", "at least 0 and below 1"),
        ("training.ema_images=-5", "at least 0"),
        ("training.log_every=0", "at least 1"),
        ("training.checkpoint_every=-1", "at least 0"),
        ("training.grid_every=-1", "at least 0"),
        ("training.evaluate_every=-1", "at least 0"),
        ("training.evaluate_images=1", "at least 2"),
        ("pretraining.projection=0", "at least 1"),
        ("gan.nf=0", "at least 1"),
        ("gan.z_dim=-2", "at least 1"),
        ("gan.damsm_gammas=1,0,1", "above 0"),
        ("encoders.dropout=1", "at least 0 and below 1"),
        ("encoders.backbone.image_size=100", "at least 32 and a multiple of 32"),
        ("feature_discriminator.width=0", "at least 1"),
        ("image_size=0", "at least 1"),
        ("max_words=0", "at least 1"),
        ("seed=-1", "at least 0 and below 9223372036854775808"),
    ],
)
def test_a_number_outside_its_range_is_refused_before_anything_is_written(assignment, expected, tmp_path):
    path = assignment.partition("=")[0]
    wrong = override(small("ssagan_emoji"), [assignment])
    with pytest.raises(ValueError, match=rf"{re.escape(path)}(\.\d)? must be {re.escape(expected)}"):
        train(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_all_that_is_wrong_is_named_at_once():
    wrong = override(recipe("ssagan_emoji"), ["seed=-1", "gan.nf=0", "training.batch_size=1"])
    with pytest.raises(ValueError, match=r"gan\.nf must be.*training\.batch_size must be.*seed must be"):
        check_ranges(wrong)


@pytest.mark.parametrize(
    ("name", "assignment", "expected"),
    [
        ("ssagan_emoji", "image_size=100", "image_size must be 32, 64, 128 or 256"),
        ("attngan_emoji", "image_size=100", "image_size must be one of these times"),
        ("galip_emoji", "image_size=4", "image_size must be above"),
        ("galip_emoji", "gan.num_prompts=9", "must be among CLIP's"),
        ("galip_emoji", "gan.feature_blocks=none", "must be among CLIP's"),
        ("ssagan_emoji", "feature_discriminator.maps=7", "gives 4 maps"),
        ("ssagan_emoji", "encoders.code_size=7", "must be even"),
    ],
)
@pytest.mark.parametrize("phase", [pretrain, train])
def test_networks_that_do_not_fit_are_refused_before_pre_training(phase, name, assignment, expected, tmp_path):
    with pytest.raises(ValueError, match=expected):
        phase(override(small(name), [assignment]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_trying_the_constructors_draws_no_random_number():
    before = torch.random.get_rng_state()
    check_constructors(small("ssagan_emoji"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cadences_of_0_write_the_last_checkpoint_alone_and_no_grid(tmp_path):
    cadences = ["pretraining.checkpoint_every=0", "training.checkpoint_every=0", "training.grid_every=0"]
    train(override(small("ssagan_emoji"), cadences), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_00000002"]
    assert not list((tmp_path / "run").glob("grids/*.png"))
