"""The demonstration network as a MODEL in this process, with what sampling it needs.

Import host_import.import_host() first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch

import workbench
from by_path import import_path


def galaxy_module() -> ModuleType:
    """demo/galaxy_model.py"""
    import_path(workbench.REPOSITORY / "demo", "hso_demo")
    return sys.modules["hso_demo.galaxy_model"]


def galaxy_model() -> Any:
    """A fresh MODEL."""
    return galaxy_module().load_galaxy_model(workbench.demo_weights())


def galaxy_latent(batch: int = 1) -> dict[str, torch.Tensor]:
    return galaxy_module().empty_latents(batch)


def conditioning() -> list[Any]:
    """A CONDITIONING, which the network ignores."""
    return [[torch.zeros(1, 1, 8), {"pooled_output": torch.zeros(1, 8)}]]


def guided(model: Any, strength: float = 0.1) -> Any:
    """The MODEL patched so that positive and negative differ: in the positive half what is bright is brighter."""
    patched = model.clone()

    def predict(apply: Any, arguments: dict[str, Any]) -> torch.Tensor:
        denoised = apply(arguments["input"], arguments["timestep"], **arguments["c"])
        halves = torch.tensor(arguments["cond_or_uncond"])  # 0 is positive; each has as many latents
        positive = (halves == 0).repeat_interleave(len(denoised) // len(halves)).view(-1, 1, 1, 1)
        return denoised * (1 + strength * positive * (denoised / 4).tanh())

    patched.set_model_unet_function_wrapper(predict)
    return patched
