"""The list of the pack's nodes."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from .calibrate_schedule import CalibrateSchedule
from .compare_schedules import CompareSchedules
from .custom_sigmas import CustomSigmas
from .ksampler import KSampler
from .optimize_schedule import OptimizeSchedule
from .plot_schedules import PlotSchedules
from .presets import PresetSchedule
from .schedule_files import LoadSchedule, SaveSchedule
from .schedule_tools import BlendSchedules, PinSigma, ResampleSchedule, SplitSchedule, StartAtDenoise


class HSOExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            OptimizeSchedule,
            CustomSigmas,
            KSampler,
            PresetSchedule,
            SaveSchedule,
            LoadSchedule,
            BlendSchedules,
            SplitSchedule,
            PinSigma,
            StartAtDenoise,
            ResampleSchedule,
            PlotSchedules,
            CalibrateSchedule,
            CompareSchedules,
        ]
