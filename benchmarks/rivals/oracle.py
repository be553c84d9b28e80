"""How good a schedule can be: long direct optimisation of all sigmas on many seeds, none of which is measured on.

    .venv/bin/python -m benchmarks.rivals.oracle [MODEL ...]

finds what is missing in oracle_schedules/, which is committed: the benchmark takes its oracle from there.
Each trial runs the sampler on SEEDS. First the family of schedules of family.py, from several starts; then a simplex
over all sigmas from the best of that and of all rivals. The oracle is a bound that was reached, not a proven optimum.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ..models.catalogue import MODELS, TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import SOLVERS, SolverRun
from .calibrated import FIRST_SEEDS, calibrated_schedule
from .family import family_sigmas, free_values, sigmas_of_free_values
from .schedules import ORACLES, STEPS, all_rivals, oracle_sigmas, read_oracles

FIRST_SEED = 50_000
SEEDS = {0: 8, 1: 48, 2: 24}  # by tier
TRIALS = {0: 150, 1: 100, 2: 36}  # of the family, from all starts together
FREE_TRIALS = {0: 600, 1: 300, 2: 80}
FAMILY_STARTS = ((7.0, 1.0, 0.3), (1.0, 1.0, 1.0))  # rho, kappa, last sigma (of data of standard deviation 1)


def search(model: TestModel, solver: str, steps: int) -> tuple[Tensor, float]:
    """The best schedule found, and its mean RMSE on the seeds of the search."""
    objective = Objective(model, solver)
    objective(calibrated_schedule(model, solver, steps, "normal", FIRST_SEEDS[0]))
    for _, sigmas in all_rivals(model, solver, steps):
        objective(sigmas)
    for start in FAMILY_STARTS:
        _search_family(objective, model, steps, start, TRIALS[model.tier] // len(FAMILY_STARTS))
    for share in (0.6, 0.4):  # the simplex is restarted once, where the first has shrunk
        _search_free(objective, model, steps, round(share * FREE_TRIALS[model.tier]))
    return objective.best, objective.least


class Objective:
    """Mean RMSE of a schedule to the converged solution; remembers the best schedule that it was asked for."""

    def __init__(self, model: TestModel, solver: str) -> None:
        self.seeds = range(FIRST_SEED, FIRST_SEED + SEEDS[model.tier])
        self.run = SolverRun(model, solver, batch=64)
        self.converged = converged(model, self.seeds)
        self.best, self.least = torch.zeros(0), math.inf

    def __call__(self, sigmas: Tensor) -> float:
        if not bool((sigmas.float().diff() < 0).all() & sigmas.isfinite().all()):
            return math.inf
        error = float(distances(self.run(sigmas, self.seeds).latents, self.converged).mean())
        if error < self.least:
            self.best, self.least = sigmas.float(), error
        return error if math.isfinite(error) else math.inf


def _search_family(
    objective: Objective, model: TestModel, steps: int, start: tuple[float, float, float], trials: int
) -> None:
    lowest, highest = model.noise.sigma_min, 0.5 * model.noise.sigma_max

    def error(values: np.ndarray) -> float:
        rho, kappa, last = np.exp(np.clip(values, -20, 20))
        outside = rho < 0.3 or rho > 30 or not lowest < last < highest
        return math.inf if outside else objective(family_sigmas(model.noise, steps, rho, kappa, last))

    _simplex(error, np.log(start), 0.4, trials)


def _search_free(objective: Objective, model: TestModel, steps: int, trials: int) -> None:
    start = float(objective.best[0])

    def error(values: np.ndarray) -> float:
        sigmas = sigmas_of_free_values(start, torch.from_numpy(values))
        return objective(sigmas) if sigmas[-2] > 1e-3 else math.inf

    _simplex(error, free_values(objective.best).numpy(), 0.15, trials)


def _simplex(error: Callable[[np.ndarray], float], start: np.ndarray, size: float, trials: int) -> None:
    corners = np.vstack([start, start + size * np.eye(len(start))])
    options = {"maxfev": trials, "initial_simplex": corners, "adaptive": len(start) > 4, "xatol": 1e-4, "fatol": 1e-7}
    minimize(error, start, method="Nelder-Mead", options=options)


def _keep(model: str, solver: str, steps: int, sigmas: Tensor, error: float) -> None:
    table = read_oracles(model)
    entry = {"sigmas": [float(f"{s:.6g}") for s in sigmas.tolist()], "searched_rmse": float(f"{error:.4g}")}
    table.setdefault(solver, {})[str(steps)] = entry
    lines = [f' "{name}": ' + json.dumps(table[name], sort_keys=True) for name in sorted(table)]
    ORACLES.mkdir(exist_ok=True)
    (ORACLES / f"{model}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    torch.set_num_threads(1)
    options = parser.parse_args()
    for name in options.models:
        for solver in options.solvers:
            for steps in options.steps:
                if oracle_sigmas(name, solver, steps) is None:
                    began = time.perf_counter()
                    sigmas, error = search(load_model(name), solver, steps)
                    _keep(name, solver, steps, sigmas, error)
                    print(f"{name} {solver} {steps}: {error:.5f} in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
