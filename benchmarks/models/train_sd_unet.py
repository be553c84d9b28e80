"""Train the small colour U-Net of the benchmark on Google's emoji (Apache-2.0), on the GPU if there is one.

    .venv/bin/python -m benchmarks.models.train_sd_unet [--minutes 60] [--output FILE]
    .venv/bin/python -m benchmarks.models.train_sd_unet --prediction v --start FILE [--minutes 15] [--output FILE]

Writes the weights, by default into .host/benchmark, every 1000 steps and at the end. The learning rate falls with the
time that is left, so that a slow machine too ends with a finished network. The first command trains the noise
predictor; the second goes on from its weights on the table whose terminal SNR is zero. The committed weights are
sd_unet.safetensors and sd_unet_v.safetensors beside this file; what was measured with them goes by their content.
The pictures are mirrored, turned, moved, stretched and tinted a little each time, so that the network cannot learn
them by heart; one in ten is held out.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import downloads
from .emoji import as_latents, emoji_table
from .sd_unet import ANY, CLASSES, WEIGHTS, SDNetwork, load_network

BATCH = 64
RATE = 1.5e-3
RATE_ONWARDS = 4e-4
"""Of a training that starts from weights."""
WARMUP = 300
DECAY = 0.999
NO_LABEL = 0.12
"""Share of the pictures that are shown without their label, for guidance."""
TURN, STRETCH, SHIFT, TINT = 6.0, 0.08, 0.08, 5.0
"""Largest changes of a picture: degrees, share of its size, share of half its side, degrees of hue."""
NEVER_MIRRORED = tuple(CLASSES.index(name) for name in ("symbols", "flags", "clocks"))
SEED = 17


def train(
    network: SDNetwork,
    minutes: float,
    rate: float,
    device: torch.device,
    keep: Callable[[SDNetwork, int, float], None],
    steps: int | None = None,
) -> SDNetwork:
    """The running mean of the network's weights, after so many minutes or `steps`; `keep` gets it now and then."""
    torch.manual_seed(SEED)
    table, labels, held_out = emoji_table()
    pictures, labels = (table[~held_out].float() / 255).to(device), labels[~held_out].to(device)
    network = network.to(device, memory_format=torch.channels_last).train().requires_grad_(True)  # type: ignore[call-overload]
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    optimizer = torch.optim.AdamW(network.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    began, running, step, progress = time.perf_counter(), math.nan, 0, 0.0
    while progress < 1:
        step += 1
        progress = step / steps if steps else (time.perf_counter() - began) / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / WARMUP) * 0.5 * (1.02 + math.cos(math.pi * min(progress, 1)))
        chosen = torch.randint(len(pictures), (BATCH,), device=device)
        loss = velocity_loss(network, as_latents(_changed(pictures[chosen], labels[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)
        running = loss.item() if step == 1 else 0.998 * running + 0.002 * loss.item()
        if step % 250 == 0 or progress >= 1:
            print(f"{step}: loss {running:.4f}, {time.perf_counter() - began:.0f} s", flush=True)
        if step % 1000 == 0 or progress >= 1:
            keep(averaged.module, step, running)
    trained: SDNetwork = averaged.module
    return trained.eval().requires_grad_(False)


def velocity_loss(network: SDNetwork, x0: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the velocity at timesteps of the network's own table, each as often.

    For a network that predicts the noise this is its own error with the weight 1 + 1 / SNR, which makes it learn the
    high noise levels, where a small error of the noise is a large one of the picture (Salimans and Ho, 2022).
    """
    noise = torch.randn_like(x0)
    angle = network.angles[torch.randint(len(network.angles), (len(x0),), device=x0.device)]
    at = angle[:, None, None, None]
    labels = labels.where(torch.rand(len(x0), device=x0.device) >= NO_LABEL, ANY)
    velocity = network.velocity(at.cos() * x0 + at.sin() * noise, angle, labels)
    return functional.mse_loss(velocity, at.cos() * noise - at.sin() * x0)


def _changed(pictures: Tensor, labels: Tensor) -> Tensor:
    """The pictures (n, 3, 64, 64), each mirrored, turned, stretched, moved and tinted; what comes in is white."""
    count, device = len(pictures), pictures.device

    def draw(most: float) -> Tensor:
        return (2 * torch.rand(count, device=device) - 1) * most

    mirrored = (draw(1) < 0) & ~torch.isin(labels, torch.tensor(NEVER_MIRRORED, device=device))
    angle, wide, tall = draw(math.radians(TURN)), 1 + draw(STRETCH), 1 + draw(STRETCH)
    wide = wide.where(~mirrored, -wide)
    rows = [
        torch.stack([wide * angle.cos(), -angle.sin(), draw(SHIFT)], 1),
        torch.stack([wide * angle.sin(), tall * angle.cos(), draw(SHIFT)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    ink = functional.grid_sample(1 - pictures, grid, align_corners=False)
    return (1 - torch.einsum("nij,njhw->nihw", _turns_of_hue(draw(math.radians(TINT))), ink)).clamp(0, 1)


def _turns_of_hue(angle: Tensor) -> Tensor:
    """Rotations (n, 3, 3) about the axis of the greys by Rodrigues' formula: greys and white stay."""
    axis = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return torch.eye(3, device=angle.device) + sine * axis + (1 - cosine) * axis @ axis


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--prediction", choices=sorted(WEIGHTS), default="eps")
    parser.add_argument("--start", type=Path, help="weights of the noise predictor to go on from")
    parser.add_argument("--output", type=Path)
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    output = options.output or downloads.FOLDER / WEIGHTS[options.prediction].name

    def keep(network: SDNetwork, step: int, loss: float) -> None:
        weights = {name: values.half().cpu().contiguous() for name, values in network.state_dict().items()}
        about = {"date": f"{datetime.date.today()}", "seed": f"{SEED}", "steps": f"{step}", "loss": f"{loss:.4f}"}
        unfinished = output.with_suffix(".part")
        safetensors.torch.save_file(weights, unfinished, about)
        os.replace(unfinished, output)

    output.parent.mkdir(parents=True, exist_ok=True)
    network = load_network(options.prediction, options.start) if options.start else SDNetwork(options.prediction)
    train(network, options.minutes, RATE_ONWARDS if options.start else RATE, device, keep)
    print(f"Wrote {output}.")


if __name__ == "__main__":
    main(parse())
