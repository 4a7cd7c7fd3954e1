"""Several ranks compute what one process computes; they resume exactly, and end together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ranks import run_on_ranks
from runs import SCL, assert_identical, final_weights, small, small_fields
from sclgan import distributed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch, View
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import evaluate_run
from sclgan.runs import checkpoint
from sclgan.runs.encoders import encoders_class
from sclgan.runs.opened import open_run
from sclgan.runs.records import read_metrics
from sclgan.train import training
from sclgan.train.gan_phase import GANPhase
from sclgan.train.objectives import DivergedError, Objectives
from sclgan.train.pretraining_phase import PretrainingPhase
from sclgan.train.training import with_feature_discriminator

# The parts, against plain arithmetic


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _every_pair(x: Tensor, layer: nn.Linear) -> Tensor:
    """A loss in which every row meets every other, a mean over the rows that are given."""
    own = layer(x)
    return (own @ distributed.gather_rows(own).T).exp().sum(1).mean()


def test_what_is_gathered_is_laid_out_as_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """gloo copies element by element, NCCL moves memory: rows that arrive transposed, as words do, would be mixed."""

    def moves_memory(parts: list[Tensor], x: Tensor) -> None:
        for part in parts:
            assert part.stride() == x.stride()
            part.untyped_storage().copy_(x.untyped_storage())

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather", moves_memory)
    words = torch.arange(24.0).view(2, 3, 4).transpose(1, 2)
    assert torch.equal(distributed.gather_rows(words), torch.cat([words, words]))


def _gathers_and_averages(world_size: int) -> dict[str, Any]:
    x = numbers(6, 3)
    mine = distributed.own_rows(6)
    layer = nn.Linear(3, 2, dtype=torch.float64)
    frozen = nn.Linear(3, 2, dtype=torch.float64).requires_grad_(False)
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    partly = nn.Parameter(torch.ones(2, dtype=torch.float64))  # has a gradient on rank 0 alone
    with torch.no_grad():
        layer.weight.copy_(numbers(2, 3) / 4)
        layer.bias.zero_()
    loss = _every_pair(x[mine], layer) + (partly.sum() * 4 if distributed.rank() == 0 else 0)
    loss.backward()
    distributed.average_gradients([*layer.parameters(), *frozen.parameters(), unused, partly])

    summed = (numbers(4) * (distributed.rank() + 1)).requires_grad_()
    total = distributed.sum_over_ranks(summed)
    (total**2).sum().backward()
    return {
        "who": (distributed.rank(), distributed.world_size(), world_size),
        "mine": (mine.start, mine.stop),
        "gathered": distributed.gather_rows(x[mine].clone()),
        "labels": distributed.gather_rows(torch.arange(6)[mine]),
        "gradients": [layer.weight.grad, layer.bias.grad],
        "frozen": frozen.weight.grad,
        "unused": unused.grad,
        "partly": partly.grad,
        "total": total.detach(),
        "by_summed": summed.grad,
        "objects": distributed.gather_objects({"rank": distributed.rank()}),
    }


def test_rows_sums_and_gradients_of_two_ranks_are_those_of_the_whole():
    results = run_on_ranks(_gathers_and_averages, 2, 2)
    x = numbers(6, 3)
    weight, bias = (numbers(2, 3) / 4).requires_grad_(), torch.zeros(2, dtype=torch.float64, requires_grad=True)
    codes = x @ weight.T + bias
    (codes @ codes.T).exp().sum(1).mean().backward()
    for rank, result in enumerate(results):
        assert result["who"] == (rank, 2, 2)
        assert result["mine"] == (3 * rank, 3 * rank + 3)
        assert torch.equal(result["gathered"], x)
        assert result["labels"].tolist() == [0, 1, 2, 3, 4, 5]
        torch.testing.assert_close(result["gradients"], [weight.grad, bias.grad], rtol=1e-12, atol=1e-12)
        assert result["frozen"] is None
        assert result["unused"].tolist() == [0, 0]
        assert result["partly"].tolist() == [2, 2]
        torch.testing.assert_close(result["total"], 3 * numbers(4))
        # d/dx_r of the sum over ranks of |total|^2, of which each rank holds a copy
        torch.testing.assert_close(result["by_summed"], 2 * 2 * 3 * numbers(4))
        assert result["objects"] == [{"rank": 0}, {"rank": 1}]


def _broadcast() -> list[Tensor]:
    torch.manual_seed(distributed.rank())
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    module(torch.randn(2, 3, 5, 5) + distributed.rank())
    if distributed.rank():
        module(torch.randn(2, 3, 5, 5))
    distributed.broadcast(module)
    return [tensor.detach().clone() for tensor in module.state_dict().values()]


def test_broadcast_gives_every_rank_the_parameters_and_buffers_of_the_first():
    first, second = run_on_ranks(_broadcast, 2)
    assert len(first) == 7
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [int(value) for value in first if value.dtype == torch.long] == [1]
    torch.manual_seed(0)
    assert torch.equal(first[0], nn.Conv2d(3, 4, 3).weight)


def _own_rows_of_three() -> str:
    try:
        distributed.own_rows(3)
    except ValueError as error:
        return str(error)
    return ""


def test_rows_that_do_not_divide_are_an_error_and_one_process_takes_all():
    said = run_on_ranks(_own_rows_of_three, 2)
    assert said == ["a batch of 3 does not divide among 2 ranks: choose a multiple of 2"] * 2
    assert distributed.own_rows(3) == slice(0, 3)


@pytest.mark.parametrize(
    ("message", "is_one"),
    [
        ("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1234", True),
        ("[../gloo/transport/tcp/pair.cc:553] Read error [127.0.0.1]:1: Connection reset by peer", True),
        ("[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 600000ms for recv operation", True),
        ("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)", False),
        ("Tensors must be contiguous", False),
    ],
)
def test_a_lost_connection_is_told_from_a_bug(message, is_one):
    assert distributed.is_lost_connection(RuntimeError(message)) is is_one


# A loss that is not finite


def _objectives(losses_by_rank: list[list[float]]) -> tuple[str, int | None]:
    objectives = Objectives()
    for step, loss in enumerate(losses_by_rank[distributed.rank()], start=1):
        objectives.step = step
        objectives.add("generator", torch.tensor(loss), {"adv": torch.tensor(loss)})
    try:
        objectives.check()
    except DivergedError as error:
        return str(error), error.step
    return "", None


def test_ranks_refuse_together_the_first_loss_that_is_not_finite_and_name_its_rank():
    nan, inf = float("nan"), float("inf")
    said = run_on_ranks(_objectives, 2, [[1.0, 2.0, nan], [1.0, inf, nan]])
    assert said == [("the loss of the generator is not finite on rank 1: adv = inf", 2)] * 2
    assert run_on_ranks(_objectives, 2, [[1.0, 2.0], [1.0, 2.0]]) == [("", None)] * 2


def _diverge(folder: Path, encoders: Path) -> str:
    fields = ("training.steps=6", "training.log_every=4", "training.checkpoint_every=2", "training.temperature=1e-45")
    made = small(SCL, *fields)
    made = replace(made, training=replace(made.training, ramps={"contrast": (2, 0)}))
    try:
        training.train(made, folder, encoders=encoders)
    except DivergedError as error:
        return str(error)
    return ""


def test_two_ranks_that_diverge_stop_before_a_checkpoint_and_name_the_step(trained, tmp_path):
    said = run_on_ranks(_diverge, 2, tmp_path / "run", trained)
    assert len(set(said)) == 1
    expected = r"step 3: the loss of the generator is not finite on rank 0: .*contrast = nan.*step_00000002"
    assert re.search(expected, said[0])
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]
    assert json.loads((tmp_path / "run" / "diverged.json").read_text())["step"] == 3


# Both phases, in float64: what remains is arithmetic


def _phases_in_double(steps: int, name: str, *fields: str) -> dict[str, Tensor]:
    """Every tensor after some steps of phase 1 without dropout, and of phase 2 on the same encoders."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        recipe = small(name, *fields)
        source = recipe.source("train")
        tokenizer = encoders_class(recipe).tokenizer.of(source.captions(), max_words=recipe.max_words)
        torch.manual_seed(0)
        encoders = recipe.encoders(tokenizer.num_tokens).double()
        first = PretrainingPhase(encoders, recipe.pretraining, steps_per_epoch=2)
        _take_steps(first, recipe, source, tokenizer, recipe.pretraining, steps)
        encoders.requires_grad_(False).eval()
        gan = recipe.gan(encoders, image_size=recipe.image_size)
        gan = with_feature_discriminator(gan, recipe, encoders)
        gan.generator.double(), gan.discriminator.double()
        second = GANPhase(gan, encoders, recipe.training, seed=0)
        _take_steps(second, recipe, source, tokenizer, recipe.training, steps)
    finally:
        torch.set_default_dtype(default)
    modules = first.modules | second.modules
    return {f"{name}.{k}": v.detach() for name, m in modules.items() for k, v in m.state_dict().items()}


