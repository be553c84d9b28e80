"""The emoji network as a ComfyUI MODEL: Stable Diffusion's noise schedule, its latent format, its patcher."""

from __future__ import annotations

import torch
from comfy import latent_formats, model_base, model_management, supported_models_base
from comfy.model_patcher import ModelPatcher

from .emoji_network import load_network, sd_unet


class EmojiLatent(latent_formats.LatentFormat):
    """Red, green and blue at a mean of 0 and a standard deviation of 1; previews take -1..1."""

    latent_channels = 3
    latent_rgb_factors = (2 * sd_unet.DEVIATION * torch.eye(3)).tolist()
    latent_rgb_factors_bias = [2 * mean - 1 for mean in sd_unet.MEAN]


class EmojiConfig(supported_models_base.BASE):
    """What ComfyUI wants to know about a model; the network is built by us, so its own builder is switched off."""

    unet_config = {"disable_unet_model_creation": True}
    latent_format = EmojiLatent
    supported_inference_dtypes = [torch.float32]
    memory_usage_factor = 1.0


class ZeroSnrConfig(EmojiConfig):
    sampling_settings = {"zsnr": True}


def load_emoji_model(prediction: str) -> ModelPatcher:
    """A MODEL like those of Stable Diffusion: "eps" as 1.5 is, "v" with a terminal SNR of zero; 1.5 million weights."""
    config, kind = {
        "eps": (EmojiConfig, model_base.ModelType.EPS),
        "v": (ZeroSnrConfig, model_base.ModelType.V_PREDICTION),
    }[prediction]
    model = model_base.BaseModel(config(config.unet_config), kind)
    model.diffusion_model = load_network(prediction)
    return ModelPatcher(model, model_management.get_torch_device(), model_management.unet_offload_device())
