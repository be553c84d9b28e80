"""Real MODELs of ComfyUI around a network of one operation: everything but the network is the host's own.

Import host_import.import_host() first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_base as model_base
import comfy.supported_models as supported_models
import torch
from comfy.model_patcher import ModelPatcher
from comfy.nested_tensor import NestedTensor

KINDS = {
    "eps": ("SD15", "EPS", {}),
    "v zsnr": ("SD15", "V_PREDICTION", {"zsnr": True}),
    "edm": ("SD15", "EDM", {"sigma_max": 80.0, "sigma_min": 0.002}),
    "flow": ("SD3", "FLOW", {"shift": 3.0}),
}
VIDEO = ("WAN21_T2V", "FLOW", {"shift": 8.0})


class Network(torch.nn.Module):
    """Bounded and not linear, and each value of the result depends on its neighbours."""

    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.6))

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, **_: Any) -> torch.Tensor:
        near = 0.5 * (x.roll(1, -1) + x.roll(1, -2))
        return torch.tanh(self.weight * x + 0.2 * near)


def tiny_model(kind: str) -> ModelPatcher:
    """A MODEL of one of KINDS, or of a "video" model, for latents of any size."""
    config_name, model_type, settings = VIDEO if kind == "video" else KINDS[kind]
    config = getattr(supported_models, config_name)({"disable_unet_model_creation": True})
    config.sampling_settings = {**config.sampling_settings, **settings}
    model = model_base.BaseModel(config, model_base.ModelType[model_type])
    model.diffusion_model = Network().eval()
    return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def empty_latent(model: ModelPatcher, batch: int = 1, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """A LATENT of 8 x 8 zeros with the model's number of channels."""
    return {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, 8, 8, dtype=dtype)}


def conditioning() -> list[Any]:
    """A CONDITIONING that this network ignores."""
    return [[torch.zeros(1, 4, 8), {"pooled_output": torch.zeros(1, 8)}]]


def picture_and_sound() -> tuple[ModelPatcher, Callable[..., dict[str, Any]]]:
    """A MODEL of which the sound is much quieter than the picture, and a function that makes a LATENT of both."""
    model = tiny_model("eps")

    def quieter(apply: Callable[..., torch.Tensor], arguments: dict[str, Any]) -> torch.Tensor:
        denoised = apply(arguments["input"], arguments["timestep"], **arguments["c"]).clone()
        denoised[..., 256:] = 0.05 * (12 * arguments["input"][..., 256:]).tanh()
        return denoised

    def latent(batch: int = 1, value: float = 0.0) -> dict[str, Any]:
        parts = [torch.full((batch, 4, 8, 8), value), torch.full((batch, 2, 16), value)]
        return {"samples": NestedTensor(parts)}

    model.set_model_unet_function_wrapper(quieter)
    return model, latent


class Frames(torch.nn.Module):
    """A network for which a batch is one video: what becomes of a frame depends on the frame before it."""

    dtype = torch.float32

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.6))

    def forward(
        self, x: torch.Tensor, timesteps: torch.Tensor, num_video_frames: int | None = None, **_: Any
    ) -> torch.Tensor:
        noisy = x[:, :4]
        video = noisy.unflatten(0, (-1, num_video_frames or len(noisy)))
        return torch.tanh(self.weight * noisy + 0.4 * video.roll(1, 1).flatten(0, 1))


def svd_model() -> ModelPatcher:
    """A MODEL of Stable Video Diffusion: the latents of a batch are the frames of one video."""
    config = supported_models.SVD_img2vid({"disable_unet_model_creation": True, "in_channels": 8})
    model = model_base.SVD_img2vid(config)
    model.diffusion_model = Frames().eval()
    return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
