"""How safe single calibrations are: many of them, each judged on seeds that it has not seen.

    .venv/bin/python -m benchmarks.studies.safety [--budget quick] [--models MODEL ...] [--solvers SOLVER ...]
                                                  [--steps N ...] [--seeds COUNT]
    .venv/bin/python -m benchmarks.studies.safety --fit

Each calibration is compared with the host's scheduler that turns out to be the best on the test seeds: by mean RMSE,
and by the sliced Wasserstein distance of the set of pictures. It counts as surely worse where the lower end of the
paired 95 % bootstrap interval of its ratio is above 1.03. The schedules that are usually good are fitted without the
network that is judged and its relatives; --fit prints their coefficients as hso_core/calibration/usual.py holds them.

What was found and measured before is remembered in .host/benchmark.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hso_core.calibration import BUDGETS

from ..measures.cells import test_seeds
from ..measures.distances import ratio_interval
from ..measures.sets import SetDistances
from ..models import downloads
from ..models.catalogue import NETWORKS, TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import SOLVERS, SolverRun
from ..report.figures import WORST_ALLOWED
from ..report.page import markdown
from ..rivals.calibrated import FIRST_SEEDS, calibration
from ..rivals.schedules import built_in_rivals, model_free_rivals
from ..rivals.usual import coefficients_without

Array = NDArray[np.float64]

STEPS = (4, 6)
FIRST_LOOK, BEHIND = 32, 1.4  # test seeds that all built-ins are run on; times the least beyond which one is left out
FOLDER = downloads.FOLDER / "safety"


@dataclass(frozen=True)
class Measured:
    """A schedule on the test seeds: errors (seeds,) RMSE, and its pictures on the lines of `SetDistances`."""

    errors: Array
    lines: Array


@dataclass(frozen=True)
class Judged:
    """One calibration over the best built-in: ratios by mean and median RMSE and by the sets; whether surely worse."""

    model: str
    mean: float
    median: float
    sets: float
    mean_worse: bool
    sets_worse: bool
    kept: bool


class Judge:
    """One model with one solver."""

    def __init__(self, model: TestModel, solver: str) -> None:
        self.model, self.solver = model, solver
        self._run, self._seeds = SolverRun(model, solver), test_seeds(model)
        self._converged = converged(model, self._seeds)
        self._sets = SetDistances(self._converged)

    def judge(self, sigmas: Tensor, kept: bool) -> Judged:
        built_in = self._built_in(len(sigmas) - 1)
        by_mean = min(built_in, key=lambda one: float(one.errors.mean()))
        by_sets = min(built_in, key=lambda one: self._sets(one.lines))
        own = self.measure(sigmas)
        low, _ = ratio_interval(torch.from_numpy(own.errors), torch.from_numpy(by_mean.errors))
        return Judged(
            self.model.name,
            float(own.errors.mean() / by_mean.errors.mean()),
            float(np.median(own.errors) / min(np.median(one.errors) for one in built_in)),
            self._sets(own.lines) / self._sets(by_sets.lines),
            low > WORST_ALLOWED,
            self._sets.surely_worse(own.lines, by_sets.lines, WORST_ALLOWED),
            kept,
        )

    @functools.cache  # noqa: B019 - a judge lives as long as the study
    def _built_in(self, steps: int) -> list[Measured]:
        """The host's schedulers without those that a part of the seeds shows to be far behind by either measure."""
        rivals = [sigmas for _, sigmas in built_in_rivals(self.model, self.solver, steps)]
        first = [self.measure(sigmas, FIRST_LOOK) for sigmas in rivals]
        means = [float(one.errors.mean()) for one in first]
        sets = [self._sets(one.lines) for one in first]
        near = [mean < BEHIND * min(means) or far < BEHIND * min(sets) for mean, far in zip(means, sets, strict=True)]
        return [self.measure(sigmas) for sigmas, one in zip(rivals, near, strict=True) if one]

    def measure(self, sigmas: Tensor, most: int | None = None) -> Measured:
        """On the first so many of the test seeds; on all if None."""
        seeds = self._seeds[:most]
        what = (self.model.name, self.model.content, self.solver, seeds, [f"{s:.4g}" for s in sigmas.tolist()])
        file = FOLDER / f"{self.model.name}-{hashlib.sha256(repr(what).encode()).hexdigest()[:20]}.npz"
        if not file.is_file():
            latents = self._run(sigmas, seeds).latents
            file.parent.mkdir(parents=True, exist_ok=True)
            errors = distances(latents, self._converged[:most]).numpy()
            part = file.with_suffix(f".{os.getpid()}.npz")
            np.savez(part, errors=errors, lines=self._sets.on_lines(latents).astype(np.float32))
            part.replace(file)
        with np.load(file) as stored:
            return Measured(stored["errors"], stored["lines"].astype(np.float64))


# -- the tables --------------------------------------------------------------------------------------------------------


def table(judged: Sequence[Judged], names: Sequence[str]) -> str:
    rows = []
    for name in (*names, *(["all"] if len(names) > 1 else [])):
        part = [one for one in judged if name in (one.model, "all")]
        means = [np.exp(np.log([getattr(one, by) for one in part]).mean()) for by in ("mean", "median", "sets")]
        counts = [sum(getattr(one, by) for one in part) for by in ("mean_worse", "sets_worse", "kept")]
        rows.append((name, str(len(part)), *(f"{value:.3f}" for value in means), *map(str, counts)))
    head = ("model", "calibrations", "mean RMSE", "median", "swd", "surely worse by mean", "by swd", "kept one at hand")
    return markdown(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", choices=list(BUDGETS), default="quick")
    parser.add_argument("--models", nargs="+", default=list(NETWORKS))
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=4, help="calibrations of each cell, of other seeds each")
    parser.add_argument("--fit", action="store_true", help="only fit the usual schedules")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fit:
        for solver, rows in coefficients_without(None).items():
            print(f'    "{solver}": {rows},')
        return
    judged = []
    for name in options.models:
        for solver in options.solvers:
            judge = Judge(load_model(name), solver)
            for steps in options.steps:
                at_hand = dict(model_free_rivals(judge.model, solver, steps))
                for seed in FIRST_SEEDS[: options.seeds]:
                    sigmas, found = calibration(judge.model, solver, steps, options.budget, seed)
                    judged.append(judge.judge(sigmas, found in at_hand))
    print(table(judged, options.models))


if __name__ == "__main__":
    main()
