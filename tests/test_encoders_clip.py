"""CLIP: weights from files of every kind, its input, what trains, captions as if alone, the bridge."""

import hashlib
import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor

from sclgan.data.types import Captions
from sclgan.encoders.clip import CLIP, DEVIATION, MEAN
from sclgan.runs.checkpoint import load_weights, save_weights
from sclgan.weights import registry
from sclgan.weights.readers import read_states
from weight_files import put

SIZES = {
    **{"code_size": 8, "context_length": 9, "num_text_blocks": 2, "num_text_heads": 2},
    **{"image_size": 16, "patch_size": 4, "image_width": 12, "num_image_blocks": 3, "num_image_heads": 3},
}
CAPTIONS = Captions(
    torch.tensor([[18, 3, 19, 0, 0, 0, 0, 0, 0], [18, 1, 2, 3, 4, 5, 6, 7, 19], [18, 5, 6, 19, 0, 0, 0, 0, 0]]),
    torch.tensor([3, 9, 4]),
)


def make(**arguments: Any) -> CLIP:
    torch.manual_seed(0)
    return CLIP(20, **{"weights": None, **SIZES, **arguments}).eval()


def images(size: int = 16) -> Tensor:
    return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_full_size_is_vit_b_32() -> None:
    with torch.device("meta"):
        clip = CLIP(weights=None)
    assert sum(p.numel() for p in clip.parameters()) == 151_277_313
    assert clip.grid_size == 7


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="image_width into heads: 12 is not a multiple of 5"):
        make(num_image_heads=5)


# Codes


def test_codes_are_those_of_the_library() -> None:
    clip = make()
    with torch.no_grad():
        text, image = clip.encode_text(CAPTIONS), clip.encode_image(images(), blocks=(2, 0))
        torch.testing.assert_close(text.sentence, clip.clip.encode_text(CAPTIONS.tokens))
        found = clip.clip.visual.forward_intermediates(clip.clip_input(images()), indices=[0, 2])
        torch.testing.assert_close(image.image, found["image_features"])
        torch.testing.assert_close(image.layers, torch.stack(found["image_intermediates"][::-1], dim=1))
        torch.testing.assert_close(clip.features(images(), (0,)), image.layers[:, 1:])
        assert image.regions.shape == (3, 8, 4, 4)
        assert clip.encode_image(images()).layers.shape == (3, 0, 12, 4, 4)
    with pytest.raises(ValueError, match=r"blocks \[1, 3\] are not all among 0 to 2"):
        clip.features(images(), (1, 3))


