"""Published weights in all their layouts become run folders that draw the same images; what does not fit is named."""

import json
import math
import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from reference import FORWARD, agree, load, weights
from sclgan.commands.runs import import_, sample
from sclgan.data.captions import Vocabulary
from sclgan.data.pixels import to_8_bits
from sclgan.data.sets import legacy_pickle
from sclgan.data.sets.emoji import Emoji
from sclgan.data.types import Captions
from sclgan.encoders.damsm import DAMSM, TextEncoder
from sclgan.encoders.inception import InceptionTrunk
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import evaluate_run
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.ssagan import SSAGAN
from sclgan.importing.official import import_files
from sclgan.importing.vocabulary import vocabulary_words
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.runs.encoders import load_encoders
from sclgan.runs.opened import open_run
from sclgan.runs.pictures import attention_picture, tiles
from sclgan.weights.readers import read_states

WORDS = ["a", "small", "red", "bird", "with", "yellow", "wings"]
CAPTIONS = ["a small red bird", "a bird with yellow wings"]
KINDS = ("attngan", "dmgan", "ssagan")
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def damsm() -> DAMSM:
    """Tiny text encoder and heads on a whole trunk, whose running statistics are not those of new weights."""
    torch.manual_seed(0)
    damsm = DAMSM(len(WORDS) + 1, partial(InceptionTrunk, None, align_corners=True), code_size=16, embedding_size=12)
    for name, buffer in damsm.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return damsm.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, damsm: DAMSM) -> Path:
    """The published encoders and vocabulary."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(damsm.text_encoder.state_dict(), folder / "text_encoder200.pth")
    torch.save(image_state(damsm), folder / "image_encoder200.pth")
    write_captions(folder / "captions.pickle", WORDS)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """A run folder; it holds a trunk of 87 MB, so it is removed."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


def image_state(damsm: DAMSM) -> State:
    return {
        name.removeprefix("backbone."): x
        for name, x in damsm.image_encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")  # torch 0.3 had none
    }


def write_captions(path: Path, words: list[str]) -> None:
    numbered = {0: "<end>", **dict(enumerate(words, start=1))}
    content = [[[1, 2]], [[3]], numbered, {word: number for number, word in numbered.items()}]
    path.write_bytes(pickle.dumps(content, protocol=2))


def gan_of(kind: str, damsm: DAMSM) -> Any:
    torch.manual_seed(1)
    if kind == "ssagan":
        gan: Any = SSAGAN(damsm, image_size=32, nf=2, z_dim=5, mask_channels=3)
    else:
        of_kind = partial({"attngan": AttnGAN, "dmgan": DMGAN}[kind], damsm, image_size=32, num_stages=2)
        gan = of_kind(ngf=3, ndf=2, z_dim=5, condition_dim=4, num_residual_blocks=2, mask_order="reference")
    for name, x in gan.generator.state_dict().items():
        if name.endswith(("gamma", "running_mean", "linear2.weight")):
            x.normal_()
    gan.generator.eval()
    return gan


def discriminator_states(kind: str, gan: Any) -> list[State]:
    """As their authors save them."""
    if kind == "ssagan":
        state = gan.discriminator.state_dict()
        width = state["block2.conv_r.0.weight"].shape[0]
        return [state | {"block7.conv_s.weight": torch.ones(width, width, 1, 1)}]
    states = [D.state_dict() for D in gan.discriminator]
    if kind == "attngan":
        return states

    def published(name: str, state: State) -> str:
        layer, _, leaf = name.rpartition(".")
        spectral = f"{layer}.weight_u" in state
        return f"{layer}.module.{'weight_bar' if leaf == 'weight' else leaf}" if spectral else name

    return [{published(name, state): x for name, x in state.items()} for state in states]


