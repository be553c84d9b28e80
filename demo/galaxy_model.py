"""The galaxy network as a ComfyUI MODEL: its noise schedule, its latent format, its patcher."""

from __future__ import annotations

from pathlib import Path

import torch
from comfy import latent_formats, model_base, model_management, model_sampling, supported_models_base
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .galaxy_network import LAST_TIME, SIZE, load_network

FIRST_TIME = 0.02  # where the network's authors stop
TABLE_LENGTH = 1000
BRIGHT = 7.0  # a bright centre in latent units: white in previews


class GalaxyLatent(latent_formats.LatentFormat):
    """One channel, unscaled; previews show 0 as black and BRIGHT as a warm white (previews take -1..1)."""

    latent_channels = 1
    latent_rgb_factors = [[2.0 / BRIGHT, 1.85 / BRIGHT, 1.6 / BRIGHT]]
    latent_rgb_factors_bias = [-1.0, -1.0, -1.0]


class GalaxySampling(model_sampling.ModelSamplingDiscrete, model_sampling.EPS):
    """The network's own schedule: sigma(t) = sqrt(exp(t) - 1), a table of 1000 for t = 0.02 .. 10 (sigma 0.142 .. 148).

    What ComfyUI calls the timestep is the network's continuous time t, not an index into the table.
    """

    def __init__(self, model_config: object = None) -> None:
        super().__init__()
        times = torch.linspace(FIRST_TIME, LAST_TIME, TABLE_LENGTH, dtype=torch.float64)
        self.set_sigmas(torch.sqrt(torch.expm1(times)))

    def timestep(self, sigma: Tensor) -> Tensor:
        return torch.log1p(sigma**2)

    def sigma(self, timestep: Tensor) -> Tensor:
        return torch.sqrt(torch.expm1(timestep))

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return 999999999.9  # as every model of ComfyUI says "from the very start"
        if percent >= 1.0:
            return 0.0
        time = LAST_TIME + percent * (FIRST_TIME - LAST_TIME)
        return self.sigma(torch.tensor(time, dtype=torch.float64)).item()


class GalaxyConfig(supported_models_base.BASE):
    """What ComfyUI wants to know about a model; the network is built by us, so its own builder is switched off."""

    unet_config = {"disable_unet_model_creation": True}
    latent_format = GalaxyLatent
    supported_inference_dtypes = [torch.float32]
    memory_usage_factor = 1.0


def load_galaxy_model(weights: Path) -> ModelPatcher:
    """A MODEL like the ones that checkpoint loaders return; float32, 0.6 million weights."""
    model = model_base.BaseModel(GalaxyConfig(GalaxyConfig.unet_config), model_base.ModelType.EPS)
    model.diffusion_model = load_network(weights)
    model.model_sampling = GalaxySampling()
    return ModelPatcher(model, model_management.get_torch_device(), model_management.unet_offload_device())


def empty_latents(batch_size: int) -> dict[str, Tensor]:
    """A LATENT of zeros, (batch_size, 1, 32, 32)."""
    return {"samples": torch.zeros(batch_size, 1, SIZE, SIZE, device=model_management.intermediate_device())}
