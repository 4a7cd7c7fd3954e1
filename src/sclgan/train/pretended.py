"""Training steps on tensors without memory: they count operations and bytes, and nothing is computed.

Networks are built on torch's device "meta" and then pretended to be on the device that trains (`FakeTensorMode`), so
that a step takes the paths that it would take there.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from sclgan import distributed
from sclgan.runs.shapes import without_memory

aten = torch.ops.aten


@contextmanager
def pretending(num_words: int) -> Iterator["Tally"]:
    """Within it every tensor that is made is pretended; captions have `num_words` words each."""
    onednn = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # a pretended LSTM is then made of products, which are counted
    try:
        with (
            torch.autograd.set_multithreading_enabled(False),  # the modes hold in this thread alone
            FakeTensorMode(allow_non_fake_inputs=False),
            Tally(num_words) as tally,
            _FullCaptions(),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")  # by deepcopy
            yield tally
    finally:
        torch._C._set_mkldnn_enabled(onednn)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """`without_memory`, where the weights of a network in a package are not loaded into it, without a warning."""
    with without_memory(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        yield


def pretend(module: nn.Module) -> None:
    """Puts pretended tensors in place of the module's own, each of the same shape and strides; within `pretending`."""
    made: dict[int, Tensor] = {}

    def pretended(x: Tensor) -> Tensor:
        if id(x) not in made:
            empty = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=distributed.device())
            made[id(x)] = nn.Parameter(empty, x.requires_grad) if isinstance(x, nn.Parameter) else empty
        return made[id(x)]

    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, x in tensors.items():
                if x is not None:
                    tensors[name] = pretended(x)  # type: ignore[assignment]


class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations and the bytes of all tensors that are alive, and answers where the host asks for a number.

    An operation is one floating-point multiplication or addition of a convolution, a matrix product or an attention;
    what goes element by element is not counted. Bytes inside of a kernel are not seen.
    """

    def __init__(self, num_words: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_words = num_words
        self.operations = self.bytes = self.peak = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def reset(self) -> None:
        """Begins a new count of operations and a new peak."""
        self.operations, self.peak = 0, self.bytes

    def __torch_dispatch__(
        self,
        function: Any,
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        given = dict(keywords or {})
        if function is aten._local_scalar_dense.default and getattr(arguments[0], "constant", None) is None:
            return _answer(arguments[0], self.num_words)
        out = function(*arguments, **given)
        count = COUNTED.get(function.overloadpacket)
        if count is not None:
            self.operations += count(*arguments, **given, out_val=out)
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self._add(x.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def gone(_: object) -> None:
            self.bytes -= size
            self._alive.pop(key, None)

        self._alive[key] = weakref.ref(storage, gone)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)


def _answer(x: Tensor, num_words: int) -> bool | int | float:
    """The number that the host asks for: losses are finite, captions have this many words."""
    if x.dtype == torch.bool:
        return True
    return 1.0 if x.is_floating_point() else num_words


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Operations of `softmax(q k^T) v`: two products."""
    return 2 * query.numel() * key.shape[2] + 2 * query[..., 0].numel() * value[0, 0].numel()


def _attention_backward(upper: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Operations of its gradients, for which the first product is taken again: five products."""
    del upper
    return 6 * query.numel() * key.shape[2] + 4 * query[..., 0].numel() * value[0, 0].numel()


COUNTED: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""How the operations of a kernel are counted: torch's own table and what it lacks."""


class _FullCaptions(TorchFunctionMode):
    """Packs sequences that all have full length, since the lengths of a pretended batch cannot be read."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = getattr(function, "__name__", "")
        if name == "_pack_padded_sequence":
            x = arguments[0]
            return x.transpose(0, 1).flatten(0, 1), torch.tensor([x.shape[0]] * x.shape[1])
        if name == "_pad_packed_sequence":
            data, batch_sizes, *_ = arguments
            steps = len(batch_sizes)
            padded = data.unflatten(0, (steps, -1)).transpose(0, 1)
            return padded, torch.tensor([steps] * len(padded))
        if name == "lstm" and len(arguments) == 9 and isinstance(arguments[1], Tensor):  # a packed one
            data, batch_sizes, states, *rest = arguments
            x = data.unflatten(0, (len(batch_sizes), -1))
            states = [x.new_zeros(len(state), x.shape[1], state.shape[2]) for state in states]
            out, *last = function(x, states, *rest, False)
            return out.flatten(0, 1), *last
        return function(*arguments, **dict(keywords or {}))
