"""The list of the pack's nodes."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from .measuring.calibrate import CalibrateSchedule
from .measuring.calibrate_sampler import CalibrateSampler
from .measuring.compare import CompareSchedules
from .pictures.plot_node import PlotSchedules
from .sampling.fitted_sampler import FittedSampler
from .sampling.ksampler import KSampler
from .schedules.custom import CustomSigmas
from .schedules.edit import BlendSchedules, EditSigmas, PinSigma, ResampleSchedule, StartAtDenoise
from .schedules.files import LoadSchedule, SaveSchedule
from .schedules.optimize import OptimizeSchedule
from .schedules.presets import PresetSchedule
from .schedules.split import SplitSchedule


class HSOExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            OptimizeSchedule,
            KSampler,
            CalibrateSampler,
            CalibrateSchedule,
            FittedSampler,
            PresetSchedule,
            CustomSigmas,
            EditSigmas,
            SplitSchedule,
            SaveSchedule,
            LoadSchedule,
            PlotSchedules,
            CompareSchedules,
            # deprecated
            BlendSchedules,
            PinSigma,
            StartAtDenoise,
            ResampleSchedule,
        ]
