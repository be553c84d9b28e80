"""The pairs of sampler and scheduler at hand, those first that are likely to be good."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .generators import foretold_errors
from .profile import Profile
from .signed_defect import SignedDefect
from .usual import BEHIND, MOST_BEHIND

USUAL_SHARE = 0.7  # of what is usual in the order; what is foretold has the rest
MOST_FORETOLD = 3.0  # above the median, in the logarithm
TWINS = 0.02  # relative difference of sigmas

Pair = tuple[str, Tensor]
"""The host's solver by its name, one of SOLVERS, and the schedule (N + 1,)."""


def most_promising_first(
    pairs: Mapping[str, Pair], profile: Profile, noise: NoiseSchedule, usual_share: float = USUAL_SHARE
) -> dict[str, Pair]:
    """By their foretold error and by how good they usually are; of twins only the first."""
    logs = dict[str, float]()
    for solver in dict.fromkeys(solver for solver, _ in pairs.values()):
        names = [name for name, pair in pairs.items() if pair[0] == solver]
        errors = foretold_errors([pairs[name][1] for name in names], [SignedDefect(profile, noise, solver)])[0]
        logs.update(zip(names, np.log(np.where(errors > 0, errors, np.inf)).tolist(), strict=True))
    median = float(np.median(list(logs.values())))

    def unlikely(name: str) -> tuple[float, str]:
        foretold = min(logs[name] - median, MOST_FORETOLD) if np.isfinite(median) else 0.0
        usual = BEHIND.get(name, MOST_BEHIND)
        return (1 - usual_share) * foretold + usual_share * usual, name

    kept = dict[str, Pair]()
    for name in sorted(pairs, key=unlikely):
        solver, sigmas = pairs[name]
        twins = (other for known, other in kept.values() if known == solver)
        if not any(sigmas.allclose(other, rtol=TWINS, atol=0) for other in twins):
            kept[name] = pairs[name]
    return kept
