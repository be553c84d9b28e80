"""A sampler on Gaussian data, for which everything is known in closed form: a SamplerRun without any network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hso_core.calibration import Advance, BudgetSpent, Observer, SamplerResult


@dataclass
class GaussianRun:
    """Data N(0, scales^2) in each value; solver: "euler" or "dpmpp_2m" (and "twice", Euler that looks twice).

    flow: x = (1 - sigma) x0 + sigma noise instead of x0 + sigma noise. calls: (sigmas, seeds) of every call.
    """

    scales: Tensor
    solver: str = "euler"
    flow: bool = False

    def __post_init__(self) -> None:
        self.calls: list[tuple[Tensor, list[int]]] = []
        self.evaluations = 0

    def __call__(
        self, sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
    ) -> SamplerResult:
        self.calls.append((sigmas.clone(), list(seeds)))
        start = self.evaluations
        s = sigmas.double() / (1 - sigmas.double()) if self.flow else sigmas.double()  # sigma / alpha
        y = self.noise(seeds)  # y = x / sigma starts as the noise
        before = None
        denoised = torch.zeros_like(y)
        for i in range(len(s) - 1):
            for _ in range(2 if self.solver == "twice" else 1):
                if limit is not None and self.evaluations - start + len(seeds) > limit:
                    raise BudgetSpent(evaluations=self.evaluations - start)
                denoised = self.denoise(y, s[i])
                self.evaluations += len(seeds)
                if observe is not None:
                    observe(float(sigmas[i]), y * sigmas[i], denoised.float())
            slope = denoised
            if self.solver == "dpmpp_2m" and before is not None and s[i + 1] > 0:
                logs = sigmas.double()[i - 1 : i + 2].log()  # as the host's, also for flow models
                ratio = (logs[1] - logs[2]) / (logs[0] - logs[1])
                slope = denoised + 0.5 * ratio * (denoised - before)
            if s[i + 1] > 0:
                y = y + (1 / s[i + 1] - 1 / s[i]) * slope
            before = denoised
        return SamplerResult(denoised.float(), self.evaluations - start)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """(len(seeds), values) float64."""
        draws = [torch.randn(len(self.scales), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws).double()

    def denoise(self, y: Tensor, s: Tensor) -> Tensor:
        """E[x0 | x], x/alpha = s y."""
        if s.isinf():
            return torch.zeros_like(y)
        c2 = self.scales.double() ** 2
        return c2 / (c2 + s**2) * s * y

    def exact(self, seeds: Sequence[int], s: float) -> Tensor:
        """Where the probability-flow ODE ends that starts with x = s noise at sigma/alpha = s."""
        c = self.scales.double()
        return c * s / (c**2 + s**2).sqrt() * self.noise(seeds)


@dataclass
class SteppedGaussianRun:
    """The same data, sampled by steps that the calibration decides on: a SteppedRun. together: latents of one batch."""

    scales: Tensor
    flow: bool = False
    together: int = 1 << 30

    def __post_init__(self) -> None:
        self.calls: list[tuple[Tensor, list[int]]] = []
        self.evaluations = 0
        self.data = GaussianRun(self.scales, flow=self.flow)

    def __call__(
        self,
        sigmas: Tensor,
        seeds: Sequence[int],
        begin: Callable[[], Advance],
        *,
        limit: int | None = None,
        observe: Observer | None = None,
    ) -> SamplerResult:
        self.calls.append((sigmas.clone(), list(seeds)))
        advance, made = begin(), 0
        x = float(sigmas[0]) * self.data.noise(seeds)
        for sigma in sigmas[:-1].double():
            s = sigma / (1 - sigma) if self.flow else sigma  # sigma / alpha
            parts = []
            for part in x.split(self.together):
                if limit is not None and made + len(part) > limit:
                    raise BudgetSpent(evaluations=made)
                parts.append(self.denoise(part / sigma, s))
                made += len(part)
                self.evaluations += len(part)
                if observe is not None:
                    observe(float(sigma), part, parts[-1])
            x = advance(x, torch.cat(parts))
        return SamplerResult(x.float(), made)

    def denoise(self, y: Tensor, s: Tensor) -> Tensor:
        return self.data.denoise(y, s)
