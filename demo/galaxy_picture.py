"""From the network's latents to pictures that a person likes to look at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

ENLARGEMENT = 8
BRIGHT = 7.5  # latents of a bright centre; the empty sky is 0
STRETCH = 0.7  # exponent below 1: lifts the faint arms

# Colours from the empty sky to the bright centre, evenly spaced in brightness: night blue, violet, amber, cream.
PALETTE = torch.tensor(
    [
        [0.010, 0.012, 0.035],
        [0.075, 0.060, 0.200],
        [0.300, 0.120, 0.330],
        [0.690, 0.270, 0.260],
        [0.960, 0.610, 0.300],
        [1.000, 0.960, 0.840],
    ]
)


def latents_to_pictures(latents: Tensor) -> Tensor:
    """Latents (batch, 1, height, width) -> IMAGE (batch, 8 height, 8 width, 3) in 0..1, on the CPU."""
    latents = latents.float().cpu()
    enlarged = interpolate(latents, scale_factor=ENLARGEMENT, mode="bicubic", align_corners=False)
    brightness = (enlarged[:, 0] / BRIGHT).clamp(0.0, 1.0)
    return _colour(brightness**STRETCH)


def _colour(brightness: Tensor) -> Tensor:
    """Brightness 0..1 of any shape -> colours (..., 3), linear between the palette's entries."""
    position = brightness * (len(PALETTE) - 1)
    lower = position.floor().long().clamp(max=len(PALETTE) - 2)
    share = (position - lower).unsqueeze(-1)
    return torch.lerp(PALETTE[lower], PALETTE[lower + 1], share)
