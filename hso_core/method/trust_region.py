"""The lower level: minimise the Midpoint Error Proxy over the inner lambdas, a whole population at once.

Newton's method with exact derivatives in the Levenberg-Marquardt form of a trust region (More 1978; Nocedal & Wright,
ch. 4): solve (H + mu D) s = -g, keep the step where the objective falls as the model predicts, and raise mu, which
shrinks the region, where it does not. Every step is cut so that no interval loses more than 9/10 of its width:
the order of the lambdas can never change. Before the first step the lambdas move to where the closed-form density of
steps wants them, which takes a start from any rho most of the way (benchmarks/studies/decisions.py counts the
iterations).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .midpoint_error import (
    Derivatives,
    equidistribute,
    midpoint_error,
    midpoint_error_derivatives,
    sum_on_ends,
)

ACCEPT = 1e-4  # least ratio of actual to predicted decrease
SHRINK, GROW = 0.25, 0.75  # below and above these ratios the region changes
KEEP_WIDTH = 0.1  # part of an interval that a step leaves
BLIND = 1e-12  # decrease, relative to J, that float64 cannot see
EXACT = 1e-7  # relative change of an interval at which a Newton step is the last one; its error is the square of that


class Refined(NamedTuple):
    """lam (K+1, P) ascending; objective J (P,); converged (P,) bool; iterations until all had stopped."""

    lam: Tensor
    objective: Tensor
    converged: Tensor
    iterations: int


def minimise_midpoint_error(
    lam: Tensor, p: float, k: int, max_iterations: int = 80, tolerance: float = EXACT
) -> Refined:
    """Local minimum of J for each column of lam (K+1, P), strictly ascending, both ends held.

    p is the exponent of the MEP, k the power of the family (`NoiseSchedule.snr_power`). A member has converged when a
    full Newton step changes no interval by more than the fraction `tolerance`; that step is still taken. (In a very
    narrow range of lambda it has when rounding hides all further progress.)
    """
    if lam.shape[0] < 3:
        return Refined(lam, midpoint_error(lam, p, k), torch.ones_like(lam[0], dtype=torch.bool), 0)
    if p <= 2:  # beyond, the density vanishes at low noise and says nothing there
        for _ in range(2):
            lam = equidistribute(lam, lam.shape[0] - 1, p, k)
    mu = torch.zeros_like(lam[0])
    done = torch.zeros_like(mu, dtype=torch.bool)
    here = midpoint_error_derivatives(lam, p, k)
    iteration = 0
    while iteration < max_iterations and not bool(done.all()):
        iteration += 1
        step, predicted, change, size = _damped_newton_step(lam, here, mu)
        trial = torch.cat([lam[:1], lam[1:-1] + step, lam[-1:]])
        there = midpoint_error_derivatives(trial, p, k)
        ratio = (here.value - there.value) / predicted
        blind = predicted <= BLIND * here.value
        if bool(blind.any()):
            # At low noise the objective is so flat that its value shows no change; the gradient still does.
            ratio = torch.where(blind, 1 - _weighted_square(there, size) / _weighted_square(here, size), ratio)
        accept = ratio >= ACCEPT
        # Either the step is small enough, or not even a damped one lowers what float64 can still see.
        done = done | ((mu == 0) & (change <= tolerance)) | (blind & ~accept & (mu > 0))
        if bool(accept.all()):
            lam, here = trial, there
        else:
            lam = torch.where(accept, trial, lam)
            here = Derivatives(*(torch.where(accept, new, old) for new, old in zip(there, here, strict=True)))
        if bool(((ratio < SHRINK) | (mu > 0)).any()):
            mu = torch.where(ratio > GROW, mu * 0.1, torch.where(ratio < SHRINK, (mu * 8).clamp(min=0.125), mu))
            mu = torch.where((mu < 1e-3) | done, 0, mu)
    return Refined(lam, here.value, done, iteration)


def _weighted_square(at: Derivatives, size: Tensor) -> Tensor:
    """Squared length (P,) of the inner gradient, each component in the scale of its curvature."""
    return (at.gradient[1:-1].square() / size).sum(0)


def _damped_newton_step(lam: Tensor, here: Derivatives, mu: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Step (K-1, P) of the inner lambdas, cut to keep their order, and the decrease that the model predicts (P,).

    Also the largest relative change of an interval before the cut (P,), and the scale D (K-1, P).
    """
    g, d, e = here.gradient[1:-1], here.diagonal[1:-1], here.off_diagonal[1:-1]
    size = d.abs() + sum_on_ends(e.abs(), e.abs()) if len(e) else d.abs()
    step = solve_tridiagonal(d + mu * size, e, -g, floor=1e-3 * size)
    change = torch.cat([step[:1], step[1:] - step[:-1], -step[-1:]]) / (lam[1:] - lam[:-1])
    step = step * ((1 - KEEP_WIDTH) / (-change).amax(0).clamp(min=1 - KEEP_WIDTH))
    hessian_step = d * step
    hessian_step[1:] += e * step[:-1]
    hessian_step[:-1] += e * step[1:]
    return step, -(step * (g + 0.5 * hessian_step)).sum(0), change.abs().amax(0), size


def solve_tridiagonal(diagonal: Tensor, off_diagonal: Tensor, right: Tensor, floor: Tensor) -> Tensor:
    """Solve symmetric tridiagonal systems by LDL^T; pivots below `floor` are raised to it.

    diagonal, floor (n, P), off_diagonal (n-1, P), right (n, P) or (n, m, P). Returns the shape of `right`. Positive
    definite matrices do not touch the floor; otherwise the raised pivots make the step a descent direction.
    """
    d, e, low, b = diagonal.unbind(), off_diagonal.unbind(), floor.unbind(), list(right.unbind())
    pivot = [torch.maximum(d[0], low[0])]
    ratio = []
    for i in range(1, len(d)):
        r = e[i - 1] / pivot[-1]
        pivot.append(torch.maximum(d[i] - r * e[i - 1], low[i]))
        b[i] = torch.addcmul(b[i], r, b[i - 1], value=-1)
        ratio.append(r)
    x = [b[-1] / pivot[-1]]
    for i in range(len(d) - 2, -1, -1):
        x.append(torch.addcmul(b[i] / pivot[i], ratio[i], x[-1], value=-1))
    return torch.stack(x[::-1])
