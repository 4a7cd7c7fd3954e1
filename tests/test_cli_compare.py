"""`sclgan compare` and `sclgan figure`: pages and figures that need no other file."""

import html.parser
import shutil

from command_line import APPLE, PLAIN, done, refused
from runs import SCL, small_fields


class Page(html.parser.HTMLParser):
    """The tags of a page, and everything that a browser would load for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "xlink:href", "data")]
        self.loads += [part.split(")")[0] for _, value in attrs for part in (value or "").split("url(")[1:]]


def test_compare_writes_one_page_that_needs_no_other_file(plain, trained, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for source, folder in zip((plain, trained), runs, strict=True):
        shutil.copytree(source, folder)
    done("evaluate", runs[0], "--protocol", "background_accuracy", "--num-images", 4)
    path = tmp_path / "page" / "index.html"
    assert done("compare", *runs, "--out", path.parent).out == f"{path}\n"
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert page.count.keys().isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.loads)
    assert "@import" not in text
    assert page.count["img"] == 10 * (1 + 2 * 4)
    assert len({address for address in page.loads if address.startswith("data:")}) > 10
    assert page.count["svg"] == 2
    assert f"<b>{PLAIN}</b>: SSA-GAN on emoji, step 2" in text
    assert f"<b>{SCL}</b>" in text
    assert "step 6" in text
    assert "background_accuracy@4" in text
    assert "not measured" in text
    assert "training.num_views" in text


def test_figure_takes_captions_one_by_one(plain, tmp_path):
    out = tmp_path / "new" / "figure.svg"
    options = ("--caption", APPLE, "--caption", "a blue fish", "--out", out)
    assert done("figure", "qualitative", plain, *options).out == f"{out}\n"
    assert out.read_text().count("<image") == 2


def test_compare_refuses_the_same_run_twice_and_runs_of_different_sizes(plain, tmp_path):
    page = ("--out", tmp_path / "page")
    assert "different run folders" in refused("compare", plain, plain.parent / "." / plain.name, *page)
    other = small_fields(PLAIN, "image_size=32", "training.steps=1")
    done("train", PLAIN, *other, "--out", tmp_path / "other", "--encoders", plain)
    assert "different data or sizes" in refused("compare", plain, tmp_path / "other", *page)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
