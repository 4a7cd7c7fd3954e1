"""Differentiable augmentation: what each part does to known pictures, and that it can be differentiated twice."""

import pytest
import torch

from sclgan.gans.augmentation import CUTOUT_SIDE, MOST_SHIFT, NUM_DRAWS, Augmentation, check, unchanged
from sclgan.recipe_fields import override
from sclgan.recipes import recipe


def draws(**given: float) -> torch.Tensor:
    """One picture's numbers: in the middle of their ranges but for those given by place, `d3=0.0`."""
    numbers = torch.full((1, NUM_DRAWS), 0.5)
    for name, value in given.items():
        numbers[0, int(name[1:])] = value
    return numbers


def ramp(size: int = 16) -> torch.Tensor:
    """A picture whose value tells the place."""
    return torch.arange(3 * size * size, dtype=torch.float64).view(1, 3, size, size) / (3 * size * size)


@pytest.mark.parametrize(("down", "right", "dy", "dx"), [(0.0, 0.5, -2, 0), (0.999, 0.5, 2, 0), (0.5, 0.75, 0, 1)])
def test_translation_moves_the_picture_and_repeats_its_edge(down, right, dy, dx):
    picture = ramp()
    moved = Augmentation(("translation",), draws(d3=down, d4=right))(picture)
    for row in range(16):
        for column in range(16):
            source = picture[:, :, min(max(row - dy, 0), 15), min(max(column - dx, 0), 15)]
            assert torch.equal(moved[:, :, row, column], source)
    assert max(abs(dy), abs(dx)) <= 16 * MOST_SHIFT


def test_cutout_makes_one_square_grey_and_leaves_the_rest():
    picture = ramp(20) + 1
    cut = Augmentation(("cutout",), draws(d5=0.5, d6=0.0))(picture)
    side = round(20 * CUTOUT_SIDE)
    grey = (cut == 0).all(1)[0]
    rows, columns = torch.nonzero(grey.any(1)).flatten(), torch.nonzero(grey.any(0)).flatten()
    assert rows.tolist() == list(range(10 - side // 2, 10 - side // 2 + side))
    assert columns.tolist() == list(range(side - side // 2))  # half of it lies beyond the left edge
    assert torch.equal(cut[:, :, ~grey], picture[:, :, ~grey])


def test_colour_in_the_middle_of_its_ranges_changes_nothing_and_saturation_0_is_grey():
    picture = ramp()
    torch.testing.assert_close(Augmentation(("colour",), draws())(picture), picture)
    grey = Augmentation(("colour",), draws(d1=0.0))(picture)
    torch.testing.assert_close(grey, picture.mean(1, keepdim=True).expand_as(picture))
    brighter = Augmentation(("colour",), draws(d0=0.75))(picture)
    torch.testing.assert_close(brighter, picture + 0.25)


def test_each_picture_has_its_own_transform_and_every_batch_the_same_one():
    numbers = torch.rand(4, NUM_DRAWS, generator=torch.Generator().manual_seed(0))
    augment = Augmentation(("translation", "cutout", "colour"), numbers)
    pictures = ramp().repeat(4, 1, 1, 1)
    out = augment(pictures)
    assert torch.equal(out, augment(pictures.clone()))
    assert all(not torch.equal(out[0], other) for other in out[1:])
    alone = Augmentation(augment.names, numbers[2:3])(pictures[:1])
    torch.testing.assert_close(out[2:3], alone)
    assert unchanged(pictures) is pictures


def test_a_part_that_is_added_leaves_the_draws_of_the_others():
    numbers = torch.rand(1, NUM_DRAWS, generator=torch.Generator().manual_seed(1))
    both = Augmentation(("translation", "cutout"), numbers)(ramp())
    moved = Augmentation(("translation",), numbers)(ramp())
    untouched = both != 0
    assert torch.equal(both[untouched], moved[untouched])


def test_it_is_differentiable_twice():
    numbers = torch.rand(2, NUM_DRAWS, generator=torch.Generator().manual_seed(2))
    augment = Augmentation(("translation", "cutout", "colour"), numbers)
    picture = torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    assert torch.autograd.gradcheck(augment, picture)
    assert torch.autograd.gradgradcheck(lambda x: augment(x).square(), picture)


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match=r"training\.augment.* one of translation, cutout, colour.*, not 'blur'"):
        override(recipe("ssagan_emoji"), ["training.augment=translation,blur"])
    with pytest.raises(ValueError, match=r"names \['blur'\]; there are translation, cutout, colour"):
        check(["translation", "blur"])
    check(["translation", "cutout"])
    assert override(recipe("ssagan_emoji"), ["training.augment=none"]).training.augment == ()
