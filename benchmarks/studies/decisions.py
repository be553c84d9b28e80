"""The measurements behind "What we decided" in docs/method.md.

    .venv/bin/python -P benchmarks/studies/decisions.py

Needs the demonstration network and ComfyUI, which `python3 dev.py setup` downloads.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import host_import  # noqa: E402
import workbench  # noqa: E402
from by_path import import_path  # noqa: E402

import_path(REPOSITORY / "hso_core", "hso_core")
galaxy_network = import_path(REPOSITORY / "demo" / "galaxy_network.py", "galaxy_network")

from hso_core import NoiseSchedule, Settings, named_schedule, optimize_schedule  # noqa: E402
from hso_core.method import trust_region  # noqa: E402
from hso_core.method.problem import Problem  # noqa: E402
from hso_core.method.trust_region import minimise_midpoint_error  # noqa: E402

NAMED = ("sd15", "ddpm", "flow:1", "flow:3", "flow:8", "edm:0.002:80")
LARGEST = 100  # steps up to which the spacing is looked at

Denoiser = Callable[[Tensor, float], Tensor]


def sample(denoise: Denoiser, x: Tensor, sigmas: list[float], multistep: bool = False) -> Tensor:
    """Euler, or DPM-Solver++(2M), from x at sigmas[0]; x = x0 + sigma * noise, the last step goes to D."""
    before = None
    for i, (s, t) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
        d = denoise(x, s)
        guess = d
        if multistep and before is not None and t > 0:
            ratio = math.log(sigmas[i - 1] / s) / math.log(s / t)
            guess = d + (d - before) / (2 * ratio)
        x = (t / s) * x + (1 - t / s) * guess
        before = d
    return x


def minimum(noise: NoiseSchedule, intervals: int, t_max: float, t_min: float) -> list[float]:
    """Sigmas (K + 1) of the MEP's minimum between two times."""
    problem = Problem(noise, intervals, Settings(mapping="unipc"))
    psi = torch.tensor([[7.0], [t_min], [t_max]], dtype=torch.float64)
    return noise.sigma_of_lambda(minimise_midpoint_error(problem.starts(psi), 2.0, noise.snr_power).lam[:, 0]).tolist()


def rmse(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().flatten(1).mean(1).sqrt().mean())


def two_steps() -> None:
    network = galaxy_network.load_network(workbench.demo_weights())
    noise = NoiseSchedule(torch.linspace(0.02, 10, 1000, dtype=torch.float64).expm1().sqrt().float())

    def denoise(x: Tensor, sigma: float) -> Tensor:
        with torch.inference_mode():
            return x - sigma * network(x / math.sqrt(1 + sigma**2), torch.full((len(x),), math.log1p(sigma**2)))

    x = torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    fine = torch.logspace(math.log10(noise.sigma_max), math.log10(noise.sigma_min), 200).tolist() + [0.0]
    converged = sample(denoise, x * noise.sigma_max, fine, multistep=True)
    print("\n### Few steps on the demonstration network, euler: mean RMSE to the converged picture, 64 seeds\n")
    print("| steps | DDIM mapping | K = N, the last time gives way to 0 |\n|---|---|---|")
    for steps in (2, 3, 4, 5):
        ddim = minimum(noise, steps - 1, 0.96, 0.03) + [0.0]
        full = minimum(noise, steps, 0.96, 0.03)[:-1] + [0.0]
        errors = [rmse(sample(denoise, x * s[0], s), converged) for s in (ddim, full)]
        print(f"| {steps} | {errors[0]:.3f} | {errors[1]:.3f} |")


def density_first() -> None:
    print("\n### Iterations of the lower level, 60 schedules from every rho, without and with the density first\n")
    print("| noise schedule | steps | without | with |\n|---|---|---|---|")
    with_density = trust_region.equidistribute
    for name in ("sd15", "ddpm", "flow:3", "edm:0.002:80"):
        for steps in (5, 10):
            problem = Problem(named_schedule(name), steps, Settings())
            generator = torch.Generator().manual_seed(0)
            unit = torch.rand(3, 60, generator=generator, dtype=torch.float64)
            start = problem.starts(problem.bounds[:, :1] + unit * problem.bounds.diff(dim=1))
            counts = []
            for move in (lambda lam, *_: lam, with_density):
                trust_region.equidistribute = move
                counts.append(minimise_midpoint_error(start, 2.0, problem.noise.snr_power).iterations)
            print(f"| {name} | {steps} | {counts[0]} | {counts[1]} |")
    trust_region.equidistribute = with_density


def spacing_kept() -> None:
    print(f"\n### Numbers of steps, of 2 to {LARGEST}, with which the schedule found keeps the paper's d_min\n")
    print("| noise schedule | steps |\n|---|---|")
    for name, noise in noise_schedules().items():
        kept = [steps for steps in range(2, LARGEST + 1) if optimize_schedule(noise, steps).spacing_met]
        print(f"| {name} | {', '.join(f'{first} to {last}' for first, last in runs(kept))} |")


def noise_schedules() -> dict[str, NoiseSchedule]:
    host_import.import_host()
    from comfy.model_sampling import StableCascadeSampling

    return {name: named_schedule(name) for name in NAMED} | {"Cascade": NoiseSchedule(StableCascadeSampling().sigmas)}


def runs(numbers: list[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of neighbours in ascending numbers."""
    firsts = [n for n in numbers if n - 1 not in numbers]
    lasts = [n for n in numbers if n + 1 not in numbers]
    return list(zip(firsts, lasts, strict=True))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    two_steps()
    density_first()
    spacing_kept()
