"""A small class-conditional U-Net that draws emoji in colour, on Stable Diffusion's own noise schedule.

Trained by train_sd_unet.py; its weights lie beside it, so that everybody measures the same network. There are two:
one predicts the noise, as Stable Diffusion 1.5 does, the other the velocity up to a terminal SNR of zero (Lin et al.,
2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed"). Both know CLASSES and, for guidance, `ANY`.
"""

from __future__ import annotations

import math
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from .flow_network import EMBEDDING, GROUPS, TIME_WAVES, Attention, Block

WEIGHTS = {
    "eps": Path(__file__).with_name("sd_unet.safetensors"),
    "v": Path(__file__).with_name("sd_unet_v.safetensors"),
}
SIDE = 32
CLASSES = (
    "faces",
    "people",
    "hands",
    "hearts",
    "animals",
    "plants",
    "food",
    "clothes",
    "activities",
    "objects",
    "vehicles",
    "places",
    "sky",
    "clocks",
    "symbols",
    "flags",
)
ANY = len(CLASSES)
"""The label of no particular class."""
WIDTHS = (48, 96, 112)
MEAN = (0.82, 0.77, 0.71)
DEVIATION = 0.31
"""Of the pictures in 0..1, by channel: the network's own are of mean 0 and standard deviation 1, as latents are."""


def sigma_table(prediction: str) -> Tensor:
    """sigma / alpha (1000,) float64 of Stable Diffusion's betas; for "v" moved to a terminal SNR of (nearly) zero."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    signal = (1 - betas).cumprod(0)
    if prediction == "v":
        root = signal.sqrt()
        signal = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        signal[-1] = 4.8973451890853435e-08  # the host's, whose last sigma is finite
    return ((1 - signal) / signal).sqrt()


class SDNetwork(nn.Module):
    """U-Net on pictures (batch, 3, SIDE, SIDE), three levels: 16 x 16 (2 x 2 pixels each), 8 x 8 and 4 x 4."""

    def __init__(self, prediction: str) -> None:
        super().__init__()
        self.prediction = prediction
        fine, middle, coarse = WIDTHS
        table = sigma_table(prediction)
        self.register_buffer("angles", table.atan().float(), persistent=False)
        self.register_buffer("log_sigmas", table.log().float(), persistent=False)
        self.register_buffer("waves", torch.logspace(-1, 2, TIME_WAVES), persistent=False)
        self.embed_time = nn.Linear(2 * TIME_WAVES, EMBEDDING)
        self.embed_label = nn.Embedding(ANY + 1, EMBEDDING)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU())
        self.enter = nn.Conv2d(12, fine, 3, padding=1)
        self.fine_before = Block(fine, fine)
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle_before = Block(middle, middle)
        self.middle_attention = Attention(middle)
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.first = Block(coarse, coarse)
        self.coarse_attention = Attention(coarse)
        self.second = Block(coarse, coarse)
        self.from_coarse = nn.ConvTranspose2d(coarse, middle, 2, stride=2)
        self.middle_after = Block(2 * middle, middle)
        self.from_middle = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.fine_after = Block(2 * fine, fine)
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, fine), nn.SiLU(), nn.Conv2d(fine, 12, 3, padding=1))

    def forward(self, x: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Noise or velocity at pictures x of unit variance, in which noise is, and timesteps (batch,) of 0..999.

        labels: (batch,) of 0..ANY, or a weight of each (batch, ANY + 1).
        """
        angle = self.angles[timesteps.long()]
        v = self.velocity(x, angle, labels)
        if self.prediction == "v":
            return v
        at = angle[:, None, None, None]
        return at.sin() * x + at.cos() * v

    def denoised(self, x: Tensor, sigma: float, label: int) -> Tensor:
        """E[x0 | x0 + sigma noise = x]; as in the host, at the timestep whose sigma is nearest in the logarithm."""
        timestep = int((self.log_sigmas - math.log(sigma)).abs().argmin())
        scale = math.hypot(1, sigma)
        output = self(x / scale, torch.full((len(x),), timestep), torch.full((len(x),), label))
        return x / scale**2 - sigma / scale * output if self.prediction == "v" else x - sigma * output

    def velocity(self, x: Tensor, angle: Tensor, labels: Tensor) -> Tensor:
        """cos(angle) noise - sin(angle) x0, at x = cos(angle) x0 + sin(angle) noise (Salimans and Ho, 2022)."""
        turns = (angle / (math.pi / 2))[:, None] * self.waves
        wanted = self.embed_label(labels) if labels.ndim == 1 else labels @ self.embed_label.weight
        embedding = self.mix(self.embed_time(torch.cat([turns.sin(), turns.cos()], 1)) + wanted)
        fine = self.fine_before(self.enter(functional.pixel_unshuffle(x, 2)), embedding)
        middle = self.middle_attention(self.middle_before(self.to_middle(fine), embedding))
        coarse = self.first(self.to_coarse(middle), embedding)
        coarse = self.second(self.coarse_attention(coarse), embedding)
        middle = self.middle_after(torch.cat([middle, self.from_coarse(coarse)], 1), embedding)
        fine = self.fine_after(torch.cat([fine, self.from_middle(middle)], 1), embedding)
        return functional.pixel_shuffle(self.leave(fine), 2)


def pictures(latents: Tensor) -> Tensor:
    """What the network draws (n, 3, SIDE, SIDE) -> pictures (n, SIDE, SIDE, 3) in 0..1."""
    return (latents.movedim(1, -1) * DEVIATION + torch.tensor(MEAN, device=latents.device)).clamp(0, 1)


def load_network(prediction: str = "eps", weights: Path | None = None) -> SDNetwork:
    """The trained network that predicts "eps" or "v", in float32."""
    network = SDNetwork(prediction)
    file = weights or WEIGHTS[prediction]
    network.load_state_dict({name: t.float() for name, t in safetensors.torch.load_file(file).items()})
    return network.eval().requires_grad_(False)
