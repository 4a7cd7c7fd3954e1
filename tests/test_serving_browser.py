"""The page in Chromium: type, draw, slide, compare, look at words, download, come back by a link."""

import io
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import sync_playwright

from sclgan.serving.app import application
from sclgan.serving.drawing import Served
from sclgan.serving.limits import Limits
from served import APPLE, FISH, listening, untrained

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium: `apt install chromium`, or set CHROMIUM to its path")

WIDTHS = (1200, 400)


@pytest.fixture(scope="module")
def address():
    """A server in a thread, for an AttnGAN named "plain" and another one named "scl"."""
    runs = {"plain": untrained("attngan_emoji"), "scl": untrained("attngan_emoji", "gan.num_residual_blocks=2")}
    app = application([Served.of(name, run) for name, run in runs.items()], Limits(), None)
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as run:
        made = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(params=WIDTHS)
def page(request, browser, address):
    """The page, opened and drawn; every error of its scripts or its policy fails the test."""
    context = browser.new_context(viewport={"width": request.param, "height": 800})
    context.set_default_timeout(240_000)  # a busy machine
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda message: wrong.append(message.text) if is_error(message) else None)
    made.on("request", lambda request: asked.append(request.url))
    made.goto(address)
    made.wait_for_selector("body[data-ready]")
    yield made
    assert wrong == []
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
    context.close()


def is_error(message) -> bool:
    """Whether a line of the console is one; that a request was refused is none."""
    return message.type == "error" and not re.search("status of (4..|503)", message.text)


def sources(page, selector: str = "#gallery img") -> list[str]:
    return page.eval_on_selector_all(selector, "images => images.map(image => image.src)")


def drawn(page, caption: str, **fields: int) -> list[str]:
    """Types a caption, fills fields and draws by the keyboard alone; returns the pictures."""
    for name, value in fields.items():
        page.fill(f"#{name.replace('_', '-')}", str(value))
    page.fill("#caption", "")
    page.focus("#caption")
    page.keyboard.type(caption)
    with page.expect_response("**/api/pictures"):
        page.keyboard.press("Enter")
    page.wait_for_selector("#gallery:not([aria-busy])")
    return sources(page)


def test_type_and_draw(page):
    assert len(sources(page)) == 8  # an example is drawn when the page opens
    pictures = drawn(page, "a red zyxxy apple", num_images=3, seed=5)
    assert len(pictures) == 3
    page.wait_for_selector(".shade span.unknown")
    assert page.text_content(".shade span.unknown") == "zyxxy"
    assert page.text_content("#caption-note") == "Not in the vocabulary, left out: zyxxy."
    assert "3 pictures in " in page.text_content("#status")
    assert drawn(page, APPLE, num_images=3, seed=5) != pictures
    assert drawn(page, "a red apple", num_images=3, seed=5) == pictures
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_a_refusal_is_shown_as_a_sentence(page):
    page.fill("#caption", "zyxxy")
    with page.expect_response("**/api/pictures") as answer:
        page.click("text=Draw >> nth=-1")
    assert answer.value.status == 422
    page.wait_for_selector("#status.wrong")
    assert page.text_content("#status").startswith("The caption holds no known word: 'zyxxy'")


def test_a_busy_server_is_asked_again(page):
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"detail": "Too many requests wait."}}
    page.route("**/api/pictures", lambda route: route.fulfill(**busy), times=1)
    page.fill("#num-images", "5")
    page.press("#num-images", "Enter")
    page.wait_for_function("() => document.getElementById('status').textContent.includes('Trying again in 1 s')")
    page.wait_for_function("() => document.querySelectorAll('#gallery img').length === 5")


def test_compare_look_and_download(page, tmp_path):
    page.select_option("#beside", "scl")
    pictures = drawn(page, APPLE, num_images=2, seed=3)
    assert len(pictures) == 4
    assert len(set(pictures)) == 4
    assert page.locator("figure.pair").count() == 2
    page.locator("button.picture").nth(3).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#maps button")
    labels = page.eval_on_selector_all("#maps button", "all => all.map(one => one.textContent.split(' ')[0])")
    assert labels == ["picture", *APPLE.split()]
    page.click("#maps button >> nth=2")
    assert page.get_attribute("#detail-picture", "src") == sources(page, "#maps img")[2] != pictures[3]
    with page.expect_download() as download:
        page.click("#download")
    path = tmp_path / "picture.png"
    download.value.save_as(path)
    assert download.value.suggested_filename == "scl-a-red-apple-on-a-white-background-seed3-2.png"
    expected = untrained("attngan_emoji", "gan.num_residual_blocks=2").sample([APPLE], num_images=2, seed=3)[1]
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected.permute(1, 2, 0).numpy())

    page.click("#copy-link")
    link = page.evaluate("navigator.clipboard.readText()")
    shown = page.get_attribute("#maps img >> nth=0", "src")
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#maps button")
    assert page.get_attribute("#detail-picture", "src") == shown
    assert page.text_content("#detail-facts") == "scl, seed 3, picture 2 of 2"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") != "detail"
    assert sources(page) == pictures


def test_slide_between_two_sentences_and_two_noises(page):
    page.click("#show-between")
    page.wait_for_selector("#mixed img")
    page.fill("#caption-a", APPLE)
    page.fill("#caption-b", FISH)
    pictures = set()
    for slider in ("#sentence-share", "#noise-share"):
        for key in ("Home", "ArrowRight", "End"):
            with page.expect_event("request", lambda request: request.url.endswith("/api/between")):
                page.press(slider, key)
            state = f"{slider[1:].partition('-')[0]}={page.input_value(slider)}(&|$)"
            page.wait_for_url(re.compile(state), wait_until="commit")
            pictures.add(sources(page, "#mixed img")[0])
    assert len(pictures) == 6
    last = sources(page, "#mixed img")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.wait_for_selector("#mixed img")
    assert sources(page, "#mixed img") == last
    assert page.input_value("#sentence-share") == page.input_value("#noise-share") == "1"
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
