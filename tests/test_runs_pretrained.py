"""Drawing from Python, and what neither it nor the command waits for."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sclgan
from sclgan.runs.opened import open_run
from sclgan.runs.pictures import grid

APPLE, FISH = "a red apple on a white background", "a blue fish"


def test_from_pretrained_returns_pictures_of_one_caption_or_several(trained, shipped):
    generator = sclgan.from_pretrained(trained)
    assert generator.image_size == 64
    pictures = generator(APPLE, num_images=2, seed=3)
    assert [(type(picture), picture.mode, picture.size) for picture in pictures] == [(Image.Image, "RGB", (64, 64))] * 2
    expected = open_run(trained).sample([APPLE, FISH], num_images=2, seed=3).permute(0, 2, 3, 1).numpy()
    both = generator([APPLE, FISH], num_images=2, seed=3)
    assert len(both) == 4
    for picture, pixels in zip(both, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    np.testing.assert_array_equal(np.asarray(pictures[1]), expected[1])
    assert len(sclgan.from_pretrained(str(trained), checkpoint="5")(APPLE)) == 1
    assert sclgan.from_pretrained("emoji").run.folder == shipped


def test_from_pretrained_says_what_it_cannot_draw(trained, caplog):
    generator = sclgan.from_pretrained(trained)
    assert len(generator("a red zyxxy apple")) == 1
    assert caplog.messages == ["words the text encoder never saw, left out of 'a red zyxxy apple': zyxxy"]
    for captions, expected in (("", "is empty"), ([], "no caption was given"), ("zyxxy", "holds no known word")):
        with pytest.raises(ValueError, match=expected):
            generator(captions)
    with pytest.raises(ValueError, match="num_images must be at least 1, not 0"):
        generator(APPLE, num_images=0)
    with pytest.raises(FileNotFoundError, match="has no checkpoint 'best'"):
        sclgan.from_pretrained(trained, checkpoint="best")


def test_the_package_has_what_it_names_and_nothing_else():
    assert {"from_pretrained", "losses", "__version__"} <= set(dir(sclgan))
    assert set(sclgan.__all__) == {"from_pretrained", "losses", "__version__"}
    with pytest.raises(AttributeError, match="module 'sclgan' has no attribute 'form_pretrained'"):
        _ = sclgan.form_pretrained


# What is not waited for

SLOW = ("torchvision", "torch._dynamo", "sympy", "matplotlib", "tensorboard", "sclgan.train.training", "sclgan.recipes")


def loaded(script: str, *arguments: object) -> set[str]:
    """The modules that a process has after a script; SystemExit of a command is caught."""
    script = f"import sys\ntry:\n{script}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    )
    return set(ended.stdout.split("MODULES ")[1].split())


def test_importing_the_package_does_not_import_torch():
    assert not {"torch", "numpy", "PIL", "tyro"} & loaded("    import sclgan\n    dir(sclgan)")


def test_drawing_imports_no_torchvision_and_builds_no_discriminator(trained, tmp_path):
    script = (
        "    import sclgan\n    generator = sclgan.from_pretrained(sys.argv[1])\n"
        "    assert len(generator('a red apple', num_images=2)) == 2\n"
        "    D = list(generator.run.gan.discriminator.parameters())\n"
        "    assert D and all(parameter.is_meta for parameter in D)"
    )
    assert not set(SLOW) & loaded(script, trained)
    command = "    from sclgan.__main__ import main\n    main()"
    arguments = ("sample", trained, APPLE, "--out", tmp_path / "a.png")
    assert not set(SLOW) & loaded(command, *arguments)
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize("line", ["sample nothere apple --out a.png", "sample nothere --out a.png"])
def test_an_error_that_needs_no_torch_does_not_wait_for_it(line):
    assert not {"torch", "numpy"} & loaded("    from sclgan.__main__ import main\n    main()", *line.split())


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (6, 3), (8, 8), (4, 1), (5, 3), (1, 4), (2, 4)])
def test_samples_lie_in_a_grid_as_torchvision_makes_it(count, columns):
    from torchvision.utils import make_grid

    pictures = torch.randint(0, 256, (count, 3, 5, 7), dtype=torch.uint8)
    expected = make_grid(pictures, nrow=columns).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(grid(pictures.numpy(), columns)), expected)
