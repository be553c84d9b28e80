"""The noise schedule of a loaded MODEL."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling
from torch import Tensor

from ...hso_core import NoiseSchedule, NoiseScheduleError
from ...hso_core.schedule.sigmas import describe_high_start, describe_low_start


def noise_schedule(model: Any) -> NoiseSchedule:
    """The noise schedule that `model` (a MODEL) has with all patches that are applied to it."""
    return noise_schedule_of_sampling(model.get_model_object("model_sampling"))


def readable_noise_schedule(model: Any) -> NoiseSchedule | None:
    """`noise_schedule`, or None for a model whose noise schedule cannot be read."""
    try:
        return noise_schedule(model)
    except NoiseScheduleError:
        return None


def check_schedule(sigmas: Tensor, model: Any, *, changes_picture: bool = False) -> str | None:
    """Say what is odd about where sigmas (n,) start: above the largest noise level of `model`, or far below it.

    changes_picture: something is there to start from, so that a low start is as it should be.
    Raises SigmasError where no flow model can start. A model whose noise schedule cannot be read is not held against
    the schedule.
    """
    noise = readable_noise_schedule(model)
    if noise is None:
        return None
    return describe_high_start(sigmas, noise) or (None if changes_picture else describe_low_start(sigmas, noise))


def noise_schedule_of_sampling(model_sampling: Any) -> NoiseSchedule:
    """The noise schedule of a model_sampling object. Raises NoiseScheduleError, which names the object's class."""
    kind = type(model_sampling).__name__
    sigmas = getattr(model_sampling, "sigmas", None)
    if not isinstance(sigmas, Tensor):
        raise NoiseScheduleError(
            f"this model's noise schedule ({kind}) has no table of sigmas, so there is nothing to optimise for; "
            "use a diffusion model, or a node that patches its sampling (for example ModelSamplingDiscrete)"
        )
    family = "flow" if isinstance(model_sampling, comfy.model_sampling.CONST) else "vp"
    try:
        return NoiseSchedule(sigmas, family)
    except NoiseScheduleError as error:
        raise NoiseScheduleError(f"this model's noise schedule ({kind}) cannot be used: {error}") from error
