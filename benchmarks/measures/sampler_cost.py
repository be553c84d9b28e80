"""What a fitted sampler costs beside ComfyUI's dpmpp_2m: both on a model of so many milliseconds, in turn, in one run.

    .venv/bin/python -m benchmarks.measures.sampler_cost [--milliseconds 1] [--steps 4 8 20] [--repeats 40]

Prints a Markdown table. The weights are those of a full fit: every step takes every prediction so far. The model is a
wait of that length, so the rest of the time is the samplers' own. Times are medians.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hso_core.solvers import LinearMultistep

from ..models.solvers import host_sampler

SIZES = {"SD 1.5, 512 x 512": (1, 4, 64, 64), "SDXL, 1024 x 1024": (1, 4, 128, 128), "Flux": (1, 16, 128, 128)}
Sample = Callable[[Tensor], Tensor]


def waiting(milliseconds: float) -> Callable[..., Tensor]:
    """A model that takes so long, and gives the latent a little smaller."""

    def model(x: Tensor, sigma: Tensor, **_: object) -> Tensor:
        until = time.perf_counter() + milliseconds / 1000
        denoised = 0.9 * x
        while time.perf_counter() < until:
            pass
        return denoised

    return model


def full_solver(sigmas: Tensor) -> LinearMultistep:
    """Weights without zeros, the sum of each step's 1."""
    steps = len(sigmas) - 1
    weights = torch.rand(steps, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).tril() - 0.5
    weights = weights.tril()
    weights[:, 0] += 1 - weights.sum(1)
    return LinearMultistep(sigmas, weights)


def cost(shape: tuple[int, ...], steps: int, milliseconds: float, repeats: int) -> tuple[float, float]:
    """Median milliseconds of a run of dpmpp_2m and of a fitted sampler."""
    sigmas = torch.cat([torch.linspace(2.6, -3.5, steps).exp(), torch.zeros(1)])
    model, solver, known = waiting(milliseconds), full_solver(sigmas), host_sampler("dpmpp_2m")
    start = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    both: Sequence[Sample] = (
        lambda x: known(model, x, sigmas, extra_args={}, disable=True),
        lambda x: solver.sample(model, x, sigmas),
    )
    times = [[_milliseconds(sample, start) for sample in both] for _ in range(repeats)]
    first, second = (statistics.median(each) for each in zip(*times, strict=True))
    return first, second


def _milliseconds(sample: Sample, x: Tensor) -> float:
    begun = time.perf_counter()
    sample(x)
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=1.0)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 20])
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    print(f"{datetime.date.today()}, {os.cpu_count()} {platform.machine()} CPU cores, torch {torch.__version__}\n")
    print("| latent | steps | dpmpp_2m, ms | fitted, ms | ratio |\n|---|---|---|---|---|")
    with torch.inference_mode():
        for name, shape in SIZES.items():
            for steps in options.steps:
                first, second = cost(shape, steps, options.milliseconds, options.repeats)
                print(f"| {name} | {steps} | {first:.2f} | {second:.2f} | {second / first:.3f} |", flush=True)


if __name__ == "__main__":
    main()
