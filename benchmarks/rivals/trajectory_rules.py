"""Schedules that others make from trajectories of the model: where it bends, and where it turns.

Our own writing of two published rules, for the velocity v = (x - D) / sigma of dx/dsigma = v, on runs of many steps.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..models.catalogue import TestModel
from ..models.reference import fine_sigmas
from ..models.solvers import SolverRun

RUN_STEPS, RUN_SEEDS = 50, range(95_000, 95_064)  # as SharpEuler: 64 trajectories of 50 steps
SHARP_POWER = 0.5  # what balances the errors of Euler's method


def sharp_euler(model: TestModel, steps: int) -> Tensor:
    """SharpEuler (arXiv 2605.11547): at quantiles of the mean |dv/dsigma|^(1/2). (steps + 1,)."""
    sigmas, velocities = _velocities(model)
    width = -sigmas.diff()
    acceleration = velocities.diff(dim=0).flatten(2).square().mean(2).sqrt() / width[:, None]
    return _at_quantiles(sigmas, acceleration.pow(SHARP_POWER).mean(1) * width, steps)


def equal_rotation(model: TestModel, steps: int) -> Tensor:
    """TORS (arXiv 2603.00763): the same total rotation of the velocity in every step. (steps + 1,)."""
    sigmas, velocities = _velocities(model)
    flat = velocities.flatten(2)
    angle = torch.cosine_similarity(flat[1:], flat[:-1], dim=2).clamp(-1, 1).arccos().mean(1)
    return _at_quantiles(sigmas, angle, steps)


@functools.cache
def _velocities(model: TestModel) -> tuple[Tensor, Tensor]:
    """sigmas (M,) and the velocities there (M, seeds, ...)."""
    seen: list[Tensor] = []
    sigmas = fine_sigmas(model.noise, RUN_STEPS)
    SolverRun(model, "dpmpp_2m")(sigmas, RUN_SEEDS, observe=lambda s, x, d: seen.append((x - d).double() / s))
    return sigmas[:-1].double(), torch.stack(seen)


def _at_quantiles(sigmas: Tensor, mass: Tensor, steps: int) -> Tensor:
    """The levels (steps + 1,) that part the mass (M - 1,) between sigmas (M,) evenly; the last is 0."""
    cumulated = torch.cat([torch.zeros(1).double(), mass.cumsum(0)])
    wanted = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:-1] * cumulated[-1]
    cell = (torch.searchsorted(cumulated, wanted, right=True) - 1).clamp(0, len(mass) - 1)
    share = (wanted - cumulated[cell]) / mass[cell].clamp_min(1e-300)
    levels = torch.lerp(sigmas[cell], sigmas[cell + 1], share.clamp(0, 1))
    return torch.cat([levels, torch.zeros(1).double()]).float()
