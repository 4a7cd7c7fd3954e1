"""GALIP's checkpoints in all their layouts become run folders that draw the same images; what does not fit is named."""

import copy
import hashlib
import json
import math
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sclgan.commands.runs import import_, sample
from sclgan.encoders.clip import CLIP
from sclgan.encoders.clip_tokens import NUM_TOKENS
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import evaluate_run
from sclgan.gans.galip import GALIP
from sclgan.importing.official import import_files
from sclgan.runs.opened import open_run
from sclgan.weights import registry

CAPTIONS = ["a small red bird", "two dogs on a beach"]
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def gan() -> GALIP:
    """Tiny, over a CLIP whose weights are exact in half precision, as those of the published one."""
    torch.manual_seed(0)
    text: dict[str, Any] = {"code_size": 8, "context_length": 12, "num_text_blocks": 2, "num_text_heads": 1}
    image: dict[str, Any] = {
        "image_size": 32,
        "patch_size": 8,
        "image_width": 12,
        "num_image_blocks": 9,
        "num_image_heads": 1,
    }
    clip = CLIP(NUM_TOKENS, weights=None, reference_input=True, **text, **image)
    clip.load_state_dict({name: x.half().float() for name, x in clip.state_dict().items()})
    channels: dict[str, Any] = {"code_channels": 3, "mid_channels": 2, "discriminator_channels": 5, "head_channels": 4}
    gan = GALIP(clip.eval().requires_grad_(False), image_size=32, nf=2, z_dim=5, **channels)
    for parameter in [*gan.generator.parameters(), *gan.discriminator.parameters()]:
        torch.nn.init.normal_(parameter, std=0.3)
    return gan


def networks(gan: GALIP, *, half: bool = True) -> dict[str, State]:
    """netG with CLIP's vision transformer inside, netD with the shortcuts that nothing calls, netC."""
    visual = gan.encoders.clip.visual.state_dict()
    inside = {name: x.half() if half else x for name, x in visual.items() if not name.startswith(("ln_post", "proj"))}
    judge = gan.discriminator.state_dict()
    head = {name: x for name, x in judge.items() if name.startswith("joint_conv.")}
    unused = {f"DBlocks.{i}.conv_s.{leaf}": torch.ones(12) for i in range(2) for leaf in ("weight", "bias")}
    return {
        "netG": gan.generator.state_dict() | {f"mapping.CLIP_ViT.{name}": x for name, x in inside.items()},
        "netD": {name: x for name, x in judge.items() if name not in head} | unused,
        "netC": head,
    }


def write_checkpoint(gan: GALIP, path: Path, layout: str) -> Path:
    """As the authors' code saves it after training on GPUs, with DDP or without, on a CPU, or for tests alone."""
    parts = networks(gan, half=layout != "cpu")
    if layout == "ddp":
        parts = {part: {f"module.{name}": x for name, x in state.items()} for part, state in parts.items()}
    content: dict[str, Any] = {"model": parts}
    if layout != "test":
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))])
        sum(p.sum() for p in optimizer.param_groups[0]["params"]).backward()
        optimizer.step()
        content |= {"optimizers": {f"optimizer_{x}": optimizer.state_dict() for x in "GD"}, "epoch": 7}
    torch.save(content, path)
    return path


def write_clip(gan: GALIP, path: Path, *, scripted: bool = False) -> Path:
    """In half precision; OpenAI's own file is a TorchScript archive."""
    clip = copy.deepcopy(gan.encoders.clip).half()
    if not scripted:
        torch.save(clip.state_dict(), path)
        return path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch discourages TorchScript
        torch.jit.save(torch.jit.script(clip), path)
    return path


