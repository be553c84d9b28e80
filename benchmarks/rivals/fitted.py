"""The samplers of the pack's own calibration on a test model: solver and schedule fitted together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from unittest import mock

from torch import Tensor

from hso_core.calibration import BUDGETS, calibrate_sampler, usual
from hso_core.solvers import LinearMultistep, read_solver, write_solver

from ..models import downloads
from ..models.catalogue import TestModel
from ..models.solvers import REFERENCE_SOLVER, SOLVERS, SolverRun, SteppedSolverRun
from .calibrated import FIRST_SEEDS, version
from .schedules import model_free_rivals
from .usual import coefficients_without, pairs_without

METHODS = {"fitted_quick": ("quick", 12), "fitted": ("normal", 4), "fitted_thorough": ("thorough", 1)}
"""Budget, and how many calibrations that differ in their seeds only."""
FOLDER = downloads.FOLDER / "fitted"


def fitted_samplers(
    model: TestModel, steps: int, most: int | None = None
) -> Iterator[tuple[str, list[LinearMultistep]]]:
    """Of each kind as many as METHODS says, or at most so many."""
    for method, (budget, count) in METHODS.items():
        yield method, [fitted_sampler(model, steps, budget, seed) for seed in FIRST_SEEDS[:count][:most]]


def fitted_sampler(model: TestModel, steps: int, budget: str, first_seed: int) -> LinearMultistep:
    """What a calibration finds that knows what is usual from other networks only.

    Remembered on disk for one content of the model and one `version` of the calibration.
    """
    others, behind = coefficients_without(model.name), pairs_without(model.name)
    known = f"{version()}-{hashlib.sha256(repr((others, behind)).encode()).hexdigest()[:8]}"
    file = FOLDER / f"{model.name}-{steps}-{budget}-{first_seed}-{known}-{model.content}.safetensors"
    if not file.is_file():
        run, reference_run = SteppedSolverRun(model), SolverRun(model, REFERENCE_SOLVER)
        pairs = pairs_at_hand(model, steps)
        with (
            mock.patch.dict(usual.COEFFICIENTS, others),
            mock.patch.dict(usual.BEHIND, behind, clear=True),
        ):
            found = calibrate_sampler(
                run, reference_run, pairs, steps, model.noise, BUDGETS[budget], first_seed=first_seed
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_solver(file, found.solver, {"winner": found.name})
    return read_solver(file)[0]


def pairs_at_hand(model: TestModel, steps: int) -> dict[str, tuple[str, Tensor]]:
    """Every solver with all that the pack knows without evaluating the model."""
    return {
        f"{solver} {name}": (solver, sigmas)
        for solver in SOLVERS
        for name, sigmas in model_free_rivals(model, solver, steps)
    }
