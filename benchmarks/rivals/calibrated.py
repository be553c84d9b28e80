"""The schedules of the pack's own calibration on a test model."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate, usual

from .. import REPOSITORY
from ..models import downloads
from ..models.catalogue import TestModel
from ..models.solvers import REFERENCE_SOLVER, SolverRun
from .schedules import model_free_rivals
from .usual import coefficients_without

METHODS = {"calibrated_quick": ("quick", 12), "calibrated": ("normal", 4)}
"""Budget, and how many calibrations that differ in their seeds only. What one of them gains is partly luck,
most with the quick budget, which has few seeds."""
FIRST_SEEDS = range(10_000, 22_000, 1_000)
FOLDER = downloads.FOLDER / "calibrated"


def calibrated_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, list[Tensor]]]:
    """The calibrated schedules, (steps + 1,) each: of each kind as many as METHODS says."""
    for method, (budget, count) in METHODS.items():
        yield method, [calibrated_schedule(model, solver, steps, budget, seed) for seed in FIRST_SEEDS[:count]]


def calibrated_schedule(model: TestModel, solver: str, steps: int, budget: str, first_seed: int) -> Tensor:
    """The schedule (steps + 1,) that a calibration finds."""
    return calibration(model, solver, steps, budget, first_seed)[0]


def calibration(model: TestModel, solver: str, steps: int, budget: str, first_seed: int) -> tuple[Tensor, str]:
    """The schedule (steps + 1,) that a calibration finds, and its name; it knows what is usual of others only.

    Remembered on disk for one content of the model, one `version` of the calibration and one list of what it knows.
    """
    candidates, others = dict(model_free_rivals(model, solver, steps)), coefficients_without(model.name)
    known = _content(model, candidates, others.get(solver, others))
    file = FOLDER / f"{model.name}-{solver}-{steps}-{budget}-{first_seed}-{version()}-{known}.json"
    if not file.is_file():
        run, reference_run = SolverRun(model, solver), SolverRun(model, REFERENCE_SOLVER)
        with mock.patch.dict(usual.COEFFICIENTS, others):
            found = calibrate(
                run, reference_run, candidates, steps, model.noise, BUDGETS[budget], first_seed=first_seed
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([found.sigmas.tolist(), found.name]), "utf-8")
    sigmas, name = json.loads(file.read_text("utf-8"))
    return torch.tensor(sigmas), name


def _content(model: TestModel, candidates: dict[str, Tensor], coefficients: object) -> str:
    """8 hex digits of what the model is made of, of the schedules and their order, and of the usual steps."""
    schedules = [(name, [f"{s:.6g}" for s in sigmas.tolist()]) for name, sigmas in candidates.items()]
    known = json.dumps([model.content, schedules, coefficients])
    return hashlib.sha256(known.encode()).hexdigest()[:8]


@functools.cache
def version() -> str:
    """16 hex digits that change with the source of the calibration and of the solvers, and with the reference's."""
    digest = hashlib.sha256(REFERENCE_SOLVER.encode())
    for room in ("calibration", "solvers"):
        for file in sorted((REPOSITORY / "hso_core" / room).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
