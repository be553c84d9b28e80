"""What people do to a schedule: blend, split, join, pin a value, start later, scale, shift, flip. Pure functions.

Every function takes sigmas (n,) as `as_schedule` gives them, and returns fresh ones of the same form; those of `flip`
rise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .noise_schedule import NoiseSchedule
from .numbers import real_number, whole_number
from .sigmas import SigmasError, check_sigmas, plain_decimal, resample_sigmas

SAME = 1e-5  # relative: nearer values are one level
LEAST_NOISE = 1e-4  # where a flipped schedule starts: samplers divide by sigma


def as_schedule(sigmas: Tensor) -> Tensor:
    """Whatever a node was given, as a schedule: float32, on the CPU, checked. Raises SigmasError."""
    return check_sigmas(sigmas.detach().to("cpu", torch.float32, copy=True))


def blend(first: Tensor, second: Tensor, weight: float, method: str = "log-linear") -> tuple[Tensor, str]:
    """The schedule between two: ln sigma = (1 - weight) ln first + weight ln second at each step, and what was done.

    weight: 0 gives the first, 1 the second. Where the step counts differ, the shorter one is resampled first.
    Raises SigmasError if only one of them ends at 0.
    """
    weight = real_number("weight", weight, error=SigmasError)
    if not 0 <= weight <= 1:
        raise SigmasError(f"weight is {weight:g}; it must be 0 (only the first schedule) to 1 (only the second)")
    ends = [float(sigmas[-1]) for sigmas in (first, second)]
    if (ends[0] == 0) != (ends[1] == 0):
        raise SigmasError(
            f"one schedule ends at 0 and the other at {plain_decimal(max(ends))}; blend schedules that end alike"
        )
    counts = [len(first) - 1, len(second) - 1]
    steps = max(counts)
    first, second = (resample_sigmas(sigmas, steps, method) for sigmas in (first, second))
    above = slice(None, -1) if ends[0] == 0 else slice(None)
    mixed = first.clone()
    mixed[above] = torch.lerp(first[above].double().log(), second[above].double().log(), weight).exp().float()
    for end, source in ((0, first), (1, second)):
        if weight == end:
            mixed = source.clone()  # exactly, not up to rounding
    note = f"{1 - weight:.0%} of the first schedule and {weight:.0%} of the second, in ln sigma."
    if counts[0] != counts[1]:
        shorter = "first" if counts[0] < counts[1] else "second"
        note += f" The {shorter} one has {min(counts)} steps and was resampled to {steps}."
    return check_sigmas(mixed), note


def scale(sigmas: Tensor, factor: float) -> Tensor:
    """Every value `factor` times as large; a 0 at the end stays."""
    return check_sigmas(sigmas * _factor(factor))


def shift(sigmas: Tensor, noise: NoiseSchedule, factor: float) -> Tensor:
    """A flow model's schedule shifted as ModelSamplingSD3 shifts its model: sigma / (1 - sigma) grows by `factor`.

    The ends 1 and 0 stay. Raises SigmasError for other models, where sigma itself has that role (see `scale`).
    """
    if noise.family != "flow":
        raise SigmasError("only schedules of flow models (Flux, SD3, Wan, Qwen) can be shifted; scale does it here")
    factor = _factor(factor)
    if float(sigmas[0]) > 1:
        raise SigmasError(
            f"the schedule starts at {plain_decimal(sigmas[0])}; that of a flow model starts at most at 1"
        )
    values = sigmas.double()
    return check_sigmas((factor * values / (1 + (factor - 1) * values)).float())


def _factor(value: float) -> float:
    factor = real_number("factor", value, error=SigmasError)
    if not 0 < factor < float("inf"):
        raise SigmasError(f"factor is {factor:g}; it must be above 0 (1 leaves the schedule as it is)")
    return factor


def join(first: Tensor, second: Tensor) -> Tensor:
    """The values of `first` that lie above the start of `second`, then all of `second`. It undoes a split."""
    above = first[first > float(second[0]) * (1 + SAME)]
    if not len(above):
        raise SigmasError(
            f"nothing of the first schedule, which starts at {plain_decimal(first[0])}, lies above the start of the "
            f"second, {plain_decimal(second[0])}; change places"
        )
    return check_sigmas(torch.cat([above, second]))


def flip(sigmas: Tensor) -> Tensor:
    """The schedule backwards, rising, for turning a picture into its noise (unsampling); a 0 becomes LEAST_NOISE."""
    flipped = sigmas.flip(0)
    if float(flipped[0]) == 0:
        flipped[0] = min(LEAST_NOISE, float(flipped[1]) / 2)
    return flipped


def check_flipped(sigmas: Tensor, noise: NoiseSchedule | None) -> Tensor:
    """`sigmas` itself if it is a flipped schedule with which a model can unsample. Raises SigmasError."""
    check_sigmas(sigmas.flip(0))
    if noise is not None and noise.family == "flow" and float(sigmas[-1]) >= 1 - SAME:
        raise SigmasError(
            "a flow model's flipped schedule must end below 1, where nothing of the picture is left: start the "
            "schedule at denoise 0.95 or less before it is flipped"
        )
    return sigmas


def split_at_step(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The first `step` steps and the rest; the value between them ends the one and starts the other."""
    steps = len(sigmas) - 1
    if steps < 2:
        raise SigmasError("a schedule of 1 step cannot be split")
    right = f"a schedule of {steps} steps can be split at step 1 to {steps - 1}"
    step = whole_number("step", step, 1, steps - 1, SigmasError, right)
    return sigmas[: step + 1].clone(), sigmas[step:].clone()


