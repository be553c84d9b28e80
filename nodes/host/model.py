"""The noise schedule of a loaded MODEL."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling
from torch import Tensor

from ...hso_core import NoiseSchedule, NoiseScheduleError
from ...hso_core.schedule.sigmas import check_range, describe_low_start


def noise_schedule(model: Any) -> NoiseSchedule:
    """The noise schedule that `model` (a MODEL) has with all patches that are applied to it."""
    return noise_schedule_of_sampling(model.get_model_object("model_sampling"))


def readable_noise_schedule(model: Any) -> NoiseSchedule | None:
    """`noise_schedule`, or None for a model whose noise schedule cannot be read."""
    try:
        return noise_schedule(model)
    except NoiseScheduleError:
        return None


def check_schedule(sigmas: Tensor, model: Any) -> str | None:
    """Refuse sigmas (n,) that start above the largest noise level of `model`; say what is odd about a low start.

    Raises SigmasError. A model whose noise schedule cannot be read is not held against the schedule.
    """
    noise = readable_noise_schedule(model)
    if noise is None:
        return None
    check_range(sigmas, noise)
    return describe_low_start(sigmas, noise)


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
