"""DM-NonUniform (Xue et al., CVPR 2024, arXiv 2402.17376): a schedule from a bound on what UniPC's weights amplify.

Our own writing of its objective: each evaluation at lambda_i carries an error of at most eps_i = sigma_i^p / alpha_i
(p = 2 for latents), and enters the steps that use it with weights w_ij, the integrals of e^lambda times Lagrange
polynomials. Minimised is sum_i eps_i |sum_j w_ij|; the first steps are summed without cancellation where N <= 7.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.polynomial import polynomial
from scipy.optimize import LinearConstraint, minimize

from hso_core import NoiseSchedule

LATENT_POWER = 2
ORDER = 3
FEW, KEPT_APART = 7, 3  # up to FEW steps, the first KEPT_APART are summed without cancellation
LEAST_STEP = 1e-3


def dm_nonuniform_lambdas(noise: NoiseSchedule, steps: int) -> np.ndarray:
    """lambda (steps + 1,), ascending, between the ends of the model's table; steps >= 2."""
    ends = noise.lambda_of_t(torch.tensor([1.0, 1e-3], dtype=torch.float64))
    inner = noise.lambda_of_t(torch.linspace(1, 1e-3, steps + 1, dtype=torch.float64))[1:-1].numpy()
    low, high = ends.tolist()

    def objective(values: np.ndarray) -> float:
        return error_bound(np.concatenate([[low], values, [high]]), KEPT_APART if steps <= FEW else 0)

    rising = LinearConstraint(_differences(steps), *_limits(low, high, steps))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="delta_grad == 0.0")  # a step of length 0 near the end, no harm
        found = minimize(objective, inner, method="trust-constr", constraints=[rising], options={"maxiter": 300})
    return np.concatenate([[low], found.x, [high]])


def error_bound(lam: np.ndarray, kept_apart: int) -> float:
    """The bound for lambda (N + 1,), VP."""
    steps = len(lam) - 1
    noise_size = (1 / np.sqrt(1 + np.exp(2 * lam))) ** LATENT_POWER * np.sqrt(1 + np.exp(-2 * lam))
    gains, apart = np.zeros(steps), 0.0
    for step in range(steps):
        nodes = range(max(0, step - _order(step, steps) + 1), step + 1)
        weights = lagrange_weights(lam[list(nodes)], lam[step], lam[step + 1])
        terms = weights * noise_size[list(nodes)]
        if 0 < step < kept_apart:
            apart += math.sqrt(float(np.square(terms).sum()))
        else:
            gains[list(nodes)] += terms
    return float(np.abs(gains).sum() + apart)


def lagrange_weights(nodes: np.ndarray, low: float, high: float) -> np.ndarray:
    """Integral from low to high of e^lambda times each Lagrange polynomial of `nodes` (k,). Returns (k,)."""
    weights = []
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i) - low
        values = polynomial.polyfromroots(others) / np.prod(node - low - others)
        weights.append(math.exp(low) * _integral_with_exponential(values, high - low))
    return np.array(weights)


def _integral_with_exponential(values: np.ndarray, h: float) -> float:
    """Integral of e^x p(x) from 0 to h, p with ascending coefficients: e^x (p - p' + p'' - ...) is a primitive."""
    primitive, derivative, sign = np.zeros(len(values)), values, 1.0
    for _ in range(len(values)):
        primitive[: len(derivative)] += sign * derivative
        derivative, sign = polynomial.polyder(derivative), -sign
    return math.exp(h) * polynomial.polyval(h, primitive) - polynomial.polyval(0.0, primitive)


def _order(step: int, steps: int) -> int:
    """1, 2, 3, ..., 3, 2, 1."""
    return min(ORDER, step + 1, steps - step)


def _differences(steps: int) -> np.ndarray:
    """Matrix (steps, steps - 1) that takes the inner values to their differences (the ends are in the limits)."""
    return np.eye(steps, steps - 1) - np.eye(steps, steps - 1, -1)


def _limits(low: float, high: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    least = np.full(steps, LEAST_STEP)
    least[0] += low
    least[-1] -= high
    return least, np.full(steps, np.inf)
