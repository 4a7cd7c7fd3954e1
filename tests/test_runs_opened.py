"""Opening a run to draw: the same pictures as with all its networks, and nothing built that drawing does not need."""

from functools import partial

import pytest
import torch

from runs import GANS, untrained
from sclgan.encoders.base import NoTrunk
from sclgan.runs.opened import open_run

APPLE = "a red apple on a white background"


@pytest.fixture(scope="module", params=GANS)
def made(request, tmp_path_factory):
    """A run folder of each GAN with random weights, and its networks as training builds them."""
    folder = tmp_path_factory.mktemp(request.param)
    return folder, *untrained(folder, request.param)


def test_a_run_opened_to_draw_holds_the_weights_and_draws_the_pictures_of_training(made):
    folder, encoders, gan = made
    whole, drawing = open_run(folder), open_run(folder, images=False)
    for run in (whole, drawing):
        state = run.gan.generator.state_dict()
        assert state.keys() == gan.generator.state_dict().keys()
        for name, tensor in gan.generator.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)
            assert state[name].stride() == tensor.stride(), name  # the layout decides how convolutions round
        assert not any(parameter.requires_grad for parameter in run.gan.generator.parameters())
    gan.generator.eval()
    encoders.eval()
    with torch.no_grad():
        text = encoders.encode_text(whole.tokenizer([APPLE]))
        expected = gan.generate(torch.randn(1, gan.z_dim, generator=torch.Generator().manual_seed(1)), text).image
        for run in (whole, drawing):
            noise = torch.randn(1, gan.z_dim, generator=torch.Generator().manual_seed(1))
            torch.testing.assert_close(run.generate(run.encode([APPLE]), noise).image, expected, rtol=0, atol=0)


def test_opening_builds_no_discriminator(made):
    folder, _, _ = made
    run = open_run(folder, images=False)
    assert all(parameter.is_meta for parameter in run.gan.discriminator.parameters())
    assert not any(tensor.is_meta for tensor in [*run.gan.generator.parameters(), *run.gan.generator.buffers()])


def test_a_generator_has_no_state_that_a_checkpoint_leaves_out(made):
    """What is built without memory is filled from the checkpoint alone."""
    _, _, gan = made
    assert {name for name, _ in gan.generator.named_buffers()} <= gan.generator.state_dict().keys()


def test_without_images_pictures_cannot_be_encoded_and_with_them_they_can(trained):
    drawing, whole = open_run(trained, images=False), open_run(trained)
    image = torch.zeros(1, 3, 64, 64)
    assert isinstance(drawing.encoders.get_submodule("image_encoder.backbone"), NoTrunk)
    with pytest.raises(RuntimeError, match="images=True"):
        drawing.encoders.encode_image(image)
    assert whole.encoders.encode_image(image).image.shape == (1, 16)
    assert torch.equal(
        drawing.sample([APPLE], num_images=2, seed=0),
        whole.sample([APPLE], num_images=2, seed=0),
    )
    assert isinstance(whole.recipe.encoders, partial)