def files_of(kind: str, gan: Any, folder: Path, target: Path, layout: str) -> list[Path]:
    """Generator and discriminators as files of some layout, with the encoders."""
    target.mkdir(exist_ok=True)
    state, discriminators = gan.generator.state_dict(), discriminator_states(kind, gan)
    legacy = layout == "legacy"
    if legacy:
        state = {name: x for name, x in state.items() if not name.endswith("num_batches_tracked")}
    if layout == "module":
        state = OrderedDict((f"module.{name}", x) for name, x in state.items())
        discriminators = [{f"module.{name}": x for name, x in D.items()} for D in discriminators]
    content: Any = {"model": {"netG": state}, "epoch": 3} if layout == "nested" else state
    files = [folder / "text_encoder200.pth", folder / "image_encoder200.pth", target / "g.pth"]
    torch.save(content, files[-1], _use_new_zipfile_serialization=not legacy)
    for i, D in enumerate(reversed(discriminators)):  # order and names say nothing
        files.insert(0, target / f"some{i}.bin")
        torch.save({"netD": D} if layout == "nested" else D, files[0], _use_new_zipfile_serialization=not legacy)
    return files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["plain", "module", "nested", "legacy"])
def test_every_layout_draws_what_the_original_draws(kind, layout, damsm, folder, tmp_path, out):
    gan = gan_of(kind, damsm)
    files = files_of(kind, gan, folder, tmp_path / "files", layout)
    made = import_files(kind, files, captions=folder / "captions.pickle", out=out, recipe=f"{kind}_emoji")
    run = open_run(out)
    assert run.step == 0
    assert isinstance(run.tokenizer, Vocabulary)
    assert run.tokenizer.words == tuple(WORDS)
    z = torch.randn(2, run.gan.z_dim, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = gan.generate(z, damsm.encode_text(run.tokenizer(CAPTIONS)))
    found = run.generate(run.encode(CAPTIONS), z)
    for one, other in zip((*found.images, *found.maps), (*expected.images, *expected.maps), strict=True):
        assert torch.equal(one, other)
    pictures = run.sample(CAPTIONS, num_images=2, seed=0)
    assert pictures.shape == (4, 3, 32, 32)
    assert torch.equal(open_run(out, images=False).sample(CAPTIONS, num_images=2, seed=0), pictures)  # without trunk

    arguments = json.loads((out / "recipe.json").read_text())
    assert arguments["name"] == made.name == f"{kind}_emoji_official"
    assert arguments["encoders"]["backbone"]["align_corners"] is (kind != "ssagan")
    assert arguments["gan"]["damsm_gammas"] == ([5, 5, 10] if kind == "ssagan" else [4, 5, 10])
    assert arguments["gan"].get("mask_order") == (None if kind == "ssagan" else "reference")
    assert (out / "checkpoints" / "step_00000000" / "discriminator.safetensors").exists()


def test_the_trunk_of_the_published_image_encoder_is_kept(damsm, folder, out):
    """Its running statistics drifted in its pre-training, so no public trunk can take its place."""
    files = [folder / "text_encoder200.pth", folder / "image_encoder200.pth"]
    made = import_files("damsm", files, captions=folder / "captions.pickle", out=out, recipe="attngan_emoji")
    pair, vocabulary = load_encoders(out, made)
    image = torch.rand(2, 3, 40, 40) * 2 - 1
    with torch.no_grad():
        found, expected = pair.encode_image(image), damsm.encode_image(image)
    assert torch.equal(found.image, expected.image)
    assert torch.equal(found.regions, expected.regions)
    assert vocabulary.num_tokens == len(WORDS) + 1
    with pytest.raises(ValueError, match=r"encoders\.save_backbone=true"):
        load_encoders(out, recipe("attngan_emoji"))


def test_an_imported_run_is_evaluated_like_any_other(tmp_path, out, capsys):
    vocabulary = Vocabulary.of(Emoji("train").captions(), max_words=20)
    trunk = partial(InceptionTrunk, None)
    damsm = DAMSM(vocabulary.num_tokens, trunk, code_size=16, embedding_size=12)
    torch.save(damsm.text_encoder.state_dict(), tmp_path / "text_encoder200.pth")
    torch.save(image_state(damsm), tmp_path / "image_encoder200.pth")
    write_captions(tmp_path / "captions.pickle", list(vocabulary.words))
    files = files_of("ssagan", gan_of("ssagan", damsm), tmp_path, tmp_path / "files", "module")
    import_(tuple(files), kind="ssagan", captions=tmp_path / "captions.pickle", out=out, recipe="ssagan_emoji")
    sample(out, ("a red apple",), out=tmp_path / "apple.png", num_images=2, attention=True)
    assert (tmp_path / "apple_attention.png").read_bytes().startswith(b"\x89PNG")
    assert "apple_attention.png" in capsys.readouterr().out
    results = evaluate_run(out, EvaluationOptions(["kid_lite0", "r_precision_damsm"], num_images=4))
    assert all(math.isfinite(result.value) for result in results)
    import_(
        tuple(files[1:3]), kind="damsm", captions=tmp_path / "captions.pickle", out=out / "d", recipe="ssagan_emoji"
    )
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="is not empty, and nothing in it is overwritten"):
        import_(tuple(files), kind="ssagan", captions=tmp_path / "captions.pickle", out=out, recipe="ssagan_emoji")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert "sclgan train ssagan_emoji encoders.save_backbone=true" in capsys.readouterr().out


