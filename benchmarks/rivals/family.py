"""A three-parameter family of schedules, and unbounded coordinates for all of a schedule's values."""

from __future__ import annotations

import torch
from torch import Tensor

from hso_core import NoiseSchedule

LEAST_STEP = 1e-3  # in lambda


def family_sigmas(noise: NoiseSchedule, steps: int, rho: float, kappa: float, last: float) -> Tensor:
    """sigma_i = (S^(1/rho) (1 - u) + last^(1/rho) u)^rho with u = (i / (N - 1))^kappa, then 0."""
    u = (torch.arange(steps, dtype=torch.float64) / max(steps - 1, 1)) ** kappa
    high, low = noise.sigma_max ** (1 / rho), last ** (1 / rho)
    return torch.cat([(high * (1 - u) + low * u) ** rho, torch.zeros(1, dtype=torch.float64)])


def free_values(sigmas: Tensor) -> Tensor:
    """Schedule (N + 1,) that ends at 0 -> N - 1 unbounded numbers: logarithms of the ratios of neighbours."""
    inner = sigmas[:-1].double()
    return (inner[:-1].log() - inner[1:].log()).clamp_min(LEAST_STEP).log()


def sigmas_of_free_values(start: float, values: Tensor) -> Tensor:
    """The inverse of `free_values`, from the first sigma `start`."""
    fall = values.double().exp().cumsum(0)
    inner = start * torch.cat([torch.zeros(1, dtype=torch.float64), fall]).neg().exp()
    return torch.cat([inner, torch.zeros(1, dtype=torch.float64)])