def _take_steps(phase, recipe, source, tokenizer, settings, steps: int) -> None:
    batches = PairedBatches(
        source,
        tokenizer,
        num_views=2,
        batch_size=settings.batch_size,
        image_size=recipe.image_size,
        seed=0,
    )
    for step in range(steps):
        batch = batches[step].to(torch.device("cpu"))
        views = tuple(View(view.image.double(), view.captions) for view in batch.views)
        phase.step(Batch(views, batch.labels, batch.has_partner), step + 1)


@pytest.mark.parametrize("of", [(SCL, "encoders.dropout=0"), ("galip_emoji_scl",)], ids=lambda of: of[0])
def test_two_ranks_take_the_steps_of_one_process_in_both_phases(of):
    results = run_on_ranks(_phases_in_double, 2, 3, *of)
    assert_identical(*results)
    whole = _phases_in_double(3, *of)
    start = _phases_in_double(0, *of)
    assert whole.keys() == start.keys() == results[0].keys()
    trained = [name for name in whole if not name.startswith("encoders.image_encoder.backbone.")]
    moved = [name for name in trained if not torch.equal(whole[name], start[name])]
    assert len(moved) > 0.9 * len(trained)
    for name in trained:
        torch.testing.assert_close(results[0][name], whole[name], rtol=0, atol=1e-8, msg=partial("{}: {}".format, name))


