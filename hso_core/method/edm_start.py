"""The starting schedule of the lower level: the EDM formula between two times (paper; Karras et al. 2022, eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor


def edm_start(rho: Tensor, lambda_first: Tensor, lambda_last: Tensor, intervals: int) -> Tensor:
    """Lambda_init(psi): lambda of K + 1 sigmas that are evenly spaced in sigma^(1/rho).

    rho, lambda_first (at t_max), lambda_last (at t_min): (P,). Returns (K + 1, P), ascending, both ends as given.
    """
    first, last = (-lambda_first / rho).exp(), (-lambda_last / rho).exp()  # (sigma/alpha)^(1/rho)
    u = torch.arange(1, intervals, dtype=first.dtype, device=first.device)[:, None] / intervals
    inner = -rho * (first + u * (last - first)).log()
    return torch.cat([lambda_first[None], inner, lambda_last[None]])
