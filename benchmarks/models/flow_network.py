"""A small flow-matching network that draws handwritten digits.

Trained by train_flow.py; its weights lie beside it, so that everybody measures the same network. x = (1 - t) x0 +
t noise, and the network returns the velocity noise - x0, so that the host's CONST and ModelSamplingDiscreteFlow fit. It
knows the ten digits and `ANY`.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("flow_network.safetensors")
SIDE = 28
ANY = 10
"""The label of no particular digit."""
WIDTH = 32
GROUPS = 8
TIME_WAVES = 32
EMBEDDING = 128


class FlowNetwork(nn.Module):
    """U-Net on pictures (batch, 1, SIDE, SIDE), two levels: 14 x 14 (2 x 2 pixels each) and 7 x 7, with attention."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", torch.logspace(-1, 2, TIME_WAVES), persistent=False)
        self.embed_time = nn.Linear(2 * TIME_WAVES, EMBEDDING)
        self.embed_label = nn.Embedding(ANY + 1, EMBEDDING)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU())
        self.enter = nn.Conv2d(4, WIDTH, 3, padding=1)
        self.before = Block(WIDTH, WIDTH)
        self.down = nn.Conv2d(WIDTH, 2 * WIDTH, 3, stride=2, padding=1)
        self.first = Block(2 * WIDTH, 2 * WIDTH)
        self.attention = Attention(2 * WIDTH)
        self.second = Block(2 * WIDTH, 2 * WIDTH)
        self.up = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, stride=2)
        self.after = Block(2 * WIDTH, WIDTH)
        self.leave = nn.Sequential(nn.GroupNorm(GROUPS, WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, 4, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Velocity at noisy pictures x, times t (batch,) in [0, 1], labels (batch,) of 0..10; same shape as x."""
        angles = t[:, None] * self.waves
        embedding = self.mix(self.embed_time(torch.cat([angles.sin(), angles.cos()], 1)) + self.embed_label(labels))
        fine = self.before(self.enter(functional.pixel_unshuffle(x, 2)), embedding)
        coarse = self.first(self.down(fine), embedding)
        coarse = self.second(self.attention(coarse), embedding)
        fine = self.after(torch.cat([fine, self.up(coarse)], 1), embedding)
        return functional.pixel_shuffle(self.leave(fine), 2)


class Block(nn.Module):
    """Two convolutions beside a shortcut; the embedding scales and shifts what lies between them."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, entering), nn.GroupNorm(GROUPS, leaving)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(entering, leaving, 3, padding=1), nn.Conv2d(leaving, leaving, 3, padding=1)]
        )
        self.modulate = nn.Linear(EMBEDDING, 2 * leaving)
        self.shortcut = nn.Conv2d(entering, leaving, 1) if entering != leaving else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, 1)
        inside = self.convolutions[0](functional.silu(self.norms[0](x)))
        inside = self.norms[1](inside) * (1 + scale) + shift
        return self.shortcut(x) + self.convolutions[1](functional.silu(inside))


class Attention(nn.Module):
    """Each place looks at all others; four heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        places = self.norm(x).flatten(2).transpose(1, 2)
        seen = self.attend(places, places, places, need_weights=False)[0]
        return x + seen.transpose(1, 2).view_as(x)


def load_network() -> FlowNetwork:
    """The trained network, in float32."""
    network = FlowNetwork()
    network.load_state_dict({name: t.float() for name, t in safetensors.torch.load_file(WEIGHTS).items()})
    return network.eval().requires_grad_(False)
