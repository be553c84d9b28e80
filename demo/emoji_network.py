"""The benchmark's small colour network in the form that ComfyUI asks a diffusion model for.

It was trained in this repository and lies, with its weights, in benchmarks/models: it is read from there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "models"
_PACKAGE = "hso_demo_networks"


def _benchmarks_networks() -> ModuleType:
    """benchmarks/models/sd_unet.py, by its path: the repository's folder nodes/ would hide ComfyUI's module nodes."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{_PACKAGE}.sd_unet")


sd_unet = _benchmarks_networks()
SIZE: int = sd_unet.SIDE
CLASSES: tuple[str, ...] = sd_unet.CLASSES


class EmojiNetwork(nn.Module):
    """`context` (batch, tokens, classes) holds a weight of each class; what lacks to 1 goes to "any of them"."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def dtype(self) -> torch.dtype:
        return self.network.enter.weight.dtype

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None = None, **_: object) -> Tensor:
        """Noise or velocity at x (batch, 3, 32, 32) and timesteps (batch,) of 0..999."""
        if tuple(x.shape[1:]) != (3, SIZE, SIZE):
            raise ValueError(
                f"The emoji network works on latents of 3 x {SIZE} x {SIZE}, and got "
                f"{' x '.join(map(str, x.shape[1:]))}: use HSO Demo Latent, or Empty Latent Image with "
                f"{8 * SIZE} x {8 * SIZE} pixels."
            )
        if context is None or context.shape[-1] != len(CLASSES):
            raise ValueError("The emoji network draws a class, and got another conditioning: use HSO Demo Class.")
        wanted = context.to(x.dtype).mean(1)
        return self.network(x, timesteps, torch.cat([wanted, 1 - wanted.sum(1, keepdim=True)], 1))


def class_context(name: str) -> Tensor:
    """The context (1, 1, classes) of one of CLASSES; of any other name that of no particular class: zeros."""
    return torch.tensor([[[float(name == known) for known in CLASSES]]])


def load_network(prediction: str) -> EmojiNetwork:
    """The network that predicts "eps" or "v", in float32 on the CPU, for inference."""
    return EmojiNetwork(sd_unet.load_network(prediction)).eval()
