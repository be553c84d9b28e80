"""The list of the pack's nodes."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension, io

from .custom_sigmas import CustomSigmas
from .ksampler import KSampler
from .optimize_schedule import OptimizeSchedule


class HSOExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [OptimizeSchedule, CustomSigmas, KSampler]
