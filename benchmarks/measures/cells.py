"""One cell of the benchmark: a schedule on a model with a solver, measured on seeds that nothing was fitted to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean

import torch
from torch import Tensor

from ..models import downloads
from ..models.catalogue import TestModel
from ..models.reference import converged, distances
from ..models.solvers import SolverRun
from .distances import frechet_distance, principal_features, sliced_wasserstein

FOLDER = downloads.FOLDER / "cells"
FIRST_SEED = 200_000
"""Test seeds start here; the oracle's at 50 000, the density rule's at 90 000, the calibration's are below 30 000."""
SEEDS = {0: 256, 1: 256, 2: 128}  # by tier


@dataclass(frozen=True)
class Cell:
    """What was measured; errors: RMSE of each test seed to its converged solution.

    calibrations: of so many schedules, one after the other in `errors`; `sigmas` is the first of them.
    """

    model: str
    solver: str
    steps: int
    method: str
    sigmas: tuple[float, ...]
    errors: tuple[float, ...]
    swd: float
    fd: float
    evaluations: int
    calibrations: int = 1

    @classmethod
    def of_all(cls, cells: Sequence[Cell]) -> Cell:
        """One cell for several calibrations that differ in their seeds only; its figures are their geometric means.

        So are the goals, of ratios: what one calibration reaches on the average does not depend on how many there are.
        """
        errors = tuple(error for cell in cells for error in cell.errors)
        swd, fd = geometric_mean(cell.swd for cell in cells), geometric_mean(cell.fd for cell in cells)
        return replace(cells[0], errors=errors, swd=swd, fd=fd, calibrations=len(cells))

    @property
    def error_tensor(self) -> Tensor:
        """(calibrations, seeds)."""
        return torch.tensor(self.errors, dtype=torch.float64).view(self.calibrations, -1)

    def summary(self) -> dict[str, object]:
        """The cell as results.json holds it."""
        errors = self.error_tensor
        return {
            "model": self.model,
            "solver": self.solver,
            "steps": self.steps,
            "method": self.method,
            "rmse_mean": _rounded(geometric_mean(errors.mean(1).tolist())),
            "rmse_median": _rounded(geometric_mean(errors.quantile(0.5, dim=1).tolist())),
            "rmse_p95": _rounded(geometric_mean(errors.quantile(0.95, dim=1).tolist())),
            "swd": _rounded(self.swd),
            "fd": _rounded(self.fd),
            "evaluations": self.evaluations,
            "sigmas": [_rounded(s) for s in self.sigmas],
            **({"calibrations": self.calibrations} if self.calibrations > 1 else {}),
        }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def test_seeds(model: TestModel) -> range:
    return range(FIRST_SEED, FIRST_SEED + SEEDS[model.tier])


test_seeds.__test__ = False


class Bench:
    """Measures schedules on one model with one solver; remembers on disk what it has measured."""

    def __init__(self, model: TestModel, solver: str) -> None:
        self.model, self.solver = model, solver
        self.run = SolverRun(model, solver)
        self.seeds = test_seeds(model)
        self.converged = converged(model, self.seeds)
        self._features = principal_features(self.converged)
        self._file = FOLDER / f"{model.name}-{solver}.json"
        self._known: dict[str, dict] = json.loads(self._file.read_text("utf-8")) if self._file.is_file() else {}

    def measure(self, method: str, sigmas: Tensor) -> Cell:
        """The cell of `sigmas` (N + 1,)."""
        key = _key(self.model, self.seeds, sigmas)
        if key not in self._known:
            self._known[key] = self._measure(sigmas)
            _write(self._file, self._known)
        steps, values = len(sigmas) - 1, tuple(sigmas.double().tolist())
        return Cell(self.model.name, self.solver, steps, method, values, **self._known[key])

    def _measure(self, sigmas: Tensor) -> dict[str, object]:
        result = self.run(sigmas, self.seeds)
        features = self._features(result.latents), self._features(self.converged)
        return {
            "errors": distances(result.latents, self.converged).tolist(),
            "swd": sliced_wasserstein(result.latents, self.converged),
            "fd": frechet_distance(*features),
            "evaluations": result.evaluations // len(self.seeds),
        }


def _key(model: TestModel, seeds: range, sigmas: Tensor) -> str:
    values = repr((model.about, model.content, seeds, [f"{s:.7g}" for s in sigmas.tolist()]))
    return hashlib.sha256(values.encode()).hexdigest()[:16]


def _write(file: Path, known: dict[str, dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(known), "utf-8")
    part.replace(file)
