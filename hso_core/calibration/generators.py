"""Schedules that a profile of the model suggests, at no further cost: where the search by real runs sets out from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import differential_evolution
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .profile import Profile
from .signed_defect import FittedDefect, SignedDefect
from .usual import FITTED, usual_lambdas

Array = NDArray[np.float64]

RHO = (1.0, 12.0)
POWER = (0.6, 1.6)
END = (0.05, 3.0)  # the last sigma above 0, in standard deviations of the data
GAINS = (0.5, 1.0, 2.0)
FORETOLD = ("euler", "dpmpp_2m", "uni_pc")  # other samplers are near to one of them
ANCHOR = "dpmpp_2m"  # of fitted solvers
FIT_GAINS, FIT_STRENGTHS = (1.0, 2.0, 4.0), (1e-2, 1.0)
LIKELY_FIT = 3  # gain 2, strength 1
SUGGESTED_FITS = ((2.0, 1.0), (2.0, 1e-2), (4.0, 1.0), (1.0, 1.0))
DECIDED = 2.4  # sigma / alpha in standard deviations of the data, where what the picture shows is decided
FLOW_START = 30.0  # sigma / alpha that stands for a flow model's start, where it is infinite
VP_START = 150.0  # the same for a table that goes on far above, where nothing is seen: that of a terminal SNR of zero
COMPACT = {"rho 7, end 0.3": (7.0, 1.0, 0.3), "rho 1.5, end 1": (1.5, 1.0, 1.0)}


def suggest(profile: Profile, noise: NoiseSchedule, steps: int) -> dict[str, Tensor]:
    """Schedules (steps + 1,) float64 by the name of the rule, the most promising first.

    For one step there is nothing to choose. A rule whose sigmas do not fall, as with a prediction that never turns, is
    left out.
    """
    if steps < 2:
        return {}
    scale = profile.data_scale
    schedules = {"density of turning": turning_schedule(profile, noise, steps)}
    for solver in FORETOLD:
        foretold = signed_defect_schedule(SignedDefect(profile, noise, solver), profile, noise, steps)
        schedules[f"signed defects of {solver}"] = foretold
        schedules.update(_usual(profile, noise, solver, foretold))
    for name, (rho, power, end) in COMPACT.items():
        schedules[name] = compact_schedule(noise, steps, rho, power, end * scale)
    return _falling(schedules)


def suggest_for_fits(profile: Profile, noise: NoiseSchedule, steps: int) -> dict[str, Tensor]:
    """The same for a solver that is fitted to its schedule."""
    if steps < 2:
        return {}
    foretold = {}
    for gain, strength in SUGGESTED_FITS:
        foretell = FittedDefect(profile, noise, ANCHOR, gain, strength)
        foretold[f"foretold fit {gain:g}, {strength:g}"] = signed_defect_schedule(foretell, profile, noise, steps)
    usual = _usual(profile, noise, FITTED, next(iter(foretold.values())))
    return _falling({**usual, **foretold, "density of turning": turning_schedule(profile, noise, steps)})


def _usual(profile: Profile, noise: NoiseSchedule, solver: str, foretold: Tensor) -> dict[str, Tensor]:
    """The schedule that is usually good for the solver, and what lies halfway between it and the foretold one."""
    inner = usual_lambdas(profile, noise, len(foretold) - 1, solver)
    halfway = (noise.lambda_of_sigma(foretold[1:-1]).numpy() + inner) / 2
    named = {f"usual steps of {solver}": inner, f"halfway to the usual steps of {solver}": halfway}
    first = [_lambda_first(noise)]
    return {name: _schedule(noise, np.concatenate([first, lambdas])) for name, lambdas in named.items()}


def _falling(schedules: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: sigmas for name, sigmas in schedules.items() if bool((sigmas.float().diff() < 0).all())}


def turning_schedule(profile: Profile, noise: NoiseSchedule, steps: int) -> Tensor:
    """Steps as dense in lambda as the root of |dD/dlambda|, which balances the errors of a first-order solver.

    The step to 0 is one of them: what D still turns after the last level counts as the last step's share.
    """
    lam = noise.lambda_of_sigma(profile.sigmas.double()).numpy()
    first = 1 if not np.isfinite(lam[0]) else 0  # a flow model starts at -inf
    width = np.diff(lam[first:])
    mass = np.sqrt(profile.turning().numpy()[first:] * width)  # (turning / width)^(1/2) width
    cumulated = np.concatenate([[0.0], mass.cumsum()])
    wanted = np.linspace(0, cumulated[-1], steps + 1)[:-1]
    inner = np.interp(wanted[1:], cumulated, lam[first:])
    return _schedule(noise, np.concatenate([[_lambda_first(noise)], inner]))


def signed_defect_schedule(foretell: SignedDefect, profile: Profile, noise: NoiseSchedule, steps: int) -> Tensor:
    """The compact family's schedule of the least error that is foretold so."""
    scale = profile.data_scale

    def error(parameters: Array) -> Array:
        rho, power, end = parameters.reshape(3, -1)
        return foretell(_sigmas(noise, compact_lambdas(noise, steps, rho, power, np.exp(end) * scale)))

    box = [RHO, POWER, (np.log(END[0]), np.log(END[1]))]
    found = differential_evolution(
        error, box, popsize=12, maxiter=25, seed=66, polish=False, vectorized=True, updating="deferred"
    )
    rho, power, end = found.x
    return compact_schedule(noise, steps, rho, power, float(np.exp(end)) * scale)


