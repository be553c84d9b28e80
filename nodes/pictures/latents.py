"""Latents as pictures: decoded by a VAE, or as rough as a preview without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import host


def pictures(model: Any, latents: Tensor, vae: Any = None) -> list[Image.Image]:
    """A picture of each of `latents` (n, channels, ...); of a video the first frame.

    model: the MODEL that they come from; they are in its own space. vae: a VAE. Raises whatever that raises, and
    ValueError where it is one of sound.
    """
    return [_as_picture(colours) for colours in (_decoded(model, latents, vae) if vae else _preview(model, latents))]


def _decoded(model: Any, latents: Tensor, vae: Any) -> Tensor:
    """Colours (n, height, width, 3)."""
    process = model.get_model_object("latent_format").process_out
    images = []
    for latent in latents:  # one by one, for the sake of memory
        host.stop_if_cancelled()
        processed = process(latent[None])
        first = processed[:, :, :1] if processed.ndim == 5 else processed  # VAEs of videos look back only
        if host.batch_is_frames(model):
            first = host.frames_of_video(first)
        image = vae.decode(first)
        if image.ndim < 3 or image.shape[-1] not in (3, 4):
            raise ValueError(f"it gives no colours, but values of the shape {tuple(image.shape)}")
        images.append(image.reshape(-1, *image.shape[-3:])[0, ..., :3].float().cpu())
    return torch.stack(images)


def _preview(model: Any, latents: Tensor) -> Tensor:
    """Colours (n, height, width, 3) by the linear map of the model's latent format, or grey where it has none."""
    flat = latents.float().cpu()
    while flat.ndim > 4:
        flat = flat[:, :, 0]
    if flat.ndim < 4:  # sound
        flat = flat.reshape(len(flat), 1, -1, flat.shape[-1])
    layout = model.get_model_object("latent_format")
    reshape = getattr(layout, "latent_rgb_factors_reshape", None)
    flat = reshape(flat) if reshape else flat
    factors = getattr(layout, "latent_rgb_factors", None)
    if factors is None or len(factors) != flat.shape[1]:
        grey = flat.mean(dim=1, keepdim=True).movedim(1, -1).expand(-1, -1, -1, 3)
        return (grey - grey.amin()) / (grey.amax() - grey.amin()).clamp(min=1e-6)
    bias = flat.new_tensor(getattr(layout, "latent_rgb_factors_bias", None) or [0.0, 0.0, 0.0])
    return (torch.einsum("nchw,cr->nhwr", flat, flat.new_tensor(factors)) + bias) / 2 + 0.5


def _as_picture(colours: Tensor) -> Image.Image:
    values = (colours.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(np.asarray(values))
