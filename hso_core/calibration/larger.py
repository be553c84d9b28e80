"""Starts whose picture will be much larger than the others', found with two evaluations each.

On some models a few pictures in a hundred are several times as large or as bright as the rest. Such seeds end far away
on schedules that suit all others, and rule the mean and the set; a few dozen seeds may not hold one. But how large a
picture will be shows early on the way. So many starts are looked at, and the most promising are followed to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .generators import level
from .profile import LEAST_SCALE, Profile
from .reference import Reference
from .run import BudgetSpent, SamplerRun

if TYPE_CHECKING:
    from .search import Bench

SCREENED = 56  # starts
SHARE = 0.07  # of the budget that looking at them may take
LOOKED_AT = 3.0  # sigma / alpha, in standard deviations of one picture, at which the prediction is looked at
FOLLOWED = 2  # of them to the end: those that promise the largest pictures
LARGER = 2.0  # times the usual size, for the picture at the end


@dataclass(frozen=True)
class LargerPictures:
    """chance: the share of such pictures; ends: the reference of some, at its places, told from `first` on."""

    chance: float
    first: int
    ends: Reference
    places: tuple[int, ...]


def larger_pictures(
    run: SamplerRun,
    reference: Reference,
    usual: Profile,
    noise: NoiseSchedule,
    bench: Bench,
) -> LargerPictures | None:
    """What is found among the starts after those of `reference`; None where nothing is, or it would cost too much.

    run: the reference's. usual: the profile of its runs. bench: has the budget. Raises BudgetSpent as `run` does.
    """
    if SHARE * bench.budget < 2 * SCREENED:
        return None
    top = level(noise, LOOKED_AT * usual.typical_scale)
    if not top < noise.sigma_max:
        return None
    asked = len(reference.trajectories())
    first = reference.first_seed + asked
    seeds = range(first, first + SCREENED)
    try:
        glance = run(reference.sigmas.new_tensor([noise.sigma_max, top, 0.0]), seeds, limit=bench.left)
    except BudgetSpent as error:
        bench.spend(error.evaluations)
        raise
    bench.spend(glance.evaluations)
    places = _sizes(glance.latents).argsort(descending=True, stable=True)[:FOLLOWED].tolist()
    ends = Reference(run, reference.sigmas, first)
    try:
        ends.extend(places, bench.left)
    finally:
        bench.spend(ends.evaluations)
    sizes = zip(places, ends.sizes(places), strict=True)
    large = [place for place, size in sizes if size > LARGER * usual.typical_scale]
    if not large:
        return None
    return LargerPictures(len(large) / SCREENED, asked, ends, tuple(large))


def _sizes(pictures: Tensor) -> Tensor:
    """(n,) RMS of pictures (n, ...) about the brightness of all."""
    flat = pictures.flatten(1).double()
    return (flat - flat.mean()).square().mean(1).sqrt().clamp_min(LEAST_SCALE)
