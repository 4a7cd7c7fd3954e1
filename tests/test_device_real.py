"""Steps on a GPU, where there is one: the losses of the CPU, and no waiting for the device, of which CUDA tells."""

import copy
from collections.abc import Iterator

import pytest
import torch

from phases import both_phases, few
from sclgan import distributed
from sclgan.distributed import arithmetic

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GANS = ("attngan", "dmgan", "ssagan", "galip")


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Within the test every wait of the host for the device is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    with monkeypatch.context() as patched:
        patched.setattr(distributed, "device", lambda: torch.device("cpu"))
        return losses(name)


def losses(name: str) -> list[dict[str, float]]:
    """Those of the first step of either phase."""
    found = []
    with arithmetic(distributed.device()):
        both = both_phases(few(name, *(() if "galip" in name else ("encoders.dropout=0",))))
        for phase, batches in both.in_turn:
            if phase is both.training:
                both.freeze()
            values = phase.step(batches[0].to(distributed.device()), 1)
            found.append({key: float(value) for key, value in values.items()})
    return found


@pytest.mark.parametrize("gan", GANS)
def test_losses_are_those_of_the_cpu(gan, monkeypatch):
    expected = on_the_cpu(f"{gan}_emoji_scl", monkeypatch)
    # After one step of pre-training, which Adam makes of the gradients' signs where they are small.
    for found, wanted, tolerance in zip(losses(f"{gan}_emoji_scl"), expected, (1e-4, 1e-2), strict=True):
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("fields", [(), ("training.precision=bfloat16", "training.augment=translation,cutout")])
@pytest.mark.parametrize("gan", GANS)
def test_a_step_makes_the_host_wait_for_nothing(gan, fields, request):
    both = both_phases(few(f"{gan}_emoji_scl", *fields))
    batches = [copy.copy(one[0]) for one in both.batches]
    both.pretraining.step(batches[0].to(distributed.device()), 1)  # the first one loads kernels
    both.training.step(batches[1].to(distributed.device()), 1)
    request.getfixturevalue("no_waiting")
    both.pretraining.step(batches[0].to(distributed.device()), 2)
    both.freeze()
    both.training.step(batches[1].to(distributed.device()), 2)
