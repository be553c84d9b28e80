"""Train the small flow-matching network of the benchmark on 5000 handwritten digits, on the GPU if there is one.

    .venv/bin/python -m benchmarks.models.train_flow [--steps 10000] [--output FILE]

Writes the weights and, beside them, a page of samples, by default into .host/benchmark: 13 minutes on two CPU cores.
The committed weights are flow_network.safetensors beside this file. Only with `--output` of that name are they written
over, and then all that was measured with them is to be measured anew. The digits are turned, moved and stretched a
little each time, so that the network cannot learn them by heart.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import downloads
from .catalogue import digit_table, standardised
from .flow_network import ANY, SIDE, WEIGHTS, FlowNetwork

BATCH = 128
RATE = 2e-3
DECAY = 0.999
NO_LABEL = 0.15
"""Share of the pictures that are shown without their label, for guidance."""
TURN, STRETCH, SHIFT = 10.0, 0.1, 0.1
"""Largest changes of a picture: degrees, share of its size, share of half its side."""
SEED = 66


def train(steps: int, device: torch.device) -> FlowNetwork:
    """The network after so many steps: the running mean of its weights."""
    torch.manual_seed(SEED)
    pictures, labels = digit_table()
    pictures, labels = standardised(pictures).to(device), labels.to(device)
    network = FlowNetwork().to(device)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.05)
    began, running = time.perf_counter(), math.nan
    for step in range(1, steps + 1):
        chosen = torch.randint(len(pictures), (BATCH,), device=device)
        loss = velocity_loss(network, _changed(pictures[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        running = loss.item() if step == 1 else 0.99 * running + 0.01 * loss.item()
        if step % 200 == 0 or step == steps:
            print(f"{step}/{steps}: loss {running:.4f}, {time.perf_counter() - began:.0f} s", flush=True)
    trained: FlowNetwork = averaged.module
    return trained.eval().requires_grad_(False)


def velocity_loss(network: FlowNetwork, x0: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the velocity, at times more often in the middle than at the ends (Esser et al., 2024)."""
    noise = torch.randn_like(x0)
    middle = torch.rand(len(x0), device=x0.device) < 0.7
    t = torch.where(middle, torch.randn(len(x0), device=x0.device).sigmoid(), torch.rand(len(x0), device=x0.device))
    at = t[:, None, None, None]
    labels = labels.where(torch.rand(len(x0), device=x0.device) >= NO_LABEL, ANY)
    return functional.mse_loss(network((1 - at) * x0 + at * noise, t, labels), noise - x0)


def _changed(pictures: Tensor) -> Tensor:
    """The pictures, each turned, stretched and moved a little; what comes in from outside is paper."""
    count, device = len(pictures), pictures.device

    def draw(most: float) -> Tensor:
        return (2 * torch.rand(count, device=device) - 1) * most

    angle, wide, tall = draw(math.radians(TURN)), 1 + draw(STRETCH), 1 + draw(STRETCH)
    rows = [
        torch.stack([wide * angle.cos(), -angle.sin(), draw(SHIFT)], 1),
        torch.stack([angle.sin(), tall * angle.cos(), draw(SHIFT)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def samples(network: FlowNetwork, device: torch.device, steps: int = 50) -> Tensor:
    """Twelve pictures of each label, ANY last: (11 * 12, 1, SIDE, SIDE)."""
    labels = torch.arange(ANY + 1, device=device).repeat_interleave(12)
    x = torch.randn(len(labels), 1, SIDE, SIDE, generator=torch.Generator().manual_seed(SEED)).to(device)
    times = torch.linspace(1, 0, steps + 1).tolist()
    for t, following in zip(times, times[1:], strict=False):
        x = x + (following - t) * network(x, torch.full((len(x),), t, device=device), labels)
    return x.cpu()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=downloads.FOLDER / WEIGHTS.name)
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = train(options.steps, device)
    weights = {name: values.half().cpu().contiguous() for name, values in network.state_dict().items()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(weights, options.output)
    page = options.output.with_suffix(".png")
    drawn = samples(network, device).view(ANY + 1, -1, SIDE, SIDE).transpose(1, 2).flatten(2).flatten(0, 1)
    Image.fromarray((255 * (drawn - drawn.min()) / (drawn.max() - drawn.min())).byte().numpy()).save(page)
    print(f"Wrote {options.output} and {page}.")


if __name__ == "__main__":
    main(parse())
