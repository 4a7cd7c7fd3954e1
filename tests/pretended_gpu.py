"""A pretended GPU: what runs on `cuda` has shapes, types and devices but no values; what runs on the CPU is real.

    with pretended_gpu() as gpu:
        layer = nn.Linear(2, 2).to("cuda")
        layer(torch.ones(1, 2))                     # fails, as on a GPU: two devices
        bool(layer(torch.ones(1, 2).to("cuda")).sum() > 0)
    gpu.waits                                       # ["copy to the device", "_local_scalar_dense"]

Tensors of the device are PyTorch's fake tensors, which refuse to be mixed with others. Where the host asks for values,
it gets made-up ones, and the question is counted: on a GPU the host waits there until the device has done all its work.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakIdKeyDictionary

from plain_autograd import run_backward
from sclgan import distributed

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
DEPEND_ON_VALUES = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
}
"""Operators whose result, or its shape, the host must know before it goes on."""


class _Mode(FakeTensorMode):
    def __deepcopy__(self, _: object) -> "_Mode":
        return self  # a copied module stays on the same device


class PretendedGPU(TorchDispatchMode):
    """Sends operators to the fake device or to the CPU, and counts where the host waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.fakes = _Mode(allow_non_fake_inputs=False)
        self.waits: list[str] = []
        self.operators: set[str] = set()
        """Names of the operators that ran on the device."""
        self._pinned = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].fake_device if isinstance(args[0], FakeTensor) else func(*args)
        given = dict(kwargs or {})
        if func is aten._pin_memory.default:
            return self._pin(args[0])
        if func is aten.is_pinned.default:
            return args[0] in self._pinned
        tensors = [x for x in _leaves((*args, *given.values())) if isinstance(x, Tensor)]
        num_fakes = sum(isinstance(x, FakeTensor) for x in tensors)
        on_device = num_fakes > 0
        if func is aten._pack_padded_sequence.default and on_device:
            lengths = args[1]
            assert not isinstance(lengths, FakeTensor), "lengths belong on the CPU"
            data, sizes = func(torch.zeros(args[0].shape), *args[1:])
            return self._on_device(data), sizes
        if func in COPIES:
            return self._copied(func, args, given)
        if func in DEPEND_ON_VALUES and on_device:
            self.waits.append(func.overloadpacket.__name__)
            real = tree_map(self._answer, (args, given))
            return tree_map(self._on_device, func(*real[0], **real[1]))
        device = given.get("device")
        if not on_device and (device is None or torch.device(device).type != "cuda"):
            return func(*args, **given)
        if func in (aten.index.Tensor, aten.index_put_.default) and num_fakes < len(tensors):
            self.waits.append(f"{func.overloadpacket.__name__} by a tensor of the CPU")
        self.operators.add(func.overloadpacket.__name__)
        if num_fakes < len(tensors):
            args, given = tree_map(self._seen_by_the_device, (args, given))
        with self.fakes:
            return func(*args, **given)

    def _pin(self, x: Tensor) -> Tensor:
        pinned = x.clone(memory_format=torch.preserve_format)
        self._pinned[pinned] = True
        return pinned

    def _copied(self, func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """A copy within a device or between two."""
        if func is aten._to_copy.default:
            (source,), target = args, torch.device(given.get("device") or args[0].device).type
            same_kind = {name: value for name, value in given.items() if name not in ("device", "non_blocking")}
            as_asked: Callable[[Tensor], Tensor] = lambda x: aten._to_copy.default(x, **same_kind)  # noqa: E731
        else:
            destination, source = args[:2]
            target = destination.device.type
            as_asked = lambda x: aten.copy_.default(destination, x)  # noqa: E731
        if source.device.type == target:
            if target == "cpu":
                return func(*args, **given)
            self.operators.add(func.overloadpacket.__name__)
            with self.fakes:
                return func(*args, **given)
        if target == "cpu":
            self.waits.append("copy to the CPU")
            with mock.patch.object(self, "waits", []):
                return as_asked(self._answer(source))
        non_blocking = bool(given.get("non_blocking") or (func is aten.copy_.default and args[2:] and args[2]))
        if not (non_blocking and source in self._pinned):
            self.waits.append("copy to the device")
        moved = self._on_device(source)
        with self.fakes:
            return as_asked(moved)

    def _on_device(self, x: Any) -> Any:
        """A real tensor's counterpart on the device."""
        if not isinstance(x, Tensor) or isinstance(x, FakeTensor):
            return x
        seen = self._seen_by_the_device(x)
        with self.fakes:
            return seen.to("cuda")

    def _seen_by_the_device(self, x: Any) -> Any:
        """A real tensor as the fake device meets it: single numbers are taken along, others are refused there."""
        if not isinstance(x, Tensor) or isinstance(x, FakeTensor):
            return x
        return self.fakes.from_tensor(x.detach(), static_shapes=True)

    def _answer(self, x: Any) -> Any:
        """Made-up values for a tensor of the device: yes, 1 or standard normal numbers, always the same."""
        if not isinstance(x, FakeTensor):
            return x
        if x.dtype.is_floating_point:
            return torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)
        return torch.ones(x.shape, dtype=x.dtype)


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """What operators are given, out of its lists."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


@contextmanager
def pretended_gpu(*, world_size: int = 1) -> Iterator[PretendedGPU]:
    """Within it, `distributed.device()` is a pretended GPU, that of the first of `world_size` pretended ranks."""
    gpu = PretendedGPU()
    device = torch.device("cuda", 0)
    with ExitStack() as stack:
        patch: Callable[..., Any] = lambda *what: stack.enter_context(mock.patch.object(*what))  # noqa: E731
        patch(distributed, "device", lambda: device)
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # torch's own, in a deep copy
        if not torch.cuda.is_available():
            patch(torch.cuda, "_lazy_init", lambda: None)
        patch(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        patch(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch(nn.RNNBase, "flatten_parameters", lambda _: None)  # moves memory, of which there is none
        if world_size > 1:
            patch(dist, "is_initialized", lambda: True)
            patch(dist, "get_world_size", lambda: world_size)
            patch(dist, "get_rank", lambda: 0)
            for name in ("all_reduce", "all_gather", "broadcast", "all_gather_object"):
                patch(dist, name, getattr(_Collectives, name))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # it asks the driver
        patch(torch.autograd, "_engine_run_backward", run_backward)
        with gpu.fakes:
            pass  # from then on PyTorch asks no driver which GPU is the current one
        stack.enter_context(gpu)
        yield gpu


class _Collectives:
    """NCCL's collectives as one of several ranks sees them: they take memory of the device, in one piece."""

    @staticmethod
    def all_reduce(x: Tensor) -> None:
        _check(x)

    @staticmethod
    def all_gather(parts: list[Tensor], x: Tensor) -> None:
        for part in (*parts, x):
            _check(part)
            assert part.is_contiguous()
            assert (part.shape, part.dtype) == (x.shape, x.dtype)

    @staticmethod
    def broadcast(x: Tensor, source: int) -> None:
        assert source == 0
        _check(x)

    @staticmethod
    def all_gather_object(values: list[Any], value: Any) -> None:
        raise AssertionError(f"objects were gathered: {value!r}")


def _check(x: Tensor) -> None:
    assert x.device.type == "cuda", f"a collective was given a tensor of the {x.device}"
    assert x.dtype != torch.bool, "NCCL has no booleans"
    assert x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
