"""Hierarchical Schedule Optimization: few-step schedules computed from a model's noise schedule. No ComfyUI in here."""

from .method.optimizer import optimize_schedule
from .method.problem import Settings, SettingsError
from .method.result import Schedule
from .schedule.noise_schedule import NoiseSchedule, NoiseScheduleError, named_schedule
from .schedule.sigmas import MAX_STEPS

__version__ = "0.1.0"

__all__ = [
    "MAX_STEPS",
    "NoiseSchedule",
    "NoiseScheduleError",
    "Schedule",
    "Settings",
    "SettingsError",
    "named_schedule",
    "optimize_schedule",
]
