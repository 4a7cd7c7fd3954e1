"""Runs as ONNX files: the pictures of torch from onnxruntime alone, for every GAN; and what is refused."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HubTokenizer

from command_line import APPLE, done, refused
from runs import untrained
from sclgan import models
from sclgan.data.pixels import to_8_bits
from sclgan.data.types import Captions
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.publishing import onnx_export
from sclgan.publishing.onnx_export import CODES, computed, export_onnx
from sclgan.publishing.token_files import write_tokens
from sclgan.runs.opened import Run, open_run

PAGE = Path(__file__).parents[1] / "docs" / "export-and-publish.md"
REAL = onnx_export.exported_graph
CAPTIONS = ["a red fish", "apple", "a white fish on a blue background", "a", APPLE]


RUNS = {
    "AttnGAN": ("attngan_emoji", "gan.num_stages=2"),
    "AttnGAN with the reference order of masks": ("attngan_emoji", "gan.num_stages=2", "gan.mask_order=reference"),
    "DM-GAN": ("dmgan_emoji", "gan.num_stages=2", "image_size=32"),
    "GALIP": (
        *("galip_emoji", "image_size=16", "encoders.num_image_blocks=2"),
        *("gan.feature_blocks=0,1", "gan.num_prompts=1"),
    ),
}


@pytest.fixture(autouse=True)
def _quick():
    """Without checks of shapes and without notes about each of the thousands of steps that torch's exporter takes."""
    logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def drawn(run: Run, out: Path, captions: list[str]) -> np.ndarray:
    """The pictures of the ONNX files."""
    tokens = run.tokenizer(captions)
    z = np.random.default_rng(1).standard_normal((len(captions), run.gan.z_dim), np.float32)
    given_tokens = {"tokens": tokens.tokens.numpy(), "lengths": tokens.lengths.numpy()}
    codes = dict(zip(CODES, computed(out.with_suffix(".text.onnx"), given_tokens), strict=True))
    return computed(out, {"z": z, **codes})[0]


@pytest.mark.parametrize("name", [*RUNS, "the model emoji"])
def test_onnxruntime_draws_the_pictures_of_torch_and_so_does_the_example_of_the_page(name, tmp_path):
    folder, out = models.home() / "emoji", tmp_path / "files" / "apple.onnx"
    if name in RUNS:
        folder = tmp_path / "run"
        untrained(folder, *RUNS[name])
    ended = done("export", folder, "--out", out)
    assert ended.out.startswith(f"{out}\n{out.with_suffix('.text.onnx')}\n{out.with_suffix('.tokens.json')}\n")
    check(open_run(folder, images=False), out)


def test_onnxruntime_draws_the_pictures_of_torch_for_ssagan_too(ssagan):
    check(ssagan.run, ssagan.out)


def check(run: Run, out: Path) -> None:
    """Pictures, metadata and the example of the page."""
    for captions in (CAPTIONS[:1], CAPTIONS):
        z = torch.from_numpy(np.random.default_rng(1).standard_normal((len(captions), run.gan.z_dim), np.float32))
        expected = run.generate(run.encode(captions), z).image.numpy()
        pictures = drawn(run, out, captions)
        assert pictures.shape == expected.shape
        assert np.abs(pictures - expected).max() <= 1e-4 * 2
    assert np.abs(drawn(run, out, CAPTIONS[::-1]) - pictures).max() > 1e-3  # captions matter
    check_facts(run, out)
    check_example(run, out)


def check_facts(run: Run, out: Path) -> None:
    """The metadata name recipe, step, operators and versions; no input is unused."""
    for path in (out, out.with_suffix(".text.onnx")):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        facts = {entry.key: entry.value for entry in model.metadata_props}
        assert facts["opset"] == "18"
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
        assert facts["torch_version"].startswith(torch.__version__.split("+")[0])
        assert facts["onnxruntime_version"] == onnxruntime.__version__
        assert (facts["recipe"], facts["step"]) == (run.recipe.name, str(run.step))
        tokens = out.with_suffix(".tokens.json").read_bytes()
        assert facts["tokens_sha256"] == hashlib.sha256(tokens).hexdigest()
        used = {name for node in model.graph.node for name in node.input}
        assert {one.name for one in model.graph.input} <= used


def check_example(run: Run, out: Path) -> None:
    """The example of the page draws with numpy and onnxruntime alone; for GALIP the second, which reads byte pairs."""
    if not PAGE.is_file():
        return
    is_clip = isinstance(run.tokenizer, CLIPTokenizer)
    code, caption = example(1 if is_clip else 0), "a red apple on a white background"
    assert caption in code
    assert is_clip or len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 10
    forbidden = "import sys; sys.modules.update(dict.fromkeys(('torch', 'sclgan', 'PIL', 'onnx', 'tokenizers')))\n"
    subprocess.run(
        [sys.executable, "-c", f"{forbidden}{code}\nnumpy.save('pixels.npy', pixels)"],
        cwd=out.parent,
        check=True,
        env=os.environ | {"PYTHONPATH": ""},
    )
    z = torch.from_numpy(np.random.default_rng(3).standard_normal((1, run.gan.z_dim), np.float32))
    expected = to_8_bits(run.generate(run.encode([caption]), z).image).numpy()
    pixels = np.load(out.parent / "pixels.npy")
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def example(number: int) -> str:
    if not PAGE.is_file():
        pytest.skip("the documents are not installed")
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)[number]


@dataclass
class Export:
    """A run, the generator's file of its export, and what torch's exporter made of its two networks."""

    run: Run
    out: Path
    programs: list[Any]


