"""The schedules of the pack's own calibration on a test model."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator

import torch
from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate

from . import REPOSITORY, downloads
from .models import TestModel
from .rivals import model_free_rivals
from .solvers import SolverRun

METHODS = {"calibrated_quick": "quick", "calibrated": "normal"}
FIRST_SEED = 10_000
FOLDER = downloads.FOLDER / "calibrated"
REFERENCE_SOLVER = "uni_pc"  # as in the Calibrate node


def calibrated_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, Tensor]]:
    """The calibrated schedules, (steps + 1,) each."""
    for method, budget in METHODS.items():
        yield method, calibrated_schedule(model, solver, steps, budget)


def calibrated_schedule(model: TestModel, solver: str, steps: int, budget: str) -> Tensor:
    """The schedule (steps + 1,) that a calibration finds; remembered on disk for one source of the calibration."""
    file = FOLDER / f"{model.name}-{solver}-{steps}-{budget}-{_version()}.json"
    if not file.is_file():
        sigmas = _calibrate(model, solver, steps, BUDGETS[budget])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(sigmas.tolist()), "utf-8")
    return torch.tensor(json.loads(file.read_text("utf-8")))


def _calibrate(model: TestModel, solver: str, steps: int, budget: int) -> Tensor:
    run, reference_run = SolverRun(model, solver), SolverRun(model, REFERENCE_SOLVER)
    candidates = dict(model_free_rivals(model, solver, steps))
    return calibrate(run, reference_run, candidates, steps, model.noise, budget, first_seed=FIRST_SEED).sigmas


@functools.cache
def _version() -> str:
    """16 hex digits that change with the source of the calibration."""
    digest = hashlib.sha256()
    for file in sorted((REPOSITORY / "hso_core" / "calibration").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