class Forecasts:
    """What `SignedDefect` foretells of schedules, in several `ways`; `likely`: by which the risk is foretold."""

    def __init__(
        self,
        ways: Sequence[SignedDefect],
        likely: SignedDefect,
        decided: float,
        by_solver: Mapping[str, SignedDefect] | None = None,
    ) -> None:
        self._all, self._likely, self._decided = ways, likely, decided
        self._by_solver = by_solver or {}

    @classmethod
    def of_solvers(cls, profile: Profile, noise: NoiseSchedule) -> Forecasts:
        """For each solver and gain; which solver hardly matters for the risk."""
        ways = [SignedDefect(profile, noise, solver, gain) for solver in FORETOLD for gain in GAINS]
        by_solver = dict(zip(FORETOLD, ways[GAINS.index(1.0) :: len(GAINS)], strict=True))
        decided = level(noise, DECIDED * profile.data_scale)
        return cls(ways, by_solver["dpmpp_2m"], decided, by_solver)

    @classmethod
    def of_fits(cls, profile: Profile, noise: NoiseSchedule) -> Forecasts:
        """For a solver that is fitted to each schedule, of each gain and strength of the ridge."""
        ways = [FittedDefect(profile, noise, ANCHOR, *way) for way in itertools.product(FIT_GAINS, FIT_STRENGTHS)]
        return cls(ways, ways[LIKELY_FIT], level(noise, DECIDED * profile.data_scale))

    def __len__(self) -> int:
        return len(self._all)

    def __call__(self, sigmas: Array, which: int) -> Array:
        """The errors of schedules (P, N), falling sigmas before the final 0, as weights (P, M + 1)."""
        return self._all[which].weights(sigmas.T)

    def midway(self, sigmas: Array) -> Array:
        """RMS (P,) of D's error where schedules (P, N) come to what the picture shows."""
        return self._likely.midway(sigmas.T, self._decided)

    def likely(self, sigmas: Array, solver: str) -> Array:
        """The errors of schedules (P, N) with one of FORETOLD, as weights (P, M + 1)."""
        return self._by_solver[solver].weights(sigmas.T)

    def errors(self, sigmas: Array, solver: str) -> Array:
        """The size (P,) of these."""
        return self._by_solver[solver](sigmas.T)


def foretold_errors(schedules: Sequence[Tensor], ways: Sequence[SignedDefect]) -> Array:
    """(ways, n) the errors foretold of schedules (N + 1,) of one length."""
    columns = np.stack([sigmas[:-1].double().numpy() for sigmas in schedules], axis=1)
    return np.stack([way(columns) for way in ways])


def compact_schedule(noise: NoiseSchedule, steps: int, rho: float, power: float, end: float) -> Tensor:
    """s_i = (S^(1/rho) (1 - u) + end^(1/rho) u)^rho, u = (i / (N - 1))^power, s = sigma/alpha; then 0. (N + 1,).

    `end` is cut to the model's range. S is at most FLOW_START or VP_START, but the schedule starts at sigma_max.
    """
    columns = compact_lambdas(noise, steps, *(np.array([value]) for value in (rho, power, end)))
    return _schedule(noise, columns[:, 0])


def compact_lambdas(noise: NoiseSchedule, steps: int, rho: Array, power: Array, end: Array) -> Array:
    """The lambdas (N, P) of `compact_schedule` for P settings, rising."""
    low = np.exp(-_lambda_last(noise))
    first = np.exp(-_lambda_first(noise)) ** (1 / rho)
    last = np.clip(end, low, max(low, 0.5 * np.exp(-_lambda_first(noise)))) ** (1 / rho)
    u = (np.arange(steps) / max(steps - 1, 1))[:, None] ** power
    return np.asarray(-rho * np.log(first * (1 - u) + last * u))


def _lambda_first(noise: NoiseSchedule) -> float:
    """Lambda of sigma_max, but at least that of FLOW_START or VP_START."""
    lam = float(noise.lambda_of_sigma(torch.tensor(noise.sigma_max, dtype=torch.float64, device="cpu")))
    return max(lam, -float(np.log(FLOW_START if noise.family == "flow" else VP_START)))


def _lambda_last(noise: NoiseSchedule) -> float:
    return float(noise.lambda_of_sigma(torch.tensor(noise.sigma_min, dtype=torch.float64, device="cpu")))


def level(noise: NoiseSchedule, ratio: float) -> float:
    """The sigma where sigma / alpha is `ratio`."""
    return ratio / (1 + ratio) if noise.family == "flow" else ratio


def _sigmas(noise: NoiseSchedule, lambdas: Array) -> Array:
    sigmas = noise.sigma_of_lambda(torch.from_numpy(lambdas)).numpy()
    sigmas[0] = noise.sigma_max
    return np.asarray(sigmas)


def _schedule(noise: NoiseSchedule, lambdas: Array) -> Tensor:
    sigmas = torch.from_numpy(_sigmas(noise, lambdas.astype(np.float64)))
    return torch.cat([sigmas, sigmas.new_zeros(1)])
