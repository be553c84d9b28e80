"""The schedules of the pack's own calibration on a test model."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator

import torch
from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate

from .. import REPOSITORY
from ..models import downloads
from ..models.catalogue import TestModel
from ..models.solvers import SolverRun
from .schedules import model_free_rivals

METHODS = {"calibrated_quick": ("quick", 12), "calibrated": ("normal", 4)}
"""Budget, and how many calibrations that differ in their seeds only. What one of them gains is partly luck,
most with the quick budget, which has few seeds."""
FIRST_SEEDS = range(10_000, 22_000, 1_000)
FOLDER = downloads.FOLDER / "calibrated"
REFERENCE_SOLVER = "uni_pc"  # as in the Calibrate node


def calibrated_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, list[Tensor]]]:
    """The calibrated schedules, (steps + 1,) each: of each kind as many as METHODS says."""
    for method, (budget, count) in METHODS.items():
        yield method, [calibrated_schedule(model, solver, steps, budget, seed) for seed in FIRST_SEEDS[:count]]


def calibrated_schedule(model: TestModel, solver: str, steps: int, budget: str, first_seed: int) -> Tensor:
    """The schedule (steps + 1,) that a calibration finds.

    Remembered on disk for one content of the model, one source of the calibration and one list of schedules that it
    chooses from.
    """
    candidates = dict(model_free_rivals(model, solver, steps))
    name = f"{model.name}-{solver}-{steps}-{budget}-{first_seed}-{_version()}-{_content(model, candidates)}"
    file = FOLDER / f"{name}.json"
    if not file.is_file():
        run, reference_run = SolverRun(model, solver), SolverRun(model, REFERENCE_SOLVER)
        found = calibrate(run, reference_run, candidates, steps, model.noise, BUDGETS[budget], first_seed=first_seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found.sigmas.tolist()), "utf-8")
    return torch.tensor(json.loads(file.read_text("utf-8")))


def _content(model: TestModel, candidates: dict[str, Tensor]) -> str:
    """8 hex digits of what the model is made of, and of the schedules and their order."""
    schedules = [(name, [f"{s:.6g}" for s in sigmas.tolist()]) for name, sigmas in candidates.items()]
    return hashlib.sha256(json.dumps([model.content, schedules]).encode()).hexdigest()[:8]


@functools.cache
def _version() -> str:
    """16 hex digits that change with the source of the calibration."""
    digest = hashlib.sha256()
    for file in sorted((REPOSITORY / "hso_core" / "calibration").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
