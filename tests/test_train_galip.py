"""GALIP as runs: a small CLIP is pre-trained, GALIP trains on it, draws and is graded; CLIP kept as published."""

import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from runs import assert_identical, final_weights, newest_weights, small, small_fields
from sclgan.__main__ import COMMANDS
from sclgan.encoders.clip import CLIP
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.runs import checkpoint
from sclgan.runs.encoders import load_encoders
from sclgan.runs.opened import open_run
from sclgan.runs.records import read_metrics
from sclgan.train import pretraining, training
from sclgan.train.pretraining_phase import PretrainingPhase, parameter_groups
from tiny import arguments, tiny

PLAIN, SCL = "galip_emoji", "galip_emoji_scl"
STEPS = ("pretraining.steps=3", "training.steps=3")
CAPTION = "a red zyzzyva on a white background"  # which holds a word that no caption has


@pytest.fixture(scope="module", params=[PLAIN, SCL])
def finished(request, tmp_path_factory):
    """A run made by the commands `pretrain` and `train`, three steps of each phase, and its name."""
    folder = tmp_path_factory.mktemp(request.param)
    fields = tuple(small_fields(request.param, *STEPS))
    COMMANDS["pretrain"](request.param, fields, out=folder / "encoders")
    COMMANDS["train"](request.param, fields, out=folder / "run", encoders=folder / "encoders")
    return request.param, folder / "run"


