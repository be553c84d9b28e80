"""The host's own multistep solvers as tables of weights (see linear_multistep.py), one function each.

Each gives the weights (..., N, N) that reproduce the host's sampler of its name on a grid (..., N + 1). A last step to
0 puts out the last prediction with all of them. (The host's uni_pc ends at sigma 0.001 where it is asked for 0.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import factorial

import numpy as np
import torch
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .linear_multistep import LinearMultistep

Array = NDArray[np.float64]

START_PERCENT = 1e-4  # the host's 3M starts a flow model there, since lambda is infinite at sigma 1
DEIS_RANGE, DEIS_START = (0.002, 80.0), 1e-3  # of the VP process that gives deis its time, for every model
QUADRATURE = np.polynomial.legendre.leggauss(48)
BASHFORTH = ([1.0], [1.5, -0.5], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24])


@dataclass(frozen=True)
class Grid:
    """Schedules (..., N + 1), falling, as the solvers look at them.

    sigmas as the sampler takes them; lam the model's half-log-SNR; mu = -ln sigma; kappa = 1 / sigma.
    """

    sigmas: Array
    lam: Array

    @classmethod
    def of(cls, sigmas: Array, noise: NoiseSchedule) -> Grid:
        """For a model with `noise`."""
        start = float(noise.sigma_of_t(torch.tensor(1 - START_PERCENT, dtype=torch.float64, device="cpu")))
        finite = np.where(sigmas >= 1, start, sigmas) if noise.family == "flow" else sigmas
        return cls(sigmas, noise.lambda_of_sigma(torch.from_numpy(finite)).numpy())

    @cached_property
    def mu(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(self.sigmas))

    @cached_property
    def kappa(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.sigmas)

    @property
    def steps(self) -> int:
        return int(self.sigmas.shape[-1]) - 1

    @property
    def inner(self) -> int:
        """Steps that do not lead to 0."""
        return self.steps - bool((self.sigmas[..., -1] == 0).all())


def known_solver(name: str, sigmas: Tensor, noise: NoiseSchedule) -> LinearMultistep:
    """The host's solver `name`, one of SOLVERS, on the schedule `sigmas` (N + 1,) of a model with `noise`."""
    grid = Grid.of(sigmas.detach().cpu().double().numpy(), noise)
    return LinearMultistep(sigmas, torch.from_numpy(SOLVERS[name](grid)))


def euler(grid: Grid) -> Array:
    """Euler's method, which is DDIM."""
    return np.broadcast_to(np.eye(grid.steps), (*grid.sigmas.shape[:-1], grid.steps, grid.steps)).copy()


def dpmpp_2m(grid: Grid) -> Array:
    """DPM-Solver++ (2M), Lu et al. 2022, algorithm 2."""
    weights, h = euler(grid), np.diff(grid.mu)
    for i in range(1, grid.inner):
        share = 0.5 * h[..., i] / h[..., i - 1]
        weights[..., i, i] += share
        weights[..., i, i - 1] -= share
    return weights


def res_multistep(grid: Grid) -> Array:
    """The second-order multistep method of Zhang and Chen (RES) 2023, arXiv 2308.02157."""
    weights, h = euler(grid), np.diff(grid.mu)
    for i in range(1, grid.inner):
        phi_1 = -np.expm1(-h[..., i]) / h[..., i]
        share = (1 - phi_1) / -np.expm1(-h[..., i]) * h[..., i] / h[..., i - 1]
        weights[..., i, i] += share
        weights[..., i, i - 1] -= share
    return weights


def dpmpp_3m(grid: Grid) -> Array:
    """DPM-Solver++ (3M) as of k-diffusion's dpmpp_3m_sde with eta = 0, in the model's own half-log-SNR."""
    weights, h = euler(grid), np.diff(grid.lam)
    for i in range(1, grid.inner):
        now, width = h[..., i], -np.expm1(-h[..., i])
        phi_2 = 1 - width / now
        before = h[..., i - 1] / now
        first = np.zeros((*now.shape, i + 1))  # the differences of D, as weights of D_0 ... D_i
        first[..., i], first[..., i - 1] = 1 / before, -1 / before
        bend = np.zeros_like(first)
        if i > 1:
            earlier = h[..., i - 2] / now
            second = np.zeros_like(first)
            second[..., i - 1], second[..., i - 2] = 1 / earlier, -1 / earlier
            bend = (first - second) / (before + earlier)[..., None]
            first = first + bend * before[..., None]
        phi_3 = phi_2 / now - 0.5
        weights[..., i, : i + 1] += (phi_2[..., None] * first - phi_3[..., None] * bend) / width[..., None]
    return weights


