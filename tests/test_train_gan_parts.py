"""Steps in parts: those of the whole batch where rows do not meet in a network, and what is said where they do."""

import logging
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ranks import run_on_ranks
from runs import SCL, assert_identical, final_weights, small
from sclgan.data.types import Batch, Captions, View
from sclgan.distributed import own_rows
from sclgan.gans.layers import SpectralConv2d
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train import gan_parts, training
from sclgan.train.checks import check_recipe
from sclgan.train.training import with_feature_discriminator
from tiny import tiny

ROWS, NUM_WORDS, NUM_TOKENS = 8, 6, 20
BATCH_NORM = nn.modules.batchnorm._BatchNorm
GALIP = "galip_emoji_scl"


def batch_of(made: Recipe) -> Batch:
    """This rank's rows of a batch of eight, in double precision."""
    generator = torch.Generator().manual_seed(0)
    mine = own_rows(ROWS)
    shape = (ROWS, 3, made.image_size, made.image_size)
    views = []
    for _ in range(made.training.num_views):
        image = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        tokens = torch.randint(1, NUM_TOKENS, (ROWS, NUM_WORDS), generator=generator)
        lengths = torch.randint(3, NUM_WORDS + 1, (ROWS,), generator=generator)
        views.append(View(image[mine], Captions(tokens, lengths)[mine]))
    return Batch(tuple(views), (torch.arange(ROWS) // 3)[mine], torch.ones(ROWS, dtype=torch.bool)[mine])


def after_steps(
    name: str, *fields: str, still: tuple[type[nn.Module], ...] = (), double: bool = True
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Every tensor after two steps and the terms of the second; layers of the kinds `still` do not see the batch."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if double else default)
    try:
        made = override(tiny(recipe(name)), [f"training.batch_size={ROWS}", *fields])
        torch.manual_seed(0)
        encoders = made.encoders(NUM_TOKENS)
        encoders.add_label_classifier(3)
        encoders.to(torch.get_default_dtype()).requires_grad_(False).eval()
        gan = with_feature_discriminator(made.gan(encoders, image_size=made.image_size), made, encoders)
        for network in (gan.generator, gan.discriminator):
            network.to(torch.get_default_dtype())
            with torch.no_grad():  # what begins as 0 would hide everything behind it
                for p in network.parameters():
                    p.add_(0.05 * torch.randn_like(p))
            for part in network.modules():
                if isinstance(part, still):
                    part.eval()
        phase = gan_parts.gan_phase(gan, encoders, made.training, seed=0)
        batch = batch_of(made)
        views = tuple(View(view.image.to(torch.get_default_dtype()), view.captions) for view in batch.views)
        batch = Batch(views, batch.labels, batch.has_partner)
        for step in (1, 2):
            terms = phase.step(batch, step)
        tensors = {f"{n}.{k}": v.detach() for n, m in phase.modules.items() for k, v in m.state_dict().items()}
        return tensors, {k: float(v) for k, v in terms.items()}
    finally:
        torch.set_default_dtype(default)


def assert_close(one: tuple[dict[str, Tensor], dict[str, float]], other: tuple[dict[str, Tensor], dict[str, float]]):
    assert one[1] == pytest.approx(other[1], rel=1e-7, abs=1e-10)
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        torch.testing.assert_close(value, other[0][name], rtol=0, atol=1e-7, msg=partial("{}: {}".format, name))


AUGMENTED = ("training.augment=translation,cutout,colour", "training.contrast_reals=true")


def test_galip_in_parts_takes_the_steps_of_the_whole_batch():
    whole = after_steps(GALIP, *AUGMENTED)
    assert_close(after_steps(GALIP, *AUGMENTED, "training.accumulate=4"), whole)
    assert_close(after_steps(GALIP, *AUGMENTED, "training.accumulate=2", "training.penalty_parts=2"), whole)


@pytest.mark.parametrize("name", ["ssagan_emoji_scl", "attngan_emoji_cl", "dmgan_emoji_ce"])
def test_the_terms_of_the_other_gans_are_exact_too_where_nothing_is_normalised_over_the_batch(name):
    whole = after_steps(name, still=(BATCH_NORM, SpectralConv2d))
    assert_close(after_steps(name, "training.accumulate=4", still=(BATCH_NORM, SpectralConv2d)), whole)
    assert {"d/mismatched", "d/real_cond", "d/real"} & whole[1].keys()
    assert "g/words" in whole[1]


def test_parts_of_the_penalty_alone_are_exact_beside_batch_normalisation():
    whole = after_steps(SCL, still=(SpectralConv2d,))
    assert_close(after_steps(SCL, "training.penalty_parts=4", still=(SpectralConv2d,)), whole)
    different = after_steps(SCL, "training.accumulate=2", still=(SpectralConv2d,))[1]
    assert different["g/adv"] != pytest.approx(whole[1]["g/adv"], rel=1e-7)


def _in_parts_on_ranks(num_parts: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    return after_steps(GALIP, f"training.accumulate={num_parts}")


def test_parts_on_two_ranks_take_the_steps_of_one_process():
    results = run_on_ranks(_in_parts_on_ranks, 2, 2)
    assert_identical(results[0][0], results[1][0])
    whole = after_steps(GALIP)
    for name, value in results[0][0].items():
        torch.testing.assert_close(value, whole[0][name], rtol=0, atol=1e-7)


def test_parts_in_bfloat16_have_the_losses_of_the_whole_batch():
    half = ("training.precision=bfloat16",)
    whole, parts = (
        after_steps(GALIP, *half, double=False),
        after_steps(GALIP, *half, "training.accumulate=4", double=False),
    )
    assert parts[1] == pytest.approx(whole[1], rel=0.03, abs=0.01)


def test_a_run_in_parts_resumes_bit_for_bit_and_says_what_differs(trained, tmp_path, caplog):
    fields = ("training.accumulate=2", "training.penalty_parts=2", "training.batch_size=8")
    with caplog.at_level(logging.WARNING):
        for folder, steps in (("at_once", (3,)), ("resumed", (2, 3))):
            for last in steps:
                training.train(small(SCL, *fields, f"training.steps={last}"), tmp_path / folder, encoders=trained)
    assert_identical(final_weights(tmp_path / "resumed"), final_weights(tmp_path / "at_once"))
    said = [one for one in caplog.messages if "parts" in one]
    assert "the generator normalises each part by its own statistics (conv_mask.1, block0.affine0" in said[0]


def test_notes_name_the_networks_whose_layers_see_the_batch():
    said = {}
    for name in ("attngan_emoji", "dmgan_emoji", "ssagan_emoji", "galip_emoji"):
        made = tiny(recipe(name))
        gan = made.gan(made.encoders(NUM_TOKENS), image_size=made.image_size)
        settings = override(made, ["training.accumulate=2"]).training
        said[name] = [line.partition(": the ")[2].split(" ")[0:2] for line in gan_parts.notes(gan, settings)]
        assert gan_parts.notes(gan, made.training) == []
    assert said == {
        "attngan_emoji": [["generator", "normalises"], ["discriminator", "normalises"]],
        "dmgan_emoji": [["generator", "normalises"], ["discriminator", "improves"]],
        "ssagan_emoji": [["generator", "normalises"]],
        "galip_emoji": [],
    }


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (GALIP, ("training.batch_size=8", "training.accumulate=3"), "do not divide the 8 rows"),
        (GALIP, ("training.batch_size=8", "training.accumulate=8"), "2 or more"),
        (GALIP, ("training.batch_size=8", "training.accumulate=2", "training.penalty_parts=3"), "penalty_parts=3"),
        (GALIP, ("training.accumulate=0",), "training.accumulate must be at least 1"),
        ("attngan_emoji", ("training.penalty_parts=2",), "AttnGAN has no gradient penalty"),
    ],
)
def test_parts_that_do_not_fit_are_refused(name, fields, said):
    with pytest.raises(ValueError, match=said):
        check_recipe(override(tiny(recipe(name)), list(fields)))