@pytest.fixture(scope="module")
def clip_file(gan: GALIP, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(gan, tmp_path_factory.mktemp("clip") / "ViT-B-32.pt", scripted=True)


@pytest.mark.parametrize("layout", ["gpu", "ddp", "cpu", "test"])
def test_every_layout_draws_what_the_original_draws(layout, gan, clip_file, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "run"
    file = write_checkpoint(gan, tmp_path / "state_epoch_007.pth", layout)
    made = import_files("galip", [file, clip_file], out=out)
    run = open_run(out)
    assert (run.step, cast(Any, run.tokenizer).context_length) == (0, 12)
    z = torch.randn(2, run.gan.z_dim, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = gan.generate(z, gan.encoders.encode_text(run.tokenizer(CAPTIONS))).image
    assert torch.equal(run.generate(run.encode(CAPTIONS), z).image, expected)
    assert run.sample(CAPTIONS, num_images=2, seed=0).shape == (4, 3, 32, 32)

    arguments = json.loads((out / "recipe.json").read_text())
    assert arguments["name"] == made.name == "galip_coco_official"
    assert arguments["encoders"]["weights"] is None
    assert arguments["encoders"]["reference_input"] is True
    found = load_file(out / "checkpoints" / "step_00000000" / "discriminator.safetensors")
    assert found.keys() == gan.discriminator.state_dict().keys()
    assert all(torch.equal(found[name], x) for name, x in gan.discriminator.state_dict().items())
    assert "DBlocks.1.conv_s.weight" in caplog.text


def test_an_imported_run_is_used_like_any_other(gan, clip_file, tmp_path, capsys):
    out = tmp_path / "run"
    file = write_checkpoint(gan, tmp_path / "state_epoch_007.pth", "gpu")
    import_((clip_file, file), kind="galip", out=out, recipe="galip_emoji")
    assert f'sclgan sample {out} "CAPTION"' in capsys.readouterr().out
    sample(out, ("a red apple",), out=tmp_path / "apple.png", num_images=2)
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")
    assert all(
        math.isfinite(result.value) for result in evaluate_run(out, EvaluationOptions(["kid_lite0"], num_images=4))
    )


def test_networks_may_be_files_of_their_own_and_judges_are_optional(gan, tmp_path):
    parts = networks(gan)
    for name, state in parts.items():
        torch.save(state, tmp_path / f"{name}.pth")
    clip = write_clip(gan, tmp_path / "clip.pt")
    import_files("galip", [tmp_path / f"{name}.pth" for name in parts] + [clip], out=tmp_path / "all")
    import_files("galip", [tmp_path / "netG.pth", clip], out=tmp_path / "drawing")
    weights = Path("checkpoints") / "step_00000000" / "discriminator.safetensors"
    assert (tmp_path / "all" / weights).exists()
    assert not (tmp_path / "drawing" / weights).exists()
    open_run(tmp_path / "drawing")
    for half in ("netD", "netC"):
        with pytest.raises(ValueError, match="discriminator: missing"):
            import_files("galip", [tmp_path / "netG.pth", tmp_path / f"{half}.pth", clip], out=tmp_path / "half")


def test_clip_may_be_in_a_cache(gan, tmp_path, monkeypatch):
    file = write_checkpoint(gan, tmp_path / "state_epoch_007.pth", "gpu")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        FileNotFoundError, match=r"neither the text transformer nor .*ViT-B-32\.pt is missing: get https"
    ):
        import_files("galip", [file], out=tmp_path / "run")
    path = tmp_path / ".cache" / "clip" / "ViT-B-32.pt"
    path.parent.mkdir(parents=True)
    write_clip(gan, path)
    with pytest.raises(ValueError, match=r"ViT-B-32\.pt has SHA-256 .*, expected"):
        import_files("galip", [file], out=tmp_path / "run")
    names = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    known = replace(registry.FILES["clip-vit-b-32"], names=names)
    monkeypatch.setattr(registry, "FILES", {**registry.FILES, "clip-vit-b-32": known})
    import_files("galip", [file], out=tmp_path / "run")
    open_run(tmp_path / "run")


def test_all_that_does_not_fit_is_in_one_message(gan, clip_file, tmp_path):
    parts = networks(gan)
    del parts["netG"]["GBlocks.1.c1.bias"]
    parts["netG"]["GBlocks.1.extra"] = torch.ones(1)
    parts["netD"]["main.gamma"] = torch.ones(2)
    torch.save({"model": parts}, tmp_path / "g.pth")
    with pytest.raises(ValueError, match="do not make up galip") as caught:
        import_files("galip", [tmp_path / "g.pth", clip_file], out=tmp_path / "run")
    for part in (
        "generator: missing GBlocks.1.c1.bias; unexpected GBlocks.1.extra; ",
        "discriminator: main.gamma is (2,), not (1,)",
    ):
        assert part in str(caught.value)
    damaged = torch.load(write_clip(gan, tmp_path / "clip.pt"), weights_only=True)
    del damaged["ln_final.bias"]
    torch.save(damaged, tmp_path / "clip.pt")
    file = write_checkpoint(gan, tmp_path / "state_epoch_007.pth", "gpu")
    with pytest.raises(ValueError, match=r"encoders: missing clip\.ln_final\.bias"):
        import_files("galip", [file, tmp_path / "clip.pt"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_files_that_do_not_belong_together(gan, clip_file, tmp_path):
    file, out = write_checkpoint(gan, tmp_path / "state_epoch_007.pth", "gpu"), tmp_path / "run"
    other = copy.deepcopy(gan.encoders.clip)
    torch.nn.init.normal_(other.visual.transformer.resblocks[3].mlp.c_fc.weight)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is not the CLIP that .* 1 of its .* as .*3\.mlp\.c_fc\.weight"):
        import_files("galip", [file, tmp_path / "other.pt"], out=out)
    with pytest.raises(ValueError, match="no file holds the generator, which galip needs: state_epoch"):
        import_files("galip", [clip_file], out=out)
    with pytest.raises(ValueError, match="hold 2 networks that are the generator"):
        import_files("galip", [file, file, clip_file], out=out)
    with pytest.raises(ValueError, match="of galip, --kind is ssagan"):
        import_files("ssagan", [file], captions=tmp_path / "captions.pickle", out=out)
    with pytest.raises(ValueError, match="leave --captions out"):
        import_files("galip", [file, clip_file], captions=tmp_path / "captions.pickle", out=out)
    with pytest.raises(ValueError, match="is of ssagan, --kind is galip"):
        import_files("galip", [file, clip_file], out=out, recipe="ssagan_coco")
    assert not out.exists()


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch hostile",)


def test_hostile_and_damaged_checkpoints_are_refused(gan, clip_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "state_epoch_007.pth"
    for content in ({"model": networks(gan) | {"netG": Hostile()}}, {"model": networks(gan), "epoch": Hostile()}):
        torch.save(content, file)
        with pytest.raises(ValueError, match=r"asks for (posix|nt)\.system, which is not a tensor"):
            import_files("galip", [file, clip_file], out=tmp_path / "run")
    whole = write_checkpoint(gan, file, "gpu").read_bytes()
    for length in (0, 20, len(whole) // 2, len(whole) - 8):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"state_epoch_007\.pth"):
            import_files("galip", [file, clip_file], out=tmp_path / "run")
    assert not (tmp_path / "hostile").exists()
    assert not (tmp_path / "run").exists()
