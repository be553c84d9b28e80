"""The closed form of the lower level in the limit of many steps."""

from __future__ import annotations

import torch
from torch import Tensor

from hso_core.method.midpoint_error import equidistribute


def density_schedule(lambda_first: float, lambda_last: float, intervals: int, p: float, k: int) -> Tensor:
    """The K + 1 values of lambda that split the integral of `step_density` evenly: J's minimiser up to O(1/K^2).

    Returns (K + 1,) float64.
    """
    grid = torch.linspace(lambda_first, lambda_last, max(8193, 64 * intervals + 1), dtype=torch.float64)
    return equidistribute(grid[:, None], intervals, p, k)[:, 0]
