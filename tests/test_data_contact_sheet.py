"""The page of pictures that shows a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclgan.data.contact_sheet import contact_sheet
from sclgan.data.types import Picture, Sample


class Squares:
    """Gray squares with a long caption and, on every other row, two labels."""

    name, split = "squares", "train"
    composes, plain_backgrounds, credits = False, False, ()
    label_names = ("left", "right")
    labels = ((0, 1), (), (0, 1), (), (0,))
    keys = ("a", "b", "c", "d", "e")

    def __len__(self) -> int:
        return len(self.keys)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        del rng, augment
        return Picture(np.full((size, size, 3), 40 * index, np.uint8), "a square that is said to be gray " * 3)

    def captions(self) -> list[str]:
        return ["a square"]

    def sample(self, index: int) -> Sample:
        raise NotImplementedError


@pytest.mark.parametrize(("rows", "columns", "shown"), [(2, 2, 4), (1, 3, 3), (4, 4, 5)])
def test_shows_the_pictures_asked_for(tmp_path: Path, rows: int, columns: int, shown: int) -> None:
    path = tmp_path / "page.png"
    contact_sheet(Squares(), rows=rows, columns=columns, size=32, seed=0).save(path)
    with Image.open(path) as opened:
        page = np.asarray(opened.convert("RGB"))
    # Each square is 128 x 128 of one gray, far more of it than a letter has.
    grays = [value for value in range(0, 200, 40) if (page == value).all(-1).sum() > 10_000]
    assert len(grays) == shown
    assert (page[0] == 255).all()


def test_equal_arguments_give_equal_pages(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        contact_sheet(Squares(), rows=2, columns=2, size=64, seed=5).save(tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_an_empty_page_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 x 1"):
        contact_sheet(Squares(), rows=0, columns=4, size=64, seed=0)
