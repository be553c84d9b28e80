"""The Midpoint Error Proxy (MEP), the objective of the lower level, with its derivatives and its continuum limit.

J(Lambda) = sum_i eps(lambda_{i+1/2}) (e^{lambda_{i+1}} - e^{lambda_i}),  eps(lambda) = sigma^p / alpha   (paper, MEP)

With g(lambda) = e^lambda eps = sigma^(p-1) each term is g(middle) * 2 sinh(h/2), h the width of the interval. Both
conventions obey alpha^k + sigma^k = 1 (VP: k = 2, flow: k = 1), and with A = alpha^k, q = p - 1:
g' = -q A g and g'' = q A (q A - k (1 - A)) g.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..schedule.noise_schedule import cell_of


class Derivatives(NamedTuple):
    """Value (P,), gradient (K+1, P), Hessian's diagonal (K+1, P) and the diagonal beside it (K, P)."""

    value: Tensor
    gradient: Tensor
    diagonal: Tensor
    off_diagonal: Tensor


def midpoint_error(lam: Tensor, p: float, k: int) -> Tensor:
    """J of schedules lam (K+1, ...), ascending half-log-SNR along the first dimension. Returns (...)."""
    middle, width = 0.5 * (lam[1:] + lam[:-1]), lam[1:] - lam[:-1]
    return (_sigma_power(middle, p - 1, k) * 2 * (0.5 * width).sinh()).sum(0)


def midpoint_error_derivatives(lam: Tensor, p: float, k: int) -> Derivatives:
    """J with its exact gradient and (tridiagonal) Hessian in all K+1 values of lam (K+1, P), K >= 1."""
    middle, e = 0.5 * (lam[1:] + lam[:-1]), (0.5 * (lam[1:] - lam[:-1])).exp()
    q = p - 1
    a = (k * middle).sigmoid()
    g = _sigma_power(middle, q, k)
    qa = q * a
    inverse = e.reciprocal()
    term = g * (e - inverse)  # g 2sinh(h/2)
    wide = g * (e + inverse) * 0.5  # its slope in h
    slide = qa * term * -0.5  # half its slope in the middle
    curve = qa * (qa - k * (1 - a))
    quarter = 0.25 * term
    bent, tilt = quarter * (curve + 1), qa * wide
    return Derivatives(
        value=term.sum(0),
        gradient=sum_on_ends(slide - wide, slide + wide),
        diagonal=sum_on_ends(bent + tilt, bent - tilt),
        off_diagonal=quarter * (curve - 1),
    )


def sum_on_ends(left: Tensor, right: Tensor) -> Tensor:
    """From a value for the left and one for the right end of each interval, (K, P): the sum at each point, (K+1, P)."""
    return torch.cat([left[:1], right[:-1] + left[1:], right[-1:]])


def step_density(lam: Tensor, p: float, k: int) -> Tensor:
    """Density of steps in lambda that minimises J as K grows, up to a factor: (g - g'')^(1/3).

    For VP and p = 2 this is sigma (4 - 3 sigma^2)^(1/3). Where g - g'' is negative (p > 2, low noise) it is 0.
    """
    a = (k * lam).sigmoid()
    qa = (p - 1) * a
    return (_sigma_power(lam, p - 1, k) * (1 - qa * (qa - k * (1 - a)))).clamp(min=0).pow(1 / 3)


def equidistribute(lam: Tensor, intervals: int, p: float, k: int) -> Tensor:
    """Split the integral of `step_density` over the grid lam (M+1, P), ascending, evenly: (intervals + 1, P).

    The density is taken as constant in each cell of the grid (de Boor 1973). Both ends stay as they are.
    """
    width = lam[1:] - lam[:-1]
    density = step_density(0.5 * (lam[1:] + lam[:-1]), p, k)
    # A trace of uniform density keeps the integral invertible where the density vanishes.
    cells = width * (density + 1e-6 * density.amax(0))
    mass = torch.cat([torch.zeros_like(cells[:1]), cells.cumsum(0)])
    wanted = mass[-1] * torch.arange(1, intervals, dtype=lam.dtype, device=lam.device)[:, None] / intervals
    # One search for all members: each one's mass is scaled to 1 and moved to its own place on a common axis.
    member = torch.arange(lam.shape[1], dtype=lam.dtype, device=lam.device)
    axis, place = (mass / mass[-1] + member).T.flatten(), wanted / mass[-1] + member
    cell = cell_of(axis, place, len(axis)) - (len(cells) + 1) * member.long()
    cell = cell.clamp_(0, len(cells) - 1)
    filled = (wanted - mass.gather(0, cell)) / cells.gather(0, cell)
    return torch.cat([lam[:1], lam.gather(0, cell) + filled * width.gather(0, cell), lam[-1:]])


def _sigma_power(lam: Tensor, q: float, k: int) -> Tensor:
    """sigma^q, sigma = sigmoid(-k lambda)^(1/k). (torch's logsigmoid would start threads for a handful of numbers.)"""
    return torch.sigmoid(-k * lam).pow(q / k)