# Runs under torchrun


def torchrun(*arguments: object) -> "subprocess.Popen[str]":
    """`sclgan` on two ranks of this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launcher, "-m", "sclgan", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
    )


THREE = ("training.steps=3", "training.log_every=1")


@pytest.fixture(scope="module")
def on_two_ranks(trained, tmp_path_factory) -> Path:
    """Three steps of GAN training under torchrun, on the encoders of `trained`."""
    folder = tmp_path_factory.mktemp("two") / "run"
    process = torchrun("train", SCL, *small_fields(SCL, *THREE), "--out", folder, "--encoders", trained)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out.count(f"run in {folder}\n") == 1  # not by every rank; older versions of gloo speak here too
    assert err.count("training ssagan_emoji_scl: 3/3") == 1
    return folder


@pytest.fixture(scope="module")
def in_one_process(trained, tmp_path_factory) -> Path:
    """The same run without torchrun."""
    folder = tmp_path_factory.mktemp("one") / "run"
    training.train(small(SCL, *THREE), folder, encoders=trained)
    return folder


def feeds_only_batch_norm(name: str) -> bool:
    """Whether the tensor is a shift a channel that a batch normalisation takes away again, or the mean it takes.

    The gradient of such a bias is 0. What is computed is rounding, which Adam scales up to a step of the learning
    rate, so that two orders of summation differ in it, and in nothing that follows; in float64 they do not.
    """
    biases = ("c1.bias", "c2.bias", "c_sc.bias", "conv_mask.0.bias", "running_mean")
    return "generator." in name and name.endswith(biases)


def test_torchrun_trains_the_weights_of_one_process(trained, in_one_process, on_two_ranks, tmp_path):
    """Commands compute in float32, where Adam turns rounding in small gradients into steps: one process in float32 is
    as far from itself in float64. At the start the hinge losses of the feature discriminator cancel in the gradient of
    its last biases, which is then nothing but rounding, and G's first layers begin from a factor of 0. So each network
    as a whole is compared with the way that it went; that the arithmetic is the same is shown in float64 above.
    """
    one, two = final_weights(in_one_process), final_weights(on_two_ranks)
    assert one.keys() == two.keys()
    training.train(small(SCL, "training.steps=1"), tmp_path / "run", encoders=trained)
    start = final_weights(tmp_path / "run")
    for network in ("generator", "averaged_generator", "discriminator"):
        of_network = [name for name in one if name.startswith(f"{network}.") and not feeds_only_batch_norm(name)]
        buffers = [name for name in of_network if name.endswith(("running_var", "num_batches_tracked"))]
        torch.testing.assert_close([two[name] for name in buffers], [one[name] for name in buffers], rtol=1e-4, atol=0)
        names = [name for name in of_network if name not in buffers]
        moved = distance(one, start, names)
        assert moved > 0.01
        assert distance(one, two, names) < 0.2 * moved
    shifts = [name for name in one if feeds_only_batch_norm(name)]
    assert len(shifts) < len(one) / 4
    farthest = max(float((one[name] - two[name]).abs().max()) for name in shifts)
    # Adam's step t of a gradient that is only rounding is at most sqrt(t) learning rates, without momentum.
    assert farthest <= 2 * sum(step**0.5 for step in (1, 2, 3)) * small().training.generator_learning_rate
    encoders = [name for name in one if name.startswith("encoders.")]
    assert_identical({name: one[name] for name in encoders}, {name: two[name] for name in encoders})


def distance(one: dict[str, Tensor], other: dict[str, Tensor], names: Sequence[str]) -> float:
    """The norm of the difference of the named tensors together."""
    return float(torch.cat([(one[name].double() - other[name].double()).flatten() for name in names]).norm())


def test_the_records_of_two_ranks_are_those_of_one_process(in_one_process, on_two_ranks):
    one, two = read_metrics(in_one_process), read_metrics(on_two_ranks)
    assert [record["step"] for record in two] == [1, 2, 3]
    timed = {"seconds", "images_per_second"}
    for alone, together in zip(one, two, strict=True):
        assert alone.keys() == together.keys()
        for name in alone.keys() - timed:
            # The logits of the feature discriminator begin near 0; see the test above.
            absolute = 5e-3 if "features" in name else 1e-6
            assert together[name] == pytest.approx(alone[name], rel=1e-4, abs=absolute), name


def _train(folder: Path, encoders: Path, *assignments: str) -> str:
    try:
        training.train(small(SCL, *assignments), folder, encoders=encoders)
    except ValueError as error:
        return str(error)
    return ""


def test_two_ranks_resume_bit_for_bit(trained, on_two_ranks, tmp_path):
    folder = tmp_path / "run"
    for steps in (2, 3):
        assert run_on_ranks(_train, 2, folder, trained, f"training.steps={steps}") == ["", ""]
        assert checkpoint.steps(folder / "checkpoints")[-1] == steps
    assert_identical(final_weights(folder), final_weights(on_two_ranks))
    assert [record["step"] for record in read_metrics(folder)] == [1, 2, 3]


def test_a_batch_that_the_ranks_do_not_divide_is_refused_before_anything_is_written(trained, tmp_path):
    said = run_on_ranks(_train, 2, tmp_path / "run", trained, "training.batch_size=7")
    assert said == ["a batch of 7 does not divide among 2 ranks: choose a multiple of 2"] * 2
    assert list(tmp_path.iterdir()) == []


PROTOCOLS = ("fd_lite0", "kid_lite0", "is_lite0", "r_precision_damsm", "background_accuracy")


def _evaluate(folder: Path, num_images: int) -> list[dict[str, Any]]:
    return [
        result.to_json() for result in evaluate_run(folder, EvaluationOptions(PROTOCOLS, num_images=num_images, seed=1))
    ]


def test_two_ranks_evaluate_to_the_values_of_one_process(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    both = run_on_ranks(_evaluate, 2, folder, 21)  # 21: the ranks have unequal shares
    records = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    assert [record["protocol"] for record in records] == list(PROTOCOLS)  # once, not by every rank
    alone = _evaluate(folder, 21)
    for first, second, one in zip(*both, alone, strict=True):
        assert first["value"] == second["value"]
        assert first["num_samples"] == one["num_samples"] == 21
        for key in ("value", "floor"):
            assert first[key] == pytest.approx(one[key], rel=1e-4, abs=1e-6), (one["protocol"], key)


def ranks_of(launcher: int) -> dict[int, int]:
    """The processes that torchrun started, by rank."""
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            environment = (folder / "environ").read_bytes().decode().split("\0") if parent == launcher else []
        except OSError:  # it ended meanwhile
            continue
        found |= {int(line.removeprefix("RANK=")): int(folder.name) for line in environment if line.startswith("RANK=")}
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the ranks through /proc")
def test_a_rank_that_dies_ends_the_others_and_leaves_a_usable_checkpoint(trained, tmp_path):
    folder = tmp_path / "run"
    fields = small_fields(SCL, "training.steps=1000000")
    process = torchrun("train", SCL, *fields, "--out", folder, "--encoders", trained)
    try:
        deadline = time.monotonic() + 300
        while not (folder / "checkpoints" / "step_00000002").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ranks = ranks_of(process.pid)
        assert ranks.keys() == {0, 1}
        os.kill(ranks[1], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode not in (0, None)
    # Whichever comes first: the broken connection, or torchrun's signal.
    assert (
        "sclgan, rank 0: ConnectionError: another rank ended" in err or "rank 0 was told to stop: another rank" in err
    )
    assert "Connection closed by peer" not in err  # gloo's words and their traceback
    assert open_run(folder).step >= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())
