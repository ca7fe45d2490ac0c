"""A second device for tests: it computes as the CPU does, and refuses to be mixed with the CPU, as a GPU does."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("meta")  # every build of PyTorch has it, and no kernel of it ever runs
# Their results would be marked, and not computed yet: PyTorch looks for the marks of tensors that this module wraps in vain.
LAZY = {
    torch.ops.aten._conj: lambda value: torch.conj_physical(torch.as_tensor(value)),
    torch.ops.aten._neg_view: torch.neg,
}
CROSSING = torch.ops.aten.copy_, torch.ops.aten._to_copy  # they may move values between devices
INDEXING = torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_


class Far(Tensor):
    """A tensor elsewhere. `near` holds its values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        shape = near.shape, near.stride(), near.storage_offset()
        far = Tensor._make_wrapper_subclass(cls, *shape, dtype=near.dtype, layout=near.layout, device=ELSEWHERE)
        far.near = near
        return far

    @classmethod
    def __torch_dispatch__(cls, operator, types, arguments=(), settings=None):
        return _run(operator, arguments, settings or {})

    def __repr__(self, **settings: Any) -> str:
        return f"Far({self.near})"


class _Operators(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, arguments=(), settings=None):
        return _run(operator, arguments, settings or {})


class _Functions(TorchFunctionMode):
    """What makes or reads tensors without an operator."""

    def __torch_function__(self, function, types, arguments=(), settings=None):
        settings = settings or {}
        if function is Tensor.tolist:
            return arguments[0].cpu().tolist()
        if function in (torch.tensor, torch.as_tensor) and settings.get("device") == ELSEWHERE:
            return function(*arguments, **{**settings, "device": None}).to(ELSEWHERE)
        if function is Tensor.__getitem__:
            whole, index = arguments
            parts = index if isinstance(index, tuple) else (index,)
            return function(whole, tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts))
        return function(*arguments, **settings)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """The device; it exists in the block, and modules can be moved there."""
    autocast = torch.autocast
    with (
        _Operators(),
        _Functions(),
        mock.patch("torch.__future__.get_overwrite_module_params_on_conversion", return_value=True),
        mock.patch(
            "torch.autocast", lambda kind, **settings: nullcontext() if kind == "meta" else autocast(kind, **settings)
        ),
    ):
        yield ELSEWHERE


def _run(operator, arguments, settings):
    packet = operator.overloadpacket
    tensors = [leaf for leaf in tree_leaves((arguments, settings)) if isinstance(leaf, Tensor)]
    far = [isinstance(one, Far) for one in tensors]
    if any(one.device == ELSEWHERE for one, is_far in zip(tensors, far, strict=True) if not is_far):
        raise NotImplementedError(f"{operator}: a tensor was made in a way that this module does not know")
    if packet not in CROSSING:
        _refuse_mixed(operator, arguments[:1] if packet in INDEXING else tensors, any(far))
    target = settings.get("device")
    there = far[0] if packet in CROSSING else any(far)
    if target is not None:
        settings, there = {**settings, "device": torch.device("cpu")}, torch.device(target) == ELSEWHERE
    result = LAZY.get(packet, operator)(*_near(arguments), **_near(settings))
    known = {id(one.near): one for one, is_far in zip(tensors, far, strict=True) if is_far}

    def moved(value):
        return known.get(id(value), value) if id(value) in known or not isinstance(value, Tensor) else Far(value)

    return tree_map(moved, result) if there else result


def _refuse_mixed(operator, tensors, some_far):
    """A GPU takes numbers and indices from the CPU, but no other tensors."""
    if some_far and any(not isinstance(one, Far) and one.dim() for one in tensors):
        raise RuntimeError(f"{operator}: expected all tensors on one device, found some elsewhere and some on the CPU")


def _near(values):
    return tree_map(lambda value: value.near if isinstance(value, Far) else value, values)
