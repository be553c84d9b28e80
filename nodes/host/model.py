"""The noise schedule of a loaded MODEL."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling
import torch
from torch import Tensor

from ...hso_core import NoiseSchedule, NoiseScheduleError
from ...hso_core.schedule.noise_schedule import ROUNDING
from ...hso_core.schedule.sigmas import describe_high_start, describe_low_start

ONE_GO = "IMG_TO_IMG"  # how ComfyUI's classes for this are called, all of them
SURE = 1e-3  # relative to sigma, by which the families differ


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
    one_go = next((cls.__name__ for cls in type(model_sampling).__mro__ if cls.__name__.startswith(ONE_GO)), None)
    if one_go:
        raise NoiseScheduleError(
            f"this model ({one_go}) turns one picture into another in a single pass and has no noise schedule; sample "
            "it with the sigmas of its own workflow"
        )
    try:
        return NoiseSchedule(sigmas, _family(model_sampling, sigmas))
    except NoiseScheduleError as error:
        raise NoiseScheduleError(f"this model's noise schedule ({kind}) cannot be used: {error}") from error


def _family(model_sampling: Any, sigmas: Tensor) -> str:
    """ "flow" where the class mixes noise and picture as (1 - sigma) picture + sigma noise; "vp" otherwise.

    What it does decides, on numbers, for packs write such classes anew. One that adds no noise, to go from a picture to
    its noise, is known by how it scales the result; and where that tells nothing, or it fails, by ComfyUI's own class
    or a table that ends at 1, as no other family's does.
    """
    table = sigmas.detach().flatten().float()
    probes = [table[(len(table) - 1) * tenths // 10] for tenths in (5, 7, 9)] if len(table) else []
    found = {_family_at(model_sampling, sigma) for sigma in probes}
    if len(found) == 1 and None not in found:
        return str(found.pop())
    ends_at_one = len(table) > 0 and abs(float(table[-1]) - 1) <= ROUNDING
    return "flow" if isinstance(model_sampling, comfy.model_sampling.CONST) or ends_at_one else "vp"


def _family_at(model_sampling: Any, sigma: Tensor) -> str | None:
    """What the class does at one noise level, above 0; None if that cannot be told."""
    shape, level = (1, 1, 1, 1), float(sigma)
    zero, one = sigma.new_zeros(shape), sigma.new_ones(shape)

    def close(value: float, wanted: float) -> bool:
        return abs(value - wanted) <= SURE * level

    try:
        with torch.no_grad():
            picture = float(model_sampling.noise_scaling(sigma.clone(), zero.clone(), one.clone()))
            noise = float(model_sampling.noise_scaling(sigma.clone(), one.clone(), zero.clone()))
            if noise:
                if close(picture, 1 - level):
                    return "flow"
                return "vp" if close(noise, level * picture) else None
            back = 1 / float(model_sampling.inverse_noise_scaling(sigma.clone(), one.clone()))
            return "flow" if close(back, 1 - level) else None
    except Exception:  # whatever a class of another pack may raise
        return None
