"""The method on scipy, as the paper's authors run it: the oracle of the tests, and a backend on request.

scipy.optimize.differential_evolution over psi (20 members for each parameter, 60 generations, tolerance 0.01, deferred
updating, L-BFGS-B polish) around scipy.optimize.minimize(method="trust-constr") with differences for derivatives. The
formulas are written again here, in numpy, on purpose: an oracle must not share the code that it judges. It takes
seconds to minutes for a schedule.

Two things differ from the authors' code. Where trust-constr stops at its limit of iterations, they return its start;
here what it reached counts, if that is better (their tables never come to that; EDM's do). And the schedule of the psi
found is solved to full precision before it is returned: the paper's tolerances leave errors of about 1e-5 in t, which
gamma = 1e9 turns into per cents of the penalty where the spacing cannot be met, so that the search would report the
luckiest of these errors as its fitness.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import differential_evolution, minimize, root
from torch import Tensor

from .problem import Problem

Array = NDArray[np.float64]


def search(
    problem: Problem, device: torch.device, on_progress: Callable[[int, int], None] | None
) -> tuple[list[float], Tensor, float, int]:
    """psi, lambda (K + 1,), J and the generations bred; `device` has no meaning here."""
    s = problem.settings
    bred = 0

    def count(*_: object) -> None:
        nonlocal bred
        bred += 1

    def told_fitness(psi: Array) -> float:
        if on_progress is not None:  # at each evaluation: a generation may take many seconds
            on_progress(min(bred, s.generations), s.generations)
        return fitness(problem, psi)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "delta_grad == 0.0" of the quasi-Newton update, at every fit
        found = differential_evolution(
            told_fitness,
            problem.bounds.tolist(),
            popsize=s.population,
            maxiter=s.generations,
            tol=s.tolerance,
            seed=s.seed,
            updating="deferred",
            callback=count,
        )
        lam = solved(problem, refined(problem, found.x))
    return found.x.tolist(), torch.from_numpy(lam), float(midpoint_error(problem, lam)), bred


def fitness(problem: Problem, psi: Array) -> float:
    """F(psi): the MEP after the lower level, plus the spacing penalty."""
    lam = refined(problem, psi)
    t = problem.times(torch.from_numpy(lam)).numpy()
    short = np.maximum(0, problem.d_min - np.abs(np.diff(t)))
    return float(midpoint_error(problem, lam) + problem.settings.gamma * np.sum(short**2))


def refined(problem: Problem, psi: Array) -> Array:
    """The lower level from psi's start, with the paper's tolerances and derivatives by differences."""
    start = edm_start(problem, psi)
    if problem.intervals < 2:
        return start
    options = {"maxiter": problem.settings.iterations, "xtol": 1e-6, "gtol": 1e-6, "finite_diff_rel_step": 1e-7}
    lam = _minimised(problem, start, options)
    return lam if midpoint_error(problem, lam) < midpoint_error(problem, start) else start


def solved(problem: Problem, lam: Array) -> Array:
    """The minimum of J near lam, to full precision: as the root of the gradient, exact by complex steps."""
    if problem.intervals < 2:
        return lam
    step = 1e-30j * np.eye(len(lam))[1:-1]

    def gradient(inner: Array) -> Array:
        full = np.concatenate([lam[:1], inner, lam[-1:]])
        return np.imag([midpoint_error(problem, full + one) for one in step]) / 1e-30

    near = _minimised(problem, lam, {"maxiter": 3000, "xtol": 1e-14, "gtol": 1e-10}, jac=gradient)
    with np.errstate(all="ignore"):
        found = root(gradient, near[1:-1], tol=1e-14)
        result = np.concatenate([lam[:1], found.x, lam[-1:]])
        better = np.all(np.diff(result) > 0) and np.abs(gradient(found.x)).max() <= np.abs(gradient(near[1:-1])).max()
    return result if better else near


def _minimised(problem: Problem, lam: Array, options: dict[str, float], **derivatives: object) -> Array:
    """J's minimum from lam by trust-constr, the ends held; crossing lambdas cost 1e12, as in the authors' code."""

    def objective(inner: Array) -> float:
        full = np.sort(np.concatenate([lam[:1], inner, lam[-1:]]))
        return float(midpoint_error(problem, full)) if np.all(np.diff(full) > 0) else 1e12

    found = minimize(objective, lam[1:-1], method="trust-constr", options=options, **derivatives)
    return np.concatenate([lam[:1], np.sort(found.x), lam[-1:]])


def edm_start(problem: Problem, psi: Array) -> Array:
    """Lambda_init(psi), ascending: sigma/alpha evenly spaced in its power 1/rho."""
    rho = psi[0]
    ends = problem.noise.lambda_of_t(torch.tensor([psi[2], psi[1]], dtype=torch.float64, device="cpu")).numpy()
    noise_to_signal = np.exp(-ends)
    u = np.linspace(0, 1, problem.intervals + 1)
    lam = -np.log((noise_to_signal[0] ** (1 / rho) * (1 - u) + noise_to_signal[1] ** (1 / rho) * u) ** rho)
    lam[[0, -1]] = ends
    return np.asarray(lam)


def midpoint_error(problem: Problem, lam: Array) -> Any:
    """J(lam) with eps = sigma^p / alpha, alpha and sigma in the model's own convention; complex for complex lam."""
    middle = (lam[1:] + lam[:-1]) / 2
    alpha = 1 / (1 + np.exp(-middle)) if problem.noise.family == "flow" else 1 / np.sqrt(1 + np.exp(-2 * middle))
    sigma = alpha * np.exp(-middle)
    eps = sigma**problem.settings.exponent / alpha
    return np.sum(eps * (np.exp(lam[1:]) - np.exp(lam[:-1])))
