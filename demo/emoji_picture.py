"""From the emoji network's latents to pictures that are large enough to be looked at."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from .emoji_network import sd_unet

ENLARGEMENT = 8


def latents_to_pictures(latents: Tensor) -> Tensor:
    """Latents (batch, 3, height, width) -> IMAGE (batch, 8 height, 8 width, 3) in 0..1, on the CPU."""
    drawn: Tensor = sd_unet.pictures(latents.float().cpu()).movedim(-1, 1)
    enlarged = interpolate(drawn, scale_factor=ENLARGEMENT, mode="bicubic", align_corners=False)
    return enlarged.clamp(0.0, 1.0).movedim(1, -1)
