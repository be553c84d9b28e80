"""The score network hsc32: 32 x 32 galaxies as the Subaru telescope's Hyper Suprime-Cam survey sees them.

It belongs to a continuous variance-preserving diffusion with integral of beta(t) = t, so at time t in (0, 10]
the noisy picture is exp(-t/2) x0 + sqrt(1 - exp(-t)) n, and the network returns the score of its distribution.
Pictures are ln(flux + 1) / 0.1: the empty sky is 0 and a bright centre is about 8.

Pure torch and numpy. The weights are read from the file in which the network's authors published them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

SIZE = 32
PATCH = 4
PATCHES = (SIZE // PATCH) ** 2
FEATURES = 64
MIXER_WIDTH = 512
BLOCKS = 4
LAST_TIME = 10.0
FLUX_SCALE = 0.1


class MixerBlock(nn.Module):
    """Mix across patches, then across features; shapes (batch, FEATURES, PATCHES) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_mixer = _perceptron(PATCHES)
        self.feature_mixer = _perceptron(FEATURES)
        self.patch_norm = nn.LayerNorm((FEATURES, PATCHES))
        self.feature_norm = nn.LayerNorm((PATCHES, FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.patch_mixer(self.patch_norm(x))
        x = x.transpose(1, 2)
        x = x + self.feature_mixer(self.feature_norm(x))
        return x.transpose(1, 2)


def _perceptron(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, MIXER_WIDTH), nn.ReLU(), nn.Linear(MIXER_WIDTH, width))


class ScoreNetwork(nn.Module):
    """MLP-Mixer that returns the score, grad log p_t(x).

    The modules are created in the order of the records in the weights' file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, FEATURES, PATCH, stride=PATCH)
        self.unembed = nn.ConvTranspose2d(FEATURES, 1, PATCH, stride=PATCH)
        self.blocks = nn.ModuleList(MixerBlock() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm((FEATURES, PATCHES))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Score at noisy pictures x (batch, 1, 32, 32) and times t (batch,); same shape as x."""
        time_plane = (t / LAST_TIME).view(-1, 1, 1, 1).expand_as(x)
        grid = self.embed(torch.cat([x, time_plane], dim=1))
        features = grid.flatten(2)
        for block in self.blocks:
            features = block(features)
        return self.unembed(self.norm(features).view_as(grid))


class NoisePredictor(nn.Module):
    """The score network in the form that samplers want: the noise n in x = exp(-t/2) x0 + sqrt(1 - exp(-t)) n.

    `dtype` is what ComfyUI asks a diffusion model for.
    """

    def __init__(self, score: ScoreNetwork) -> None:
        super().__init__()
        self.score = score

    @property
    def dtype(self) -> torch.dtype:
        return self.score.embed.weight.dtype

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None = None, **_: object) -> Tensor:
        """Noise in x (batch, 1, 32, 32) at times (batch,); the network is unconditional, so `context` has no effect."""
        if tuple(x.shape[1:]) != (1, SIZE, SIZE):
            raise ValueError(
                f"The galaxy network works on latents of 1 x {SIZE} x {SIZE}, and got {_times(x.shape[1:])}: "
                f"use HSO Demo Latent, or Empty Latent Image with {8 * SIZE} x {8 * SIZE} pixels."
            )
        t = timesteps.to(x.dtype)
        noise_level = torch.sqrt(-torch.expm1(-timesteps)).to(x.dtype)
        return -self.score(x, t) * noise_level.view(-1, 1, 1, 1)


def _times(shape: torch.Size) -> str:
    return " x ".join(str(length) for length in shape)


def load_network(file: Path) -> NoisePredictor:
    """The network with the weights of `file`, in float32 on the CPU, for inference.

    Raises FileNotFoundError, or ValueError when the file does not hold this network.
    """
    network = ScoreNetwork()
    expected = network.state_dict()
    records = _read_records(file)
    if len(records) != len(expected) + 1:  # the last record is LAST_TIME
        raise ValueError(f"{file} holds {len(records)} arrays; the network hsc32 has {len(expected) + 1}.")
    weights = {
        name: _as_torch_weight(name, torch.from_numpy(record), tensor)
        for (name, tensor), record in zip(expected.items(), records, strict=False)
    }
    network.load_state_dict(weights)
    return NoisePredictor(network).eval().requires_grad_(False)


def _read_records(file: Path) -> list[np.ndarray]:
    """The arrays of an .eqx file, which is one .npy record after the other."""
    size = file.stat().st_size
    records = []
    with file.open("rb") as stream:
        while stream.tell() < size:
            records.append(np.load(stream, allow_pickle=False))
    return records


def _as_torch_weight(name: str, record: Tensor, expected: Tensor) -> Tensor:
    if name == "unembed.weight":
        # The file's transposed convolution is a correlation over the spread-out input, with (out, in) first.
        record = record.transpose(0, 1).flip(2, 3)
    if record.numel() != expected.numel():
        raise ValueError(f"{name} has the shape {tuple(record.shape)}; the network hsc32 has {tuple(expected.shape)}.")
    return record.reshape(expected.shape)  # biases of convolutions are stored as (features, 1, 1)