def split_at_sigma(
    sigmas: Tensor, sigma: float, insert: bool = True, *, keep_steps: bool = False
) -> tuple[Tensor, Tensor]:
    """The steps that start above `sigma`, and those that start at it or below.

    keep_steps: the nearest inner value moves on to `sigma` first (see `pin_sigma`), in place of `insert`.

    insert: `sigma` itself becomes the value between the two parts, which is one step more (unless it is there
    already). Without it the low part starts at the first value below `sigma`.

    Where the schedule starts at `sigma` or below, all steps are in the second part, and the first is the start alone.
    """
    if real_number("sigma", sigma, error=SigmasError) >= float(sigmas[0]) * (1 - SAME):
        return sigmas[:1].clone(), sigmas.clone()
    boundary = _inner_value(sigmas, sigma, "split")
    if keep_steps:
        sigmas, _ = pin_sigma(sigmas, sigma)
    above, below = sigmas[sigmas > boundary * (1 + SAME)], sigmas[sigmas < boundary * (1 - SAME)]
    between = sigmas[len(above) : len(sigmas) - len(below)]
    if insert or len(between):
        between = between if len(between) else sigmas.new_tensor([boundary])
        return torch.cat([above, between]), torch.cat([between, below])
    if len(below) < 2:
        raise SigmasError(
            f"no step starts below sigma {sigma:g}: the last one starts at {plain_decimal(above[-1])}; "
            "insert the boundary, or choose a larger one"
        )
    return torch.cat([above, below[:1]]), below.clone()


def pin_sigma(sigmas: Tensor, sigma: float) -> tuple[Tensor, int]:
    """The schedule with its nearest inner value (in ln sigma) moved on to `sigma`, and which one that was (from 0)."""
    value = _inner_value(sigmas, sigma, "pin")
    inner = sigmas[1:-1]
    if len(inner) == 0:
        raise SigmasError("a schedule of 1 step has no inner value that could be moved")
    place = 1 + int((inner.double().log() - math.log(value)).abs().argmin())
    result = sigmas.clone()
    result[place] = value
    return check_sigmas(result), place


def start_at_denoise(sigmas: Tensor, noise: NoiseSchedule, denoise: float, keep_steps: bool = True) -> Tensor:
    """The schedule from the noise level of `denoise` on, which is sigma at time t = denoise of the model.

    keep_steps: the rest is resampled (in ln sigma) to as many steps as before. Without it only the values below the
    start are left, and so fewer steps. A schedule that starts there or below is returned as it is.
    """
    denoise = real_number("denoise", denoise, error=SigmasError)
    if not 0 < denoise <= 1:
        raise SigmasError(f"denoise is {denoise:g}; it must be above 0, and at most 1")
    start = noise.sigma_of_denoise(denoise)
    if float(sigmas[0]) <= start * (1 + SAME):
        return sigmas.clone()
    if start <= float(sigmas[-1]) * (1 + SAME):
        raise SigmasError(
            f"denoise {denoise:g} starts at sigma {start:.4g}, and the schedule ends above it, "
            f"at {plain_decimal(sigmas[-1])}; use a larger denoise"
        )
    rest = sigmas[sigmas < start * (1 - SAME)]
    if keep_steps and len(rest) == 1 and float(rest[0]) == 0:
        # Room for the other steps: down to sigma_min, or where the start lies below that already, to half its time.
        lowest = noise.sigma_min if noise.sigma_min < start * (1 - SAME) else noise.sigma_of_denoise(denoise / 2)
        rest = torch.cat([sigmas.new_tensor([lowest]), rest])
    tail = torch.cat([sigmas.new_tensor([start]), rest])
    return resample_sigmas(tail, len(sigmas) - 1) if keep_steps else check_sigmas(tail)


def end_at_denoise(sigmas: Tensor, noise: NoiseSchedule, denoise: float, steps: int) -> Tensor:
    """The part of a longer schedule from the noise level of `denoise` on, brought to `steps` steps.

    Raises SigmasError where nothing of it lies below that level but the final 0.
    """
    return resample_sigmas(start_at_denoise(sigmas, noise, denoise, keep_steps=False), steps)


def _inner_value(sigmas: Tensor, sigma: float, action: str) -> float:
    """`sigma` as float32 if it lies between the ends of the schedule."""
    sigma = real_number("sigma", sigma, error=SigmasError)
    value = float(torch.tensor(sigma, dtype=torch.float32, device="cpu"))
    high, low = float(sigmas[0]), float(sigmas[-1])
    if not low * (1 + SAME) < value < high * (1 - SAME):
        raise SigmasError(
            f"cannot {action} at sigma {sigma:g}: it must lie between the schedule's ends, "
            f"{plain_decimal(high)} and {plain_decimal(low)}"
        )
    return value