def test_both_phases_record_their_terms_and_scores(finished):
    name, run = finished
    contrast = {"contrast"} if name == SCL else set()
    before, *steps = read_metrics(run.parent / "encoders")
    assert before["step"] == 0
    retrieval = {f"retrieval/{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5)}
    scores = retrieval | {"zero_shot/top1", "zero_shot/top5", "zero_shot/chance_top1", "zero_shot/chance_top5"}
    assert scores | {"step", "retrieval/mean"} == before.keys()
    assert before["zero_shot/chance_top5"] == pytest.approx(5 * before["zero_shot/chance_top1"], rel=1e-4)
    assert scores | {"infonce"} | contrast <= steps[-1].keys()
    d, g = {"d/real", "d/mismatched", "d/fake", "d/magp"}, {"g/adv", "g/similarity"}
    found = {name for record in read_metrics(run) for name in record if name[:2] in ("d/", "g/")}
    assert found == d | g | {f"g/{term}" for term in contrast}


def test_both_networks_moved_and_no_part_of_clip_is_in_them(finished):
    _, run = finished
    last, before = (run / "checkpoints" / f"step_0000000{step}" for step in (3, 2))
    for network in ("generator", "discriminator"):
        one, other = load_file(last / f"{network}.safetensors"), load_file(before / f"{network}.safetensors")
        assert not torch.equal(one[next(iter(one))], other[next(iter(other))])
        assert not [key for key in one if "clip" in key or "resblocks" in key]
    assert_identical(load_file(run / "encoders.safetensors"), load_file(run.parent / "encoders/encoders.safetensors"))


def test_a_finished_run_draws_any_words_and_is_graded(finished, tmp_path, capsys):
    _, run = finished
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    COMMANDS["sample"](copy, (CAPTION,), out=tmp_path / "sample.png", num_images=2)
    assert capsys.readouterr().err == ""  # byte pairs leave no word out
    COMMANDS["evaluate"](copy, protocol=("kid_lite0",), num_images=4)
    assert "kid_lite0@4" in capsys.readouterr().out


def test_the_run_keeps_the_tokenizer_of_its_encoders(finished):
    _, run = finished
    opened = open_run(run)
    assert isinstance(opened.tokenizer, CLIPTokenizer)
    assert not (run / "vocabulary.json").exists()
    tokens = opened.tokenizer([CAPTION])
    again = CLIPTokenizer.load(run / "tokenizer.json")([CAPTION])
    assert torch.equal(tokens.tokens, again.tokens)
    assert tokens.tokens.shape == (1, recipe(PLAIN).max_words)


@pytest.mark.parametrize("finished", [SCL], indirect=True)
def test_stopped_in_either_phase_and_repeated_the_weights_are_bit_identical(finished, tmp_path):
    """A phase that ends early is scored there too, and may keep those encoders: the GAN takes the finished ones."""
    name, run = finished
    encoders = run.parent / "encoders"
    for steps in (2, 3):
        pretraining.pretrain(small(name, *STEPS, f"pretraining.steps={steps}"), tmp_path / "encoders")
        training.train(small(name, *STEPS, f"training.steps={steps}"), tmp_path / "run", encoders=encoders)
    assert_identical(final_weights(tmp_path / "run"), final_weights(run))
    assert_identical(newest_weights(tmp_path / "encoders"), newest_weights(encoders))
    assert [r["step"] for r in read_metrics(tmp_path / "encoders")] == [0, 1, 2, 3]


def test_encoders_of_another_kind_are_refused(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer\.json"):
        training.train(small(PLAIN), tmp_path / "run", encoders=trained)
    made = replace(
        small("ssagan_emoji_scl"), gan=small(PLAIN).gan, training=small(PLAIN).training, feature_discriminator=None
    )
    with pytest.raises(ValueError, match="its encoders cannot be DAMSM"):
        training.train(made, tmp_path / "other", encoders=trained)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of CLIP's weights, and galip_cub with it on emoji, both tiny."""
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    made = tiny(recipe("galip_cub"))
    torch.manual_seed(5)
    clip = CLIP(**{**arguments(made.encoders), "weights": None})
    save_file({name: tensor.contiguous() for name, tensor in clip.clip.state_dict().items()}, path)
    made = override(replace(made, source=partial(recipe(PLAIN).source)), [f"encoders.weights={path}", "image_size=32"])
    return clip.clip.state_dict(), made


def test_the_plain_row_keeps_a_published_clip_and_scores_it(published, tmp_path):
    weights, made = published
    assert made.pretraining.steps == 0
    made = override(made, ["training.batch_size=4", "training.num_views=1", "encoders.trained=nothing"])
    training.train(made, tmp_path / "run")
    pair, _ = load_encoders(tmp_path / "run", made)
    assert_identical(dict(pair.get_submodule("clip").state_dict()), weights)
    assert load_file(tmp_path / "run" / "encoders.safetensors") == {}  # public weights, which the recipe names
    records = read_metrics(tmp_path / "run" / "pretraining")
    assert [record["step"] for record in records] == [0]
    assert "retrieval/mean" in records[0]
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]


def test_fine_tuning_moves_what_the_recipe_names_and_nothing_else(published, tmp_path):
    weights, made = published
    steps = ["pretraining.steps=2", "pretraining.batch_size=4", "pretraining.learning_rate=0.1"]
    made = override(made, [*steps, "pretraining.minimal_learning_rate=0.1"])
    pretraining.pretrain(made, tmp_path / "encoders")
    newest = checkpoint.latest(tmp_path / "encoders" / "checkpoints")
    assert newest is not None
    saved = load_file(newest / "encoders.safetensors")
    named = {name for name in weights if "ln_" in name or name.endswith("bias")} | {"logit_scale"}
    assert {name.removeprefix("clip.") for name in saved} == named
    moved = {name for name in named if not torch.equal(saved[f"clip.{name}"], weights[name])}
    assert len(moved) > 0.9 * len(named)


def test_decay_is_of_matrices_alone_and_without_it_adamw_is_adam():
    layer = torch.nn.Linear(3, 2)
    matrices, others = parameter_groups(list(layer.parameters()), 0.1)
    assert (matrices["params"], matrices["weight_decay"]) == ([layer.weight], 0.1)
    assert (others["params"], others["weight_decay"]) == ([layer.bias], 0.0)
    results = []
    for optimizer in (torch.optim.Adam, torch.optim.AdamW):
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        groups = parameter_groups(list(layer.parameters()), 0.0)
        steps = optimizer(groups, 0.1)
        for _ in range(3):
            steps.zero_grad()
            layer(torch.ones(1, 3)).pow(2).sum().backward()
            steps.step()
        results.append(layer.weight.detach().clone())
    assert torch.equal(*results)


def test_the_learning_rate_warms_up_then_decays_once_an_epoch_down_to_the_smallest():
    settings = replace(
        small(PLAIN).pretraining,
        learning_rate=1.0,
        learning_rate_decay=0.5,
        minimal_learning_rate=0.2,
        warmup_steps=4,
    )
    phase = PretrainingPhase(CLIP(**arguments(small(PLAIN).encoders)), settings, steps_per_epoch=3)
    rates = [phase.learning_rate(step) for step in range(1, 11)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2])
