"""Spacing-Penalized Fitness: the least distance in time that two neighbouring steps must keep, and its price."""

from __future__ import annotations

import torch
from torch import Tensor

NFE_LOW, NFE_HIGH = 4, 20  # the paper's d_min is linear between these step counts and constant outside


def least_spacing(steps: int, at_low: float = 0.15, at_high: float = 0.01) -> float:
    """d_min(N): `at_low` up to N = 4, `at_high` from N = 20 on, linear between (paper, SPF)."""
    weight = (min(max(steps, NFE_LOW), NFE_HIGH) - NFE_LOW) / (NFE_HIGH - NFE_LOW)
    return at_low + weight * (at_high - at_low)


def shortfall(times: Tensor, d_min: float) -> Tensor:
    """max(0, d_min - |t_{i+1} - t_i|) for times (n, ...), descending. Returns (n - 1, ...)."""
    return torch.relu(d_min - (times[:-1] - times[1:]))


def spacing_penalty(times: Tensor, d_min: float, gamma: float) -> Tensor:
    """gamma * sum of the squared shortfalls (paper, SPF). times (n, ...); returns (...)."""
    return gamma * shortfall(times, d_min).square().sum(0)
