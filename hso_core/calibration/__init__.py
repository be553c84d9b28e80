"""Schedules fitted to a model and a sampler by running them for real. From outside: the names below.

Imports only hso_core.files and hso_core.schedule."""

from .calibrate import BUDGETS, Calibration, calibrate
from .reference_runs import ReferenceRuns
from .run import BudgetSpent, Observer, SamplerResult, SamplerRun

__all__ = [
    "BUDGETS",
    "BudgetSpent",
    "Calibration",
    "Observer",
    "ReferenceRuns",
    "SamplerResult",
    "SamplerRun",
    "calibrate",
]
