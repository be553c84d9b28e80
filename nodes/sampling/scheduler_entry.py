"""The scheduler `hso` in the lists of KSampler, KSamplerAdvanced and BasicScheduler."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from ...hso_core import MAX_STEPS, optimize_schedule
from ...hso_core.schedule.numbers import whole_number
from .. import host
from .notes import tell_of_nodes

NAME = "hso"


def hso_scheduler(model_sampling: Any, steps: int) -> Tensor:
    """Sigmas (steps + 1,) for a model_sampling: what Scheduler (HSO) gives with its default settings.

    A pure function of the two: KSampler's cache knows only the scheduler's name. For denoise below 1 ComfyUI asks for
    steps / denoise steps and takes the last ones.
    """
    with host.named_errors("Scheduler 'hso'"):
        right = f"it must be a whole number from 1 to {MAX_STEPS}"
        if whole_number("steps", steps, 1, sys.maxsize, right=right) > MAX_STEPS:
            raise ValueError(f"{steps} steps (steps / denoise) are too many; it makes at most {MAX_STEPS}")
        noise = host.noise_schedule_of_sampling(model_sampling)
        return optimize_schedule(noise, steps, on_progress=host.stop_if_cancelled).to_tensor()


def register() -> None:
    host.add_scheduler(NAME, hso_scheduler)
    host.on_prompt(lambda prompt: tell_of_nodes(prompt, NAME))
