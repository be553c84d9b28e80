"""What it gains to heed how many seeds are likely to end in another picture (docs/calibration.md, "The loss").

    .venv/bin/python -m benchmarks.studies.jumps [--models MODEL ...]

The calibration on models whose seeds jump, with the error that is foretold on the way in its loss, and without.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate
from hso_core.calibration.generators import Forecasts

from ..measures.cells import test_seeds
from ..measures.distances import ratio_interval
from ..models.catalogue import TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import REFERENCE_SOLVER, SOLVERS, SolverRun
from ..report.figures import WORST_ALLOWED
from ..report.page import markdown
from ..rivals.calibrated import FIRST_SEEDS, METHODS
from ..rivals.schedules import built_in_rivals, model_free_rivals

Array = NDArray[np.float64]

MODELS = ("digits-0.15", "digits-0.3", "digits-1", "digits-3", "digits-flow")
STEPS = (4, 5, 6, 8, 10)


def ratios(name: str, solver: str, steps: int, first_seed: int) -> Array:
    """(2, 3): the calibration as it is, and without the foretold risk; each against the built-ins of the cell: its mean
    RMSE to their least mean, its median to their least median, and whether its mean is surely worse."""
    torch.set_num_threads(1)
    model = load_model(name)
    run, built_ins = SolverRun(model, solver), _built_ins(name, solver, steps)
    best, least_median = min(built_ins, key=np.mean), min(map(np.median, built_ins))
    found = []
    for heeded in (True, False):
        sigmas = _calibrated(model, solver, steps, first_seed, heeded)
        own = _errors(run, sigmas)
        low, _ = ratio_interval(torch.from_numpy(own), torch.from_numpy(best))
        found.append((own.mean() / best.mean(), np.median(own) / least_median, low > WORST_ALLOWED))
    return np.array(found)


@functools.cache
def _built_ins(name: str, solver: str, steps: int) -> list[Array]:
    """The errors of every scheduler of the host."""
    model = load_model(name)
    run = SolverRun(model, solver)
    return [_errors(run, sigmas) for _, sigmas in built_in_rivals(model, solver, steps)]


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
        runs = [(*cell, seed) for cell in cells for seed in FIRST_SEEDS[: METHODS["calibrated"][1]]]
        found = np.stack(list(processes.map(ratios, *zip(*runs, strict=True))))
    rows = [
        (what, *(f"{value:.3f}" for value in np.exp(np.log(part[:, :2]).mean(0))), str(int(part[:, 2].sum())))
        for what, part in (("heeded", found[:, 0]), ("not heeded", found[:, 1]))
    ]
    print(f"{len(runs)} calibrations of each kind:\n")
    print(markdown(("the foretold error", "mean / best built-in", "median", "cells surely worse"), rows))


if __name__ == "__main__":
    main()
