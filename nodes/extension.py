"""The list of the pack's nodes."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from .measuring.calibrate import CalibrateSchedule
from .measuring.compare import CompareSchedules
from .pictures.plot_node import PlotSchedules
from .sampling.ksampler import KSampler
from .schedules.custom import CustomSigmas
from .schedules.files import LoadSchedule, SaveSchedule
from .schedules.optimize import OptimizeSchedule
from .schedules.presets import PresetSchedule
from .schedules.tools import BlendSchedules, PinSigma, ResampleSchedule, SplitSchedule, StartAtDenoise


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
