"""What foretells how often seeds end in another picture, and what it gains to heed it: see docs/calibration.md.

    .venv/bin/python -m benchmarks.quality.jumps [--models MODEL ...]

First: schedules of a cell run on few seeds and on the test seeds. How much of the differences of the true mean distance
is explained by what is measured on the few seeds, and how much with the error of the prediction that is foretold on the
way? Second: the calibration with that in its loss, and without.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate
from hso_core.calibration.generators import Forecasts, compact_schedule
from hso_core.calibration.reference import Reference, reference_sigmas

from .calibrated import FIRST_SEED, REFERENCE_SOLVER
from .cells import test_seeds
from .models import TestModel, load_model
from .reference import converged, distances
from .report import markdown
from .rivals import built_in_rivals, model_free_rivals
from .solvers import SOLVERS, SolverRun

Array = NDArray[np.float64]

MODELS = ("digits-0.15", "digits-0.3", "digits-1", "digits-3", "digits-flow")
STEPS = (4, 5, 6, 8, 10)
FEW = range(FIRST_SEED, FIRST_SEED + 10)
REFERENCE = (18, range(FIRST_SEED, FIRST_SEED + 10))  # steps and seeds of the forecast
DRAWN = 40  # schedules of the compact family
WORST = 3.0  # times the least true mean: schedules worse than that are left out, nobody would choose among them
FIRST_SEEDS = (10_000, 11_000, 12_000, 13_000)
SURELY = 1.03


# -- what foretells the true mean --------------------------------------------------------------------------------------


def cell_facts(name: str, solver: str, steps: int) -> Array:
    """(schedules, 4) logarithms, less their means: the true mean; mean, geometric mean on few seeds; foretold error."""
    torch.set_num_threads(1)
    model = load_model(name)
    run = SolverRun(model, solver)
    schedules = list(_schedules(model, solver, steps))
    means = np.array([_errors(run, sigmas).mean() for sigmas in schedules])
    few = torch.stack([distances(run(sigmas, FEW).latents, converged(model, FEW)) for sigmas in schedules]).numpy()
    foretold = _foretold(model, schedules)
    kept = means < WORST * means.min()
    facts = np.log(np.stack([means, few.mean(1), np.exp(np.log(few).mean(1)), foretold], axis=1)[kept])
    return np.asarray(facts - facts.mean(0))


def _schedules(model: TestModel, solver: str, steps: int) -> Iterator[Tensor]:
    for _, sigmas in built_in_rivals(model, solver, steps):
        yield sigmas
    rng = np.random.default_rng(66)
    scale = float(converged(model, test_seeds(model)).std())
    for _ in range(DRAWN):
        rho, power, end = rng.uniform(1, 9), rng.uniform(0.8, 1.3), np.exp(rng.uniform(np.log(0.1), np.log(2.0)))
        yield compact_schedule(model.noise, steps, rho, power, end * scale).float()


def _foretold(model: TestModel, schedules: Sequence[Tensor]) -> Array:
    steps, seeds = REFERENCE
    reference = Reference(SolverRun(model, REFERENCE_SOLVER), reference_sigmas(model.noise, steps), seeds[0])
    reference.extend(range(len(seeds)))
    return Forecasts(reference.profile(), model.noise).midway(np.stack([s[:-1].double().numpy() for s in schedules]))


def explained(facts: Array, columns: Sequence[int]) -> float:
    """Share of the variance of the first column that a linear rule of the others explains."""
    chosen = facts[:, list(columns)]
    weights = np.linalg.lstsq(chosen, facts[:, 0], rcond=None)[0]
    return float(1 - np.square(facts[:, 0] - chosen @ weights).sum() / np.square(facts[:, 0]).sum())


# -- what it gains -----------------------------------------------------------------------------------------------------


def ratios(name: str, solver: str, steps: int, first_seed: int) -> Array:
    """(2, 3): the calibration as it is, and without the foretold risk; each to the best built-in of the cell: ratio of
    mean and median RMSE, and whether it is surely worse."""
    torch.set_num_threads(1)
    model = load_model(name)
    run, best = SolverRun(model, solver), _best_built_in(name, solver, steps)
    found = []
    for heeded in (True, False):
        sigmas = _calibrated(model, solver, steps, first_seed, heeded)
        own = _errors(run, sigmas)
        draws = np.random.default_rng(66).integers(len(own), size=(2000, len(own)))
        low = np.quantile(own[draws].mean(1) / best[draws].mean(1), 0.025)
        found.append((own.mean() / best.mean(), np.median(own) / np.median(best), low > SURELY))
    return np.array(found)


@functools.cache
def _best_built_in(name: str, solver: str, steps: int) -> Array:
    model = load_model(name)
    run = SolverRun(model, solver)
    return min((_errors(run, sigmas) for _, sigmas in built_in_rivals(model, solver, steps)), key=np.mean)


def _errors(run: SolverRun, sigmas: Tensor) -> Array:
    """RMSE of each test seed."""
    seeds = test_seeds(run.model)
    return np.asarray(distances(run(sigmas, seeds).latents, converged(run.model, seeds)).numpy())


def _calibrated(model: TestModel, solver: str, steps: int, first_seed: int, heeded: bool) -> Tensor:
    run, reference_run = SolverRun(model, solver), SolverRun(model, REFERENCE_SOLVER)
    candidates = dict(model_free_rivals(model, solver, steps))
    budget = BUDGETS["normal"]
    nothing = mock.patch.object(Forecasts, "midway", lambda self, sigmas: np.full(len(sigmas), 1e-9))
    with contextlib.nullcontext() if heeded else nothing:
        return calibrate(run, reference_run, candidates, steps, model.noise, budget, first_seed=first_seed).sigmas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    models = parser.parse_args().models
    for name in models:
        load_model(name)  # what is to be downloaded is so before the processes start
    cells = [(name, solver, steps) for name in models for solver in SOLVERS for steps in STEPS]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        facts = np.concatenate(list(processes.map(cell_facts, *zip(*cells, strict=True))))
        runs = [(*cell, seed) for cell in cells for seed in FIRST_SEEDS]
        found = np.stack(list(processes.map(ratios, *zip(*runs, strict=True))))
    rows = [
        ("mean of 10 seeds", f"{explained(facts, [1]):.2f}"),
        ("mean and geometric mean of 10 seeds", f"{explained(facts, [1, 2]):.2f}"),
        ("both, and the error foretold on the way", f"{explained(facts, [1, 2, 3]):.2f}"),
        ("the error foretold on the way alone", f"{explained(facts, [3]):.2f}"),
    ]
    print(f"{len(facts)} schedules in {len(cells)} cells:\n")
    print(markdown(("what is known of a schedule", "R2 of its true mean"), rows))
    rows = [
        (what, *(f"{value:.3f}" for value in np.exp(np.log(part[:, :2]).mean(0))), str(int(part[:, 2].sum())))
        for what, part in (("heeded", found[:, 0]), ("not heeded", found[:, 1]))
    ]
    print(f"\n{len(runs)} calibrations of each kind:\n")
    print(markdown(("the foretold error", "mean / best built-in", "median", "cells surely worse"), rows))


if __name__ == "__main__":
    main()