@pytest.mark.parametrize(("num_words", "name"), [(5450, "attngan_cub"), (27297, "attngan_coco")])
def test_the_size_of_the_vocabulary_tells_the_data(num_words, name, folder, tmp_path, out):
    text = TextEncoder(num_words, code_size=16, embedding_size=2)
    torch.save(text.state_dict(), tmp_path / "text_encoder200.pth")
    write_captions(tmp_path / "captions.pickle", [f"word{number}" for number in range(1, num_words)])
    files = [tmp_path / "text_encoder200.pth", folder / "image_encoder200.pth"]
    made = import_files("damsm", files, captions=tmp_path / "captions.pickle", out=out)
    assert made.name == f"{name}_official"
    # The recipe that `import` prints reads the folder.
    assignments = ["encoders.save_backbone=true", "encoders.backbone.weights=none"]
    small = ["encoders.code_size=16", "encoders.embedding_size=2"]
    load_encoders(out, override(recipe(name), [*assignments, *small]))


def test_discriminators_are_optional_but_then_all_or_none(damsm, folder, tmp_path, out):
    gan = gan_of("dmgan", damsm)
    files = files_of("dmgan", gan, folder, tmp_path / "files", "plain")
    give = partial(import_files, "dmgan", captions=folder / "captions.pickle", out=out, recipe="dmgan_emoji")
    with pytest.raises(ValueError, match="one each for 16, 32 pixels, or none"):
        give(files[1:])
    give(files[2:])
    assert not (out / "checkpoints" / "step_00000000" / "discriminator.safetensors").exists()
    open_run(out)


def test_the_discriminators_are_those_of_the_files(damsm, folder, tmp_path, out, caplog):
    caplog.set_level("INFO")
    for kind in KINDS:
        gan = gan_of(kind, damsm)
        files = files_of(kind, gan, folder, tmp_path / kind, "plain")
        import_files(
            cast(Any, kind), files, captions=folder / "captions.pickle", out=out / kind, recipe=f"{kind}_emoji"
        )
        found = load_file_of(out / kind)
        expected = gan.discriminator.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert "block7.conv_s.weight" in caplog.text


