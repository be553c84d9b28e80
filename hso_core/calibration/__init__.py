"""Schedules and samplers fitted to a model by running them for real. From outside: the names below.

Imports only hso_core.files, hso_core.schedule and hso_core.solvers."""

from .calibrate import BUDGETS, Calibration, calibrate
from .calibrate_sampler import SamplerCalibration, calibrate_sampler
from .reference_runs import ReferenceRuns
from .run import Advance, BudgetSpent, Observer, SamplerResult, SamplerRun, SteppedRun

__all__ = [
    "BUDGETS",
    "Advance",
    "BudgetSpent",
    "Calibration",
    "Observer",
    "ReferenceRuns",
    "SamplerCalibration",
    "SamplerResult",
    "SamplerRun",
    "SteppedRun",
    "calibrate",
    "calibrate_sampler",
]