def lms(grid: Grid) -> Array:
    """Adams and Bashforth's linear multistep of order 4 in sigma, for the steps as they are (Karras et al. 2022)."""

    def integrals(levels: Array, low: float, high: float) -> Array:
        return _integrals(levels, low, high, lambda level: level, lambda level: np.ones_like(level))

    return _of_slopes(grid, 4, integrals)


def deis(grid: Grid) -> Array:
    """DEIS of order 3 (tab), Zhang and Chen 2023: polynomials in the time of a VP process. The host sums 10 000 values
    for each integral, where this is exact, so that the two agree to 1e-3."""
    low, high = (np.log1p(sigma**2) for sigma in DEIS_RANGE)
    slope = 2 * (low / DEIS_START - high) / (DEIS_START - 1)
    least = high - 0.5 * slope

    def time(sigma: Array) -> Array:
        return np.asarray((np.sqrt(least**2 + 2 * slope * np.log1p(sigma**2)) - least) / slope)

    def growth(t: Array) -> Array:  # d sigma / dt
        exponent = 0.5 * slope * t**2 + least * t
        return np.asarray(0.5 * (slope * t + least) * np.exp(exponent) / np.sqrt(np.expm1(exponent)))

    return _of_slopes(grid, 3, lambda levels, low, high: _integrals(levels, low, high, time, growth))


def ipndm(grid: Grid) -> Array:
    """iPNDM, Zhang and Chen 2023: Adams and Bashforth's weights of order 4 for even steps, whatever the steps are."""

    def integrals(levels: Array, low: float, high: float) -> Array:
        return (high - low) * np.array(BASHFORTH[len(levels) - 1])

    return _of_slopes(grid, 4, integrals)


def uni_pc(grid: Grid) -> Array:
    """UniPC-3 with B(h) = h (bh1) and data prediction, Zhao et al. 2023, algorithms 5 and 6, in the host's orders."""
    return _predictor_corrector(grid, lambda h: np.asarray(-h))


def uni_pc_bh2(grid: Grid) -> Array:
    """The same with B(h) = e^h - 1."""
    return _predictor_corrector(grid, lambda h: np.asarray(np.expm1(-h)))


def _predictor_corrector(grid: Grid, scale: Callable[[Array], Array], most: int = 3) -> Array:
    """A corrector changes y_i once D_i is known, which is a change of the weights of the step that follows."""
    mu, kappa, steps = grid.mu, grid.kappa, grid.steps
    unit = np.eye(steps)
    most = min(most, steps - 1)
    predicted, corrected = np.zeros((2, *grid.sigmas.shape[:-1], steps + 1, steps))  # y_i - y_0, as weights of the D_j
    for k in range(1, grid.inner + 1):
        h = (mu[..., k] - mu[..., k - 1])[..., None]
        order = min(k, most, steps + 1 - k)
        ratios = [(mu[..., k - 1 - j] - mu[..., k - 1]) / h[..., 0] for j in range(1, order)]
        slopes = [np.asarray((unit[k - 1 - j] - unit[k - 1]) / ratio[..., None]) for j, ratio in enumerate(ratios, 1)]
        matrix, right = _order_conditions(np.stack([*ratios, np.ones_like(h[..., 0])], axis=-1), h, scale(h))
        first = corrected[..., k - 1, :] + (kappa[..., k] - kappa[..., k - 1])[..., None] * unit[k - 1]
        factor = -kappa[..., k][..., None] * scale(h)
        half = np.full((*h.shape[:-1], 1), 0.5)  # the host's short cut for the lowest orders
        ahead = half if order == 2 else _solved(matrix[..., :-1, :-1], right[..., :-1])
        predicted[..., k, :] = first + factor * _weighted(ahead, slopes)
        if k < steps:
            behind = half if order == 1 else _solved(matrix, right)
            corrected[..., k, :] = first + factor * _weighted(behind, [*slopes, unit[k] - unit[k - 1]])
    weights = euler(grid)
    for i in range(grid.inner):
        start = predicted[..., i, :]
        weights[..., i, :] = (predicted[..., i + 1, :] - start) / (kappa[..., i + 1] - kappa[..., i])[..., None]
    return weights


