"""What is searched: the settings of the method, and the problem they pose for one noise schedule and step count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..schedule.numbers import real_number, whole_number
from ..schedule.sigmas import MAX_STEPS
from .edm_start import edm_start
from .spacing import least_spacing, spacing_penalty

MAPPINGS = ("ddim", "unipc")
STARTS = ("auto", "searched", "sigma_max")
# A flow model's t = 1 has lambda = -inf. ComfyUI's samplers put percent_to_sigma(1e-4) in its place; so do the bounds.
FINITE_T = 1 - 1e-4

Pair = tuple[float, float]

# The paper's bounds are times of SD's and DDPM's tables. For what they would mean on others see `suitable_times`.
PAPER_TIMES = (0.01, 0.03), (0.96, 1.0)
FLOW_TIMES = (0.1, 0.2), (0.9, 0.96)  # measured: benchmarks/studies/time_bounds.py
SD_LEVELS = (0.0936, 0.1673)  # sigma/alpha of SD's table at the paper's t_min
LOWEST_LEVEL = 0.108  # and of DDPM's at its upper end: the paper knows none below it


class SettingsError(ValueError):
    """A setting that the method cannot work with; the message names it, its value and what would be right."""


@dataclass(frozen=True)
class Settings:
    """Every parameter of the method; the defaults are the paper's, but for the bounds of t on tables of other kinds.

    exponent           p in eps(lambda) = sigma^p / alpha
    rho, t_min, t_max  bounds of psi; t_min and t_max None: as suits the noise schedule (`suitable_times`)
    gamma              weight of the spacing penalty
    spacing            d_min at N = 4 and at N = 20
    population         members of the differential evolution for each of the three parameters
    generations        at most so many
    tolerance          spread of the population's fitness, relative to its mean, at which the search ends
    iterations         of the lower level, at most
    mapping            "ddim": N sigmas, then 0. "unipc": N + 1 sigmas, the last one at t_min, no 0
    start              the first sigma: "searched" (at t_max, as in the paper), "sigma_max" (exactly the noise level
                       that denoise asks for: sigma_max at 1), "auto": sigma_max for flow models, searched for others
    denoise            part of the time axis that is sampled: t_min, t_max and d_min are scaled by it
    seed               of the differential evolution
    """

    exponent: float = 2.0
    rho: Pair = (3.0, 16.0)
    t_min: Pair | None = None
    t_max: Pair | None = None
    gamma: float = 1e9
    spacing: Pair = (0.15, 0.01)
    population: int = 20
    generations: int = 60
    tolerance: float = 0.01
    iterations: int = 80
    mapping: str = "ddim"
    start: str = "auto"
    denoise: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("mapping", self.mapping, MAPPINGS)
        _choice("start", self.start, STARTS)
        known: dict[str, Any] = {}  # as Python's own numbers, whatever they came as
        for name, low, high in (("exponent", 1, 8), ("gamma", 0, 1e15), ("denoise", 1e-4, 1), ("tolerance", 0, 1)):
            known[name] = real_number(name, getattr(self, name), low, high, SettingsError)
        for name, least, most in (
            ("population", 2, 200), ("generations", 0, 10_000), ("iterations", 1, 10_000), ("seed", 0, 2**32 - 1)
        ):  # fmt: skip
            known[name] = whole_number(name, getattr(self, name), least, most, SettingsError)
        for name, low, high in (("rho", 0.1, 100), ("t_min", 1e-6, 0.9), ("t_max", 2e-6, 1), ("spacing", 0, 1)):
            if getattr(self, name) is not None:
                known[name] = _pair(name, getattr(self, name), low, high)
                if known[name][0] > known[name][1] and name != "spacing":
                    raise SettingsError(
                        f"{name} goes from {known[name][0]:g} to {known[name][1]:g}; the first must not be the larger"
                    )
        for name, value in known.items():
            object.__setattr__(self, name, value)
        if self.t_min and self.t_max and self.t_min[1] >= self.t_max[0]:
            raise SettingsError(
                f"t_min goes up to {self.t_min[1]:g} and t_max down to {self.t_max[0]:g}; t_min must stay below t_max"
            )

    def times(self, noise: NoiseSchedule) -> tuple[Pair, Pair]:
        """Bounds of t_min and t_max: those given, or where None is, such as suit the noise schedule and leave room."""
        t_min, t_max = suitable_times(noise, self)
        if self.t_min and self.t_min[1] >= t_max[0]:
            t_max = (self.t_min[1] + t_max[1]) / 2, t_max[1]
        t_max = self.t_max or t_max
        low, high = (min(t, t_max[0] / 2) for t in t_min)
        return self.t_min or (low, high), t_max

    def suited_to(self, noise: NoiseSchedule) -> Settings:
        """The same with the bounds of t that are None filled in."""
        t_min, t_max = self.times(noise)
        return replace(self, t_min=t_min, t_max=t_max)


def suitable_times(noise: NoiseSchedule, settings: Settings) -> tuple[Pair, Pair]:
    """Bounds of t_min and t_max that suit a noise schedule: the paper's on tables of the paper's kind.

    The paper's last time is a noise level of 0.1 to 0.2, from which the solver steps to 0. At the same t an EDM table
    lies fifty times lower, a flow model's two to ten times. The step down to there is many times the one before it in
    -ln sigma, which is the time of the host's multistep samplers: they extrapolate too far, and pictures come out
    broken (docs/method.md has figures). So a table that lies lower than both of the paper's takes the noise levels of
    SD's, and flow models have bounds that were measured. A schedule that ends at t_min, without a step to 0, keeps
    the paper's, and one that starts at t_max the paper's t_max.
    """
    t_min, t_max = PAPER_TIMES
    if settings.mapping != "ddim":
        return t_min, t_max
    if noise.family == "flow":
        return FLOW_TIMES[0], (t_max if settings.start == "searched" else FLOW_TIMES[1])
    if float(noise.sigma_of_t(torch.tensor(t_min[1], dtype=torch.float64, device="cpu"))) < LOWEST_LEVEL:
        low, high = noise.t_of_lambda(-torch.tensor(SD_LEVELS, dtype=torch.float64, device="cpu").log()).tolist()
        t_min = low, high
    return t_min, t_max


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


def _pair(name: str, value: Pair, low: float, high: float) -> Pair:
    if not isinstance(value, tuple) or len(value) != 2:
        raise SettingsError(f"{name} is {value!r}; it must be a pair of numbers, (low, high)")
    first, second = (real_number(name, end, low, high, SettingsError) for end in value)
    return first, second


@dataclass(frozen=True)
class Problem:
    """The bi-level problem for `noise` and N = `steps`. psi is (rho, t_min, t_max).

    The bounds of t that `settings` leaves open are filled in. Raises SettingsError.
    """

    noise: NoiseSchedule
    steps: int
    settings: Settings

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole_number("steps", self.steps, 1, MAX_STEPS, SettingsError))
        object.__setattr__(self, "settings", self.settings.suited_to(self.noise))

    @property
    def intervals(self) -> int:
        """K, the number of intervals that the MEP sums over.

        The paper's DDIM mapping (K = N - 1, all K + 1 times are used) leaves nothing to place for N = 1 and 2. There
        K = N as in its UniPC mapping, and the last time, t_min, gives way to the step to 0. On the network hsc32 two
        such steps end at 0.27 from the converged picture, two steps of the DDIM mapping at 0.43.
        """
        few = self.steps < 3
        return self.steps if few or self.settings.mapping == "unipc" else self.steps - 1

    @property
    def emitted(self) -> int:
        """How many of the K + 1 times become sigmas."""
        return self.steps + 1 if self.settings.mapping == "unipc" else self.steps

    @property
    def first_is_full(self) -> bool:
        """Whether the first sigma is exactly the noise level of `denoise` instead of sigma(t_max)."""
        if self.settings.start == "auto":
            return self.noise.family == "flow"
        return self.settings.start == "sigma_max"

    @cached_property
    def bounds(self) -> Tensor:
        """Box of psi, (3, 2) float64 on the CPU, on the time axis [0, denoise].

        t_min does not go below the table's first entry as long as that lies at most half way up to the start. (Where a
        flow table is 1 almost from its beginning, t_max is so small that t_min has to make room.)
        """
        d = self.settings.denoise
        lowest, highest = self.settings.times(self.noise)
        t_max = [min(d * t, self._finite_t) for t in highest]
        first_entry = 1 / len(self.noise)
        floor = first_entry if first_entry <= t_max[0] / 2 else 0.0
        t_min = [max(d * t, floor) for t in lowest]
        if t_min[1] >= t_max[0]:
            t_min = [min(t, t_max[0] / 2) for t in t_min]
        return torch.tensor([self.settings.rho, t_min, t_max], dtype=torch.float64, device="cpu")

    @property
    def _finite_t(self) -> float:
        """Up to where lambda is finite: a flow table reaches 1 at its last entry, or earlier where it is rounded."""
        sigmas = self.noise.sigmas
        if self.noise.family != "flow" or float(sigmas[-1]) < 1:
            return 1.0
        return min(FINITE_T, int((sigmas < 1).sum()) / len(sigmas))

    @cached_property
    def d_min(self) -> float:
        return self.settings.denoise * least_spacing(self.steps, *self.settings.spacing)

    def starts(self, psi: Tensor) -> Tensor:
        """Lambda_init(psi) for psi (3, P): (K + 1, P)."""
        last, first = self.noise.lambda_of_t(psi[1:])
        return edm_start(psi[0], first, last, self.intervals)

    def times(self, lam: Tensor) -> Tensor:
        """Times t (emitted, ...) of the sigmas that schedules lam (K + 1, ...) give, descending."""
        t = self.noise.t_of_lambda(lam[: self.emitted])
        if self.first_is_full:
            t[0] = self.settings.denoise
        return t

    def penalty(self, lam: Tensor) -> Tensor:
        """Spacing penalty of lam (K + 1, ...), on the times that are emitted; (...)."""
        return spacing_penalty(self.times(lam), self.d_min, self.settings.gamma)
