"""The whole grid: every schedule on every model, solver and number of steps, a process for each core."""

from __future__ import annotations

import datetime
import functools
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from .measures.cells import FIRST_SEED, Bench, Cell, test_seeds
from .measures.distances import frechet_distance, principal_features, ratio_interval, sliced_wasserstein
from .measures.overhead import calibrate_node, overhead
from .models.catalogue import TestModel, load_model
from .models.reference import converged, convergence, to_exact_answer
from .models.solvers import SOLVERS
from .report.figures import WORST_ALLOWED
from .rivals.calibrated import calibrated_rivals
from .rivals.schedules import all_rivals, is_built_in, oracle_sigmas

CHECKED_SEEDS = range(FIRST_SEED, FIRST_SEED + 16)
OTHER_SEEDS = 100_000
"""From the test seeds to those of a second converged set."""


def measure_cell(bench: Bench, steps: int) -> list[dict[str, Any]]:
    """Summaries of every schedule for one model, solver and number of steps."""
    return with_ratios(list(_measured(bench, steps)))


def _measured(bench: Bench, steps: int) -> Iterator[Cell]:
    model, solver = bench.model, bench.solver
    for name, sigmas in all_rivals(model, solver, steps):
        yield bench.measure(name, sigmas)
    for name, found in calibrated_rivals(model, solver, steps):
        yield Cell.of_all([bench.measure(name, sigmas) for sigmas in found])
    best = oracle_sigmas(model.name, solver, steps)
    if best is not None:
        yield bench.measure("oracle", best)


def with_ratios(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Summaries; those of calibrated schedules with their ratio to the best built-in and its bootstrap interval.

    surely_worse: of the single calibrations, how many are above WORST_ALLOWED beyond the interval of their own.
    """
    best = min((cell for cell in cells if is_built_in(cell.method)), key=lambda cell: sum(cell.errors)).error_tensor[0]
    summaries = []
    for cell in cells:
        summary = cell.summary()
        if cell.method.startswith("calibrated"):
            errors = cell.error_tensor
            low, high = ratio_interval(errors, best)
            worse = sum(ratio_interval(one, best)[0] > WORST_ALLOWED for one in errors)
            summary |= {"ratio": round(statistics.geometric_mean((errors.mean(1) / best.mean()).tolist()), 4)}
            summary |= {"surely_worse": worse}
            summary |= {"ratio_low": round(low, 4), "ratio_high": round(high, 4)}
        summaries.append(summary)
    return summaries


def run(models: Sequence[str], step_counts: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    for name in models:
        load_model(name)  # what is to be downloaded is so before the processes start
    places = [(name, solver) for name in models for solver in SOLVERS]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        measured = processes.map(functools.partial(measure_solver, step_counts=step_counts), *zip(*places, strict=True))
        cells = [cell for part in measured for cell in part]
    return cells, about_run(cells, models)


def measure_solver(name: str, solver: str, step_counts: Sequence[int]) -> list[dict[str, Any]]:
    """Summaries of all cells of one model with one solver, on one core."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    bench = Bench(load_model(name), solver)
    cells = [cell for steps in step_counts for cell in measure_cell(bench, steps)]
    say(f"{name}, {solver}: {time.perf_counter() - began:.0f} s")
    return cells


def about_run(cells: Sequence[dict[str, Any]], models: Sequence[str]) -> dict[str, Any]:
    calibrate = calibrate_node()
    return {
        "date": str(datetime.date.today()),
        "machine": f"{os.cpu_count()} {platform.machine()} CPU cores, torch {torch.__version__}, no GPU used",
        "overhead": statistics.median(overhead(calibrate).share for _ in range(3)),
        "models": {name: _about_model(name, cells) for name in models},
    }


def _about_model(name: str, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    model = load_model(name)
    check = convergence(model, CHECKED_SEEDS)
    exact = to_exact_answer(model, CHECKED_SEEDS)
    return {
        "tier": model.tier,
        "about": model.about,
        "half": check["half the steps"],
        "heun": check["heun"],
        **({} if exact is None else {"exact": exact}),
        "floor": floor(model),
        "smallest": min(cell["rmse_mean"] for cell in cells if cell["model"] == name),
    }


def floor(model: TestModel) -> dict[str, float]:
    """The distances of two converged sets, of the test seeds and of as many others."""
    seeds = test_seeds(model)
    first, second = converged(model, seeds), converged(model, [seed + OTHER_SEEDS for seed in seeds])
    features = principal_features(first)
    return {
        "swd": sliced_wasserstein(second, first),
        "fd": frechet_distance(features(second), features(first)),
    }


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
