"""Where the samples would end with very many steps: the converged solution that every schedule is measured against."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hso_core import NoiseSchedule

from . import downloads
from .catalogue import TestModel
from .solvers import SolverRun

FOLDER = downloads.FOLDER / "converged"
SOLVER = "dpmpp_2m"
STEPS = {0: 400, 1: 400, 2: 200}  # by tier
FLOW_START = 300.0  # sigma / alpha where a fine flow schedule goes on after sigma = 1


def fine_sigmas(noise: NoiseSchedule, steps: int) -> Tensor:
    """steps + 1 sigmas, evenly spaced in lambda from the model's sigma_max to its sigma_min, then 0."""
    last = float(noise.lambda_of_sigma(torch.tensor(noise.sigma_min, dtype=torch.float64)))
    if noise.family == "vp":
        sigmas = torch.linspace(-math.log(noise.sigma_max), last, steps, dtype=torch.float64).neg().exp()
    else:
        lam = torch.linspace(-math.log(FLOW_START), last, steps - 1, dtype=torch.float64)
        sigmas = torch.cat([torch.tensor([noise.sigma_max], dtype=torch.float64), lam.neg().sigmoid()])
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)]).float()


def converged(model: TestModel, seeds: Sequence[int]) -> Tensor:
    """Converged latents (len(seeds), *shape) of the seeds; computed once and kept on disk."""
    return _kept(model, SOLVER, STEPS[model.tier], seeds)


def convergence(model: TestModel, seeds: Sequence[int]) -> dict[str, float]:
    """Mean RMSE between `converged` and the same with half the steps, and with another solver (heun)."""
    latents, steps = converged(model, seeds), STEPS[model.tier]
    half, other = _kept(model, SOLVER, steps // 2, seeds), _kept(model, "heun", steps, seeds)
    return {"half the steps": mean_distance(half, latents), "heun": mean_distance(other, latents)}


def to_exact_answer(model: TestModel, seeds: Sequence[int]) -> float | None:
    """Mean RMSE between `converged` and the exact solution from the same starts; None where there is none."""
    if model.exact is None:
        return None
    highest = fine_sigmas(model.noise, STEPS[model.tier])[0]
    start = highest * SolverRun(model, SOLVER).start_noise(seeds)
    return mean_distance(converged(model, seeds), model.exact(start, float(highest)))


def _kept(model: TestModel, solver: str, steps: int, seeds: Sequence[int]) -> Tensor:
    """Latents of a fine schedule, computed once and kept on disk."""
    sigmas = fine_sigmas(model.noise, steps)
    what = (model.name, model.about, model.content, sigmas.tolist(), list(seeds), solver)
    key = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    file = FOLDER / f"{model.name}-{key}.safetensors"
    if not file.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        latents = SolverRun(model, solver)(sigmas, seeds).latents
        part = file.with_suffix(f".{os.getpid()}")  # two processes may be at it
        save_file({"latents": latents.contiguous()}, part)
        part.replace(file)
    return load_file(file)["latents"]


def distances(latents: Tensor, others: Tensor) -> Tensor:
    """RMSE of each latent (n,)."""
    return (latents - others).flatten(1).double().square().mean(1).sqrt()


def mean_distance(latents: Tensor, others: Tensor) -> float:
    return float(distances(latents, others).mean())
