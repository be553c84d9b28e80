"""SIGMAS that no sampler can spoil."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class GuardedSigmas(Tensor):
    """A schedule that core's uni_pc cannot spoil: what is sliced out of it is a copy. All else is as with a Tensor
    (and so writing through view(), unbind() or numpy() would still reach it; no sampler of ComfyUI does that).

    uni_pc writes 0.001 over the final 0 through a slice of the very tensor that the node put out. ComfyUI keeps that
    tensor in its cache, so the next sampler, also of the next workflow, would get the spoiled one.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # whatever is computed from it is a plain Tensor

    def __getitem__(self, index: Any) -> Tensor:
        return self.clone()[index]

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return str(Tensor.__repr__(self.clone(), tensor_contents=tensor_contents))  # type: ignore

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Tensor.__reduce_ex__(self.clone(), protocol)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.clone()


def sigmas_output(sigmas: Tensor) -> Tensor:
    """The form in which a node puts out a schedule (n,): float32, on the CPU, its own memory, guarded."""
    return sigmas.detach().to("cpu", torch.float32, copy=True).as_subclass(GuardedSigmas)