def _order_conditions(ratios: Array, h: Array, scale: Array) -> tuple[Array, Array]:
    """R (..., n, n) and b (..., n) of UniPC's equation 9, for ratios (..., n) of steps to the width h (..., 1)."""
    phi = np.expm1(-h[..., 0]) / -h[..., 0] - 1
    rows, right = [], []
    for i in range(1, ratios.shape[-1] + 1):
        rows.append(ratios ** (i - 1))
        right.append(phi * factorial(i) / scale[..., 0])
        phi = phi / -h[..., 0] - 1 / factorial(i + 1)
    return np.stack(rows, axis=-2), np.stack(right, axis=-1)


def _solved(matrix: Array, right: Array) -> Array:
    """x (..., n) of matrix (..., n, n) x = right (..., n)."""
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], dtype=np.float64)


def _weighted(weights: Array, terms: list[Array]) -> Array:
    return np.asarray(sum((weights[..., j : j + 1] * term for j, term in enumerate(terms)), np.zeros(1)))


def _of_slopes(grid: Grid, most: int, integrals: Callable[[Array, float, float], Array]) -> Array:
    """The weights of a method whose step is x' = x + sum_j c_j (x_j - D_j) / sigma_j.

    integrals: the c_j, latest first, for the levels of the slopes (latest first) and the ends of the step.
    """
    if grid.sigmas.ndim > 1:
        each = zip(grid.sigmas, grid.lam, strict=True)
        return np.stack([_of_slopes(Grid(*one), most, integrals) for one in each])
    sigmas, kappa, weights = grid.sigmas, grid.kappa, euler(grid)
    path = np.zeros((len(sigmas), len(weights)))  # y_i - y_0, as weights of the D_j
    slopes: list[Array] = []  # (x_j - D_j) / sigma_j = y_j - kappa_j D_j, less y_0
    for i in range(grid.inner):
        slopes.insert(0, path[i] - kappa[i] * np.eye(len(weights))[i])
        levels = sigmas[max(i - most + 1, 0) : i + 1][::-1]
        moved = integrals(levels, sigmas[i], sigmas[i + 1]) @ np.stack(slopes[: len(levels)])
        path[i + 1] = (sigmas[i] * path[i] + moved) / sigmas[i + 1]
        weights[i] = (path[i + 1] - path[i]) / (kappa[i + 1] - kappa[i])
    return weights


def _integrals(
    levels: Array, low: float, high: float, time: Callable[[Array], Array], growth: Callable[[Array], Array]
) -> Array:
    """Of each Lagrange polynomial in `time` through the levels, from one to the other; growth: d sigma / d time."""
    knots = time(levels)
    start, end = time(np.array([low, high]))
    nodes, masses = QUADRATURE
    at = 0.5 * (end - start) * nodes + 0.5 * (end + start)
    mass = 0.5 * (end - start) * masses * growth(at)
    found = []
    for j, knot in enumerate(knots):
        others = np.delete(knots, j)
        values = polynomial.polyval(at - knot, polynomial.polyfromroots(others - knot)) / np.prod(knot - others)
        found.append((values * mass).sum())
    return np.array(found)


SOLVERS: dict[str, Callable[[Grid], Array]] = {
    "euler": euler,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_3m": dpmpp_3m,
    "res_multistep": res_multistep,
    "lms": lms,
    "ipndm": ipndm,
    "deis": deis,
    "uni_pc": uni_pc,
    "uni_pc_bh2": uni_pc_bh2,
}