def load_file_of(run: Path) -> State:
    from safetensors.torch import load_file

    return load_file(run / "checkpoints" / "step_00000000" / "discriminator.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_the_reference_code(kind, damsm, tmp_path, out):
    """The stored weights of the reference codes, as their files, give the reference codes' images."""
    stored = load(kind)
    text, image = weights(stored, "text_encoder"), image_state(damsm)
    torch.save(text, tmp_path / "text_encoder.pth")
    torch.save(image | weights(stored, "image_encoder"), tmp_path / "image_encoder.pth")
    parts = [name for name in ("netG", "netD", "netD0", "netD1", "netD2") if weights(stored, name)]
    for name in parts:
        torch.save(weights(stored, name), tmp_path / f"{name}.pth", _use_new_zipfile_serialization=False)
    write_captions(tmp_path / "captions.pickle", [f"word{number}" for number in range(1, 30)])
    files = [tmp_path / f"{name}.pth" for name in ("text_encoder", "image_encoder", *parts)]
    import_files(kind, files, captions=tmp_path / "captions.pickle", out=out, recipe=f"{kind}_emoji")
    run = open_run(out)
    noise = stored["in.noise"][0]
    if kind != "ssagan":
        noise = torch.cat([noise, stored["in.eps"][0]], dim=1)
    with torch.no_grad():
        codes = run.encoders.encode_text(Captions(stored["in.captions"], stored["in.cap_lens"]))
    fake = run.generate(codes, noise)
    name = "out.G.eval.img.sub8" if kind == "ssagan" else "out.G.eval.img2.sub8"
    agree(fake.image[:, :, 3::8, 5::8], stored[name], FORWARD)


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch hostile",)


class Custom:
    pass


@pytest.mark.parametrize(
    ("content", "name"), [(Hostile(), r"(posix|nt)\.system"), (Custom(), r"test_importing_official\.Custom")]
)
def test_files_that_ask_for_more_than_data_are_refused_by_name(content, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        torch.save({"fc.weight": content}, tmp_path / "g.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match=rf"g\.pth asks for {name}, which is not a tensor"):
            read_states(tmp_path / "g.pth")
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps([content], protocol=2))
    with pytest.raises(ValueError, match=rf"captions\.pickle asks for {name}, which is not plain data"):
        vocabulary_words(tmp_path / "captions.pickle")
    assert not (tmp_path / "hostile").exists()


def test_a_pickle_that_claims_memory_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "captions.pickle").write_bytes(b"\x80\x02]r\xff\xff\xff\x07.")  # nine bytes, two gigabytes
    with pytest.raises(ValueError, match=r"captions\.pickle claims 134,217,727 objects in 9 bytes"):
        legacy_pickle.load(tmp_path / "captions.pickle")


def test_damaged_files(folder, tmp_path):
    for zipped in (True, False):
        torch.save({"fc.weight": torch.ones(1000)}, tmp_path / "g.pth", _use_new_zipfile_serialization=zipped)
        whole = (tmp_path / "g.pth").read_bytes()
        for length in (0, 20, len(whole) // 2, len(whole) - 8):
            (tmp_path / "g.pth").write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"g\.pth"):
                read_states(tmp_path / "g.pth")
    whole = (folder / "captions.pickle").read_bytes()
    (tmp_path / "captions.pickle").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole pickle file"):
        vocabulary_words(tmp_path / "captions.pickle")
    with pytest.raises(FileNotFoundError):
        read_states(tmp_path / "nowhere.pth")


def test_all_that_does_not_fit_is_in_one_message(damsm, folder, tmp_path):
    gan = gan_of("attngan", damsm)
    state = gan.generator.state_dict()
    del state["h_net2.upsample.1.weight"]
    state["h_net2.extra.weight"] = torch.ones(1)
    state["img_net2.img.0.weight"] = torch.ones(3, 4, 3, 3)
    torch.save(state, tmp_path / "g.pth")
    image = image_state(damsm)
    del image["Mixed_7c.branch1x1.conv.weight"]
    torch.save(image, tmp_path / "image.pth")
    files = [folder / "text_encoder200.pth", tmp_path / "image.pth", tmp_path / "g.pth"]
    with pytest.raises(ValueError, match="do not make up attngan") as caught:
        import_files(
            "attngan", files, captions=folder / "captions.pickle", out=tmp_path / "run", recipe="attngan_emoji"
        )
    for part in (
        "generator: missing h_net2.upsample.1.weight; unexpected h_net2.extra.weight; ",
        "img_net2.img.0.weight is (3, 4, 3, 3), not (3, 3, 3, 3)",
        "encoders: missing image_encoder.backbone.Mixed_7c.branch1x1.conv.weight",
    ):
        assert part in str(caught.value)
    assert "as published: 4 tensors differ: " in str(caught.value)
    torch.save({name: x for name, x in image.items() if name.startswith("emb_")}, tmp_path / "image.pth")
    told = r"[0-9]{3} tensors differ: encoders: missing .* and [0-9]{3} more missing; generator"
    with pytest.raises(ValueError, match=told):
        import_files(
            "attngan", files, captions=folder / "captions.pickle", out=tmp_path / "run", recipe="attngan_emoji"
        )
    assert not (tmp_path / "run").exists()


def test_files_that_do_not_belong_together(damsm, folder, tmp_path):
    files = files_of("attngan", gan_of("attngan", damsm), folder, tmp_path / "files", "plain")
    captions, out = folder / "captions.pickle", tmp_path / "run"
    give = partial(import_files, captions=captions, out=out, recipe="attngan_emoji")
    with pytest.raises(ValueError, match="of attngan, --kind is dmgan"):
        give("dmgan", files, recipe="dmgan_emoji")
    with pytest.raises(ValueError, match="is of ssagan, --kind is attngan"):
        give("attngan", files, recipe="ssagan_emoji")
    with pytest.raises(ValueError, match="is of galip, --kind is damsm: give a recipe of damsm"):
        give("damsm", files[2:4], recipe="galip_emoji")
    with pytest.raises(ValueError, match="no file holds the generator or the image_encoder"):
        give("attngan", files[2:3])
    with pytest.raises(ValueError, match=r"g\.pth hold 2 networks that are the generator"):
        give("attngan", [*files, files[-1]])
    with pytest.raises(ValueError, match=r"8 words .* --recipe, one of attngan_emoji"):
        give("attngan", files, recipe=None)
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth holds no network"):
        give("attngan", [*files, tmp_path / "other.pth"])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dict but list"):
        give("attngan", [tmp_path / "list.pth"])
    write_captions(tmp_path / "captions.pickle", [*WORDS, "rebuilt"])
    with pytest.raises(ValueError, match=r"has 9 words with the end sign, the text encoder .* 8: give the captions"):
        give("attngan", files, captions=tmp_path / "captions.pickle")
    assert not out.exists()


def test_vocabularies_that_are_none(tmp_path):
    path = tmp_path / "captions.pickle"
    for content, reason in (
        ([[], [], {0: "<end>"}, {"<end>": 0}], "without a gap"),  # what the loader writes without texts
        ([[], [], {0: "<end>", 2: "bird"}, {"<end>": 0, "bird": 2}], "without a gap"),
        ([[], [], {0: "<end>", 1: "bird"}, {"<end>": 0, "wing": 1}], "contradicts itself"),
        ([[], [], {0: "<end>", "one": "bird"}, {"<end>": 0, "bird": 1}], "captions.pickle has a word whose number"),
        ([[], [], {0: "<end>", 1: "bird"}, {"<end>": 0, "bird": None}], "captions.pickle has a word whose number"),
        ({"captions": 1}, "not a captions.pickle"),
    ):
        path.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(ValueError, match=reason):
            vocabulary_words(path)


def test_pickles_of_python_2_and_numpy(tmp_path):
    """By hand, as Python 2 with protocol 2 writes them: its strings are bytes, its classes have other names."""
    path = tmp_path / "old.pickle"
    scalar = (
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02i8K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    path.write_bytes(b"\x80\x02](U\x04caf\xe9X\x04\x00\x00\x00wing" + scalar + b"U\x08\x05" + 7 * b"\x00" + b"\x86Re.")
    assert legacy_pickle.load(path) == ["caf\xe9", "wing", 5]
    path.write_bytes(b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RK\x01]K\x02as.")
    assert legacy_pickle.load(path) == {1: [2]}
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps([np.arange(6).reshape(2, 3), b"bytes", {1}], protocol))
        found: Any = legacy_pickle.load(path)
        array, data, numbers = found
        assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert (data, numbers) == (b"bytes", {1})
        path.write_bytes(pickle.dumps(np.array([{}, {}], dtype=object), protocol))
        with pytest.raises(ValueError, match="only arrays of numbers"):
            legacy_pickle.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_picture(kind, damsm, folder, tmp_path, out):
    gan = gan_of(kind, damsm)
    files = files_of(kind, gan, folder, tmp_path / "files", "plain")
    import_files(kind, files, captions=folder / "captions.pickle", out=out, recipe=f"{kind}_emoji")
    run = open_run(out)
    attention_picture(run, [*CAPTIONS, "a rhinoceros bird"], tmp_path / "look.png", num_images=30, seed=0)
    with Image.open(tmp_path / "look.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 300
        assert picture.height > 3 * 160
    fake = next(run.draw(CAPTIONS[:1], num_images=1, seed=0))
    image = to_8_bits(fake.image)[0].permute(1, 2, 0).numpy()
    shown = tiles(image, CAPTIONS[0].split(), [stage[0] for stage in fake.maps], of_words=fake.maps_of_words)
    if kind == "ssagan":
        assert [tile.label for tile in shown] == [f"mask {size} x {size}" for size in (4, 8, 16, 32)]
    else:
        assert [tile.label.split()[0] for tile in shown] == CAPTIONS[0].split()
    assert all(tile.pixels.shape == image.shape for tile in shown)
    with pytest.raises(ValueError, match="no attention and no masks"):
        tiles(image, ["a"], [], of_words=False)