@pytest.fixture(scope="module")
def ssagan(tmp_path_factory) -> Export:
    folder = tmp_path_factory.mktemp("ssagan")
    untrained(folder, "ssagan_emoji", "image_size=32")
    run, programs = open_run(folder, images=False), []
    jaxtyping.config.update("jaxtyping_disable", True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_export, "exported_graph", lambda *given: programs.append(REAL(*given)) or programs[-1])
        export_onnx(run, folder / "files" / "apple.onnx")
    return Export(run, folder / "files" / "apple.onnx", programs)


@pytest.fixture
def again(ssagan, monkeypatch) -> Run:
    """The run, whose next exports take no time."""
    programs = cycle(ssagan.programs)
    monkeypatch.setattr(onnx_export, "exported_graph", lambda *_: next(programs))
    return ssagan.run


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_lstm_of_the_file_is_that_of_packed_sequences(ssagan, data):
    run, path = ssagan.run, ssagan.out.with_suffix(".text.onnx")
    num_tokens = run.tokenizer.max_words
    lengths = data.draw(st.lists(st.integers(1, num_tokens), min_size=1, max_size=6))
    seed = data.draw(st.integers(0, 2**32 - 1))
    tokens = np.random.default_rng(seed).integers(0, run.tokenizer.num_tokens, (len(lengths), num_tokens))
    packed = run.encoders.encode_text(Captions(torch.from_numpy(tokens), torch.tensor(lengths)))  # of garbage beyond
    found = computed(path, {"tokens": tokens, "lengths": np.array(lengths)})
    for name, array in zip(CODES, found, strict=True):
        expected = getattr(packed, name).numpy()
        assert array.dtype == expected.dtype
        np.testing.assert_allclose(array.astype(float), expected.astype(float), rtol=0, atol=1e-6)


CLIP_CAPTIONS = [APPLE, "It's 25 o'clock,  isn't it?!", "Größe élan 日本 naïve", "x" * 100 + " a b c d e f g h i"]


def test_the_tokens_of_clip_are_read_by_the_library_of_their_format(tmp_path):
    tokenizer = CLIPTokenizer(context_length=20)
    write_tokens(tokenizer, tmp_path / "tokens.json")
    library = HubTokenizer.from_file(str(tmp_path / "tokens.json"))
    expected = tokenizer(CLIP_CAPTIONS)
    found = library.encode_batch(CLIP_CAPTIONS)
    assert [one.ids for one in found] == expected.tokens.tolist()
    assert [sum(one.attention_mask) for one in found] == expected.lengths.tolist()


@settings(max_examples=100, deadline=None)
@given(caption=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_the_byte_pairs_of_the_page_are_those_of_clip_for_ascii(clip_reader, caption):
    tokenizer = CLIPTokenizer(context_length=20)
    if not caption.strip() or "&" in caption or "<" in caption:  # open_clip undoes HTML, and knows its signs by name
        return
    tokens = tokenizer([caption])
    assert clip_reader(caption) == tokens.tokens[0, : int(tokens.lengths[0])].tolist()


@pytest.fixture(scope="module")
def clip_reader(tmp_path_factory):
    """The example of the page up to its row of tokens, as a function of the caption."""
    folder = tmp_path_factory.mktemp("tokens")
    write_tokens(CLIPTokenizer(context_length=20), folder / "apple.tokens.json")
    code = example(1).split("row = ")[0].replace("apple.tokens.json", str(folder / "apple.tokens.json"))
    code = code.replace('"a red apple on a white background"', "caption")
    setup, _, reads = code.partition("known = ")
    namespace: dict[str, object] = {}
    exec(setup, namespace)  # the page is ours
    reading = compile("known = " + reads, str(PAGE), "exec")

    def read(caption: str) -> object:
        exec(reading, namespace | (given_here := {"caption": caption}), given_here)
        return given_here["known"]

    return read


def test_a_file_that_is_not_of_an_export_is_never_replaced_and_ours_are(again, tmp_path):
    run = again
    out = tmp_path / "apple.onnx"
    for name in ("apple.onnx", "apple.text.onnx", "apple.tokens.json"):
        (tmp_path / name).write_bytes(b"a thesis")
        said = refused("export", run.folder, "--out", out)
        assert f"{tmp_path / name} was not written by this command and would be overwritten" in said
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a thesis"]
        (tmp_path / name).unlink()
    export_onnx(run, out)
    before = {path.name for path in tmp_path.iterdir()}
    export_onnx(run, out)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert before == {"apple.onnx", "apple.text.onnx", "apple.tokens.json"}
    vocabulary = tmp_path / "apple.tokens.json"
    vocabulary.write_text(json.dumps(json.loads(vocabulary.read_text()) | {"words": ["mine"]}))
    assert "apple.tokens.json was not written by this command" in refused("export", run.folder, "--out", out)


def test_what_cannot_be_exported_says_why_and_writes_nothing(again, tmp_path, monkeypatch):
    run, out = again, tmp_path / "apple.onnx"
    assert "names the file of the generator, such as apple.onnx" in refused("export", run.folder, "--out", tmp_path)
    assert "is not a run folder" in refused("export", tmp_path / "nothing", "--out", out)
    assert "has no checkpoint '7'" in refused("export", run.folder, "--out", out, "--checkpoint", 7)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnxruntime", None)
        assert "pip install 'sclgan[onnx]'" in refused("export", run.folder, "--out", out)
    with monkeypatch.context() as patched:
        patched.setattr(onnx_export, "LARGEST_DIFFERENCE", -1.0)
        assert "differ from torch's by" in refused("export", run.folder, "--out", out)
    with monkeypatch.context() as patched:
        patched.setattr(onnx_export, "LARGEST_FILE", 100)
        patched.setattr(onnx_export, "exported_graph", REAL)
        assert "an ONNX file holds up to 2 GB" in refused("export", run.folder, "--out", out)
    assert list(tmp_path.iterdir()) == []