def test_every_caption_is_encoded_as_if_alone() -> None:
    clip = make()
    together = clip.encode_text(CAPTIONS)
    assert together.words.shape == (3, 8, 9)
    for row, length in enumerate([3, 9, 4]):
        alone = clip.encode_text(Captions(CAPTIONS.tokens[row : row + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(together.sentence[row], alone.sentence[0])
        torch.testing.assert_close(together.words[row, :, :length], alone.words[0])
        assert not together.words[row, :, length:].any()
        assert together.mask[row].tolist() == [True] * length + [False] * (9 - length)


@pytest.mark.parametrize("lengths", [[3, 0, 4], [3, 10, 4]])
def test_captions_of_impossible_length_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="must have 1 to 9 tokens, lengths are"):
        make().encode_text(Captions(CAPTIONS.tokens, torch.tensor(lengths)))
    with pytest.raises(ValueError, match="have 9 tokens, the context is 5"):
        make(context_length=5).encode_text(CAPTIONS)


def test_input_is_resized_and_normalised() -> None:
    """Against OpenAI's own preparation on pixels, and the reference quirk in plain words."""
    mean, deviation = torch.tensor(MEAN)[:, None, None], torch.tensor(DEVIATION)[:, None, None]
    same = make().clip_input(images())
    torch.testing.assert_close(same, ((images() + 1) / 2 - mean) / deviation)
    pixels = torch.linspace(0.2, 0.8, 40)[None, :, None] * torch.linspace(0.3, 0.9, 40) * torch.ones(3, 1, 1)
    picture = Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())
    expected = (to_tensor(picture.resize((16, 16), Image.Resampling.BICUBIC)) - mean) / deviation
    found = make().clip_input(to_tensor(picture)[None] * 2 - 1)[0]
    assert (found - expected).abs().max() < 1.1 / 255 / min(DEVIATION)  # Pillow rounds after each direction

    quirk = make(reference_input=True).clip_input(images(32))
    twice = ((images(32)[:, :, ::2, ::2] + 1) / 2 + 1) / 2
    torch.testing.assert_close(quirk, (twice - mean) / deviation)


def test_bridge_is_the_transformer_with_prompts_that_leave() -> None:
    """Slowly: block by block, with the prompt of each appended and dropped."""
    clip, generator = make(), torch.Generator().manual_seed(2)
    features, prompts = torch.randn(2, 12, 4, 4, generator=generator), torch.randn(2, 2, 12, generator=generator)
    visual = clip.clip.visual
    rows = []
    for row in range(2):
        x = torch.stack([visual.class_embedding, *(features[row, :, r, s] for r in range(4) for s in range(4))])
        x = visual.ln_pre(x + visual.positional_embedding)[None]
        for index, block in enumerate(visual.transformer.resblocks):
            x = block(torch.cat([x, prompts[row, None, None, index - 1]], dim=1))[:, :17] if index else block(x)
        rows.append(x[0, 1:].T.view(12, 4, 4))
    torch.testing.assert_close(clip.bridge(features, prompts, first_block=1), torch.stack(rows))


# What trains, and what checkpoints hold


@pytest.mark.parametrize(
    ("trained", "some", "none"),
    [
        ("all", ["visual.conv1.weight", "token_embedding.weight", "logit_scale"], []),
        ("last_blocks", ["visual.transformer.resblocks.2.mlp.c_fc.weight", "ln_final.bias"], ["resblocks.0", "conv1"]),
        (
            "norms_and_biases",
            ["visual.ln_pre.weight", "transformer.resblocks.0.attn.in_proj_bias"],
            ["c_fc.weight", "visual.proj", "conv1"],
        ),
        ("projections", ["visual.proj", "text_projection", "logit_scale"], ["resblocks", "ln_"]),
        ("nothing", [], ["."]),
    ],
)
def test_only_what_is_asked_for_trains(trained: Any, some: list[str], none: list[str], tmp_path: Path) -> None:
    save_file(make().clip.state_dict(), tmp_path / "clip.safetensors")
    clip = make(trained=trained, weights=str(tmp_path / "clip.safetensors"))
    names = {name.removeprefix("clip.") for name, p in clip.named_parameters() if p.requires_grad}
    assert names >= set(some)
    assert not [name for name in names for part in none if part in name]
    assert {id(p) for p in clip.trainable_parameters()} >= {id(p) for p in clip.text_parameters()}
    assert len(clip.trainable_parameters()) == len(names)

    if names:
        terms = clip.matching_terms(clip.encode_text(CAPTIONS), clip.encode_image(images()), None)
        terms["infonce"].backward()
    assert {name.removeprefix("clip.") for name, p in clip.named_parameters() if p.grad is not None} == names
    # A checkpoint holds these alone, and the public file gives the rest.
    with torch.no_grad():
        for p in clip.trainable_parameters():
            p.add_(1)
    save_weights(tmp_path / "encoders.safetensors", clip)
    assert {name.removeprefix("clip.") for name in load_file(tmp_path / "encoders.safetensors")} == names
    again = make(trained=trained, weights=str(tmp_path / "clip.safetensors"))
    load_weights(tmp_path / "encoders.safetensors", again)
    for name, x in clip.state_dict().items():
        assert torch.equal(x, again.state_dict()[name]), name


def test_random_weights_are_in_every_checkpoint() -> None:
    assert make(trained="projections").frozen_prefixes == ()


def test_the_scale_is_held_below_100() -> None:
    clip = make()
    with torch.no_grad():
        clip.clip.logit_scale.fill_(6)
    clip.matching_terms(clip.encode_text(CAPTIONS), clip.encode_image(images()), torch.zeros(3, dtype=torch.long))
    assert clip.clip.logit_scale.item() == pytest.approx(math.log(100))


def test_gradients_reach_the_image_and_the_bridge_through_a_frozen_clip() -> None:
    clip = make().requires_grad_(False)
    image, features = images(24).requires_grad_(), torch.randn(3, 12, 4, 4, requires_grad=True)
    prompts = torch.randn(3, 2, 12, requires_grad=True)
    (clip.encode_image(image).image.sum() + clip.bridge(features, prompts, first_block=0).square().sum()).backward()
    for x in (image, features, prompts):
        assert x.grad is not None
        assert x.grad.any()


# Weights from files


class Wrapped(nn.Module):
    """A module whose parameters share a storage, one of them transposed."""

    def __init__(self) -> None:
        super().__init__()
        both = torch.arange(24.0)
        self.inner = nn.Linear(3, 4)
        self.inner.weight = nn.Parameter(both[:12].view(4, 3))
        self.turned = nn.Parameter(both[12:].view(3, 4).T)
        self.register_buffer("empty", torch.zeros(0, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def torchscript(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch discourages TorchScript; OpenAI's files are such
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.mark.parametrize("layout", ["torchscript", "state_dict", "nested", "safetensors"])
def test_every_layout_of_the_weights_is_read(layout: str, tmp_path: Path) -> None:
    clip, path = make(), tmp_path / ("clip.safetensors" if layout == "safetensors" else "ViT-B-32.pt")
    half = clip.clip.half()
    state = half.state_dict()
    if layout == "torchscript":
        torchscript(half, path)
    elif layout == "safetensors":
        save_file(state, path)
    else:
        more = {"input_resolution": torch.tensor(16), "context_length": torch.tensor(9), "vocab_size": torch.tensor(20)}
        prefixed = {f"module.{name}": x for name, x in state.items()}
        torch.save({"state_dict": prefixed, "epoch": 3} if layout == "nested" else state | more, path)
    read = make(weights=str(path)).clip.state_dict()
    assert read.keys() == state.keys()
    for name, x in state.items():
        assert read[name].dtype == torch.float32
        assert torch.equal(read[name], x.float()), name


def test_torchscript_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    module = Wrapped()
    (state,) = read_states(torchscript(module, tmp_path / "module.pt"))
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(x, state[name]) for name, x in module.state_dict().items())


def rewritten(path: Path, change: Any, *, compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive with each file's content changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: change(name, archive.read(name)) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    return path


def test_hostile_and_damaged_torchscript_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = torchscript(Wrapped(), tmp_path / "module.pt")
    whole = path.read_bytes()

    def data_pkl(content: bytes) -> Any:
        return lambda name, old: content if name.endswith("/data.pkl") else old

    for call in (b"cposix\nsystem\n", b"ctorch\nload\n", b"cbuiltins\neval\n", b"ctorch._utils\nos\n"):
        path.write_bytes(whole)
        asked = call.decode()[1:].strip().replace("\n", ".").replace(".", r"\.")
        with pytest.raises(ValueError, match=f"asks for {asked}, which is not a tensor"):
            read_states(rewritten(path, data_pkl(b"\x80\x02" + call + b"X\x0d\x00\x00\x00touch hostile\x85R.")))
    path.write_bytes(whole)
    for content, reason in (
        (b"\x80\x02K\x01.", "no state dict"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "is not a whole file"),
        (b"", "is not a whole file"),
    ):
        path.write_bytes(whole)
        with pytest.raises(ValueError, match=reason):
            read_states(rewritten(path, data_pkl(content)))
    path.write_bytes(whole)
    tree = zipfile.ZipFile(path).read("module/data.pkl")
    size = b"(K\x04K\x03t"
    assert size in tree
    with pytest.raises(ValueError, match="is not a whole file"):
        read_states(rewritten(path, data_pkl(tree.replace(size, size.replace(b"K\x03", b"K\xff")))))
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="is compressed"):
        read_states(rewritten(path, lambda _, old: old, compression=zipfile.ZIP_DEFLATED))
    for length in (0, 30, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"module\.pt"):
            read_states(path)
    (tmp_path / "a.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"a\.safetensors is not a whole file"):
        read_states(tmp_path / "a.safetensors")
    for missing in ("b.safetensors", "b.pt"):
        with pytest.raises(FileNotFoundError):
            read_states(tmp_path / missing)
    assert not (tmp_path / "hostile").exists()


def test_all_that_does_not_fit_is_in_one_message(tmp_path: Path) -> None:
    state = make().clip.state_dict()
    del state["visual.proj"]
    state["visual.extra"] = torch.ones(1)
    state["logit_scale"] = torch.ones(2)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match="does not fit this CLIP") as caught:
        make(weights=str(tmp_path / "clip.pt"))
    for part in ("missing visual.proj", "unexpected visual.extra", "logit_scale is (2,), not ()"):
        assert part in str(caught.value)
    torch.save(make(image_width=24).clip.state_dict(), tmp_path / "clip.pt")
    with pytest.raises(ValueError, match=r"\d+ tensors differ: .* Give"):
        make(weights=str(tmp_path / "clip.pt"))


def test_the_caches_are_looked_into_and_their_files_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("HF_HOME", "HF_HUB_CACHE", registry.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FileNotFoundError, match=r"ViT-B-32\.pt is missing: .* encoders\.weights=FILE"):
        make(weights="openai")
    repository, name = registry.FILES["clip-vit-b-32"].hub or ("", "")
    snapshot = tmp_path / ".cache/huggingface/hub" / repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    save_file(make().clip.state_dict(), tmp_path / "clip.safetensors")
    sha256 = hashlib.sha256((tmp_path / "clip.safetensors").read_bytes()).hexdigest()
    (tmp_path / "clip.safetensors").rename(tmp_path / sha256)  # the cache names its files by their SHA-256
    (snapshot / name).symlink_to(tmp_path / sha256)
    assert torch.equal(make(weights="openai").clip.visual.proj, make().clip.visual.proj)
    (snapshot / name).unlink()
    (tmp_path / sha256).rename(tmp_path / ("0" * 64))
    (snapshot / name).symlink_to(tmp_path / ("0" * 64))
    with pytest.raises(ValueError, match=rf"has SHA-256 {sha256}, expected 0000"):
        make(weights="openai")
    put(monkeypatch, tmp_path, "clip-vit-b-32", {name: x + 1 for name, x in make().clip.state_dict().items()})
    assert torch.equal(make(weights="openai").clip.visual.proj, make().clip.visual.proj + 1)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sclgan\[clip\]'"):
        make()
