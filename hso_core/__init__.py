"""Hierarchical Schedule Optimization: few-step schedules computed from a model's noise schedule. No ComfyUI in here."""

from .noise_schedule import NoiseSchedule, NoiseScheduleError, named_schedule
from .optimizer import optimize_schedule
from .problem import MAX_STEPS, Settings, SettingsError
from .schedule import Schedule

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
