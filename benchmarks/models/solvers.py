"""Solvers, nearly all the host's own, run on a test model from given seeds: the calibration's SamplerRun."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import host_import
from hso_core.calibration.run import Advance, BudgetSpent, Observer, SamplerResult
from hso_core.solvers import known_solver

from .catalogue import TestModel

SOLVERS = ("euler", "dpmpp_2m", "uni_pc")
REFERENCE_SOLVER = "dpmpp_3m"
"""As in the Calibrate nodes. The host has it with noise only; it is run from the pack's table of weights, as there."""
BATCH = 64
PATH_SEEDS = 1 << 30
"""Added to a seed for the noise that a stochastic sampler draws on the way. Above all seeds, and below 2**32: of a seed
torch's generator on the CPU keeps the low 32 bits only."""


@functools.cache
def host_sampler(name: str) -> Callable[..., Tensor]:
    """The host's function of the sampler `name`, with the signature (model, x, sigmas, extra_args=, disable=)."""
    host_import.import_host()
    import comfy.samplers

    return comfy.samplers.sampler_object(name).sampler_function


class SolverRun:
    """One of the host's samplers, or REFERENCE_SOLVER, on a test model, started from x = sigmas[0] * noise.

    Deterministic: the noise of a seed depends on nothing but the seed and the model's shape. Samplers that draw noise
    on the way get it from the same seed (`options`, such as eta, go to the sampler's function).
    """

    def __init__(self, model: TestModel, solver: str, batch: int = BATCH, **options: Any) -> None:
        self.model, self.solver, self.batch, self.options = model, solver, batch, options
        self._sample = functools.partial(_reference, model) if solver == REFERENCE_SOLVER else host_sampler(solver)
        self._noise: dict[int, Tensor] = {}

    def __call__(
        self, sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
    ) -> SamplerResult:
        """Sample along `sigmas` (N + 1,); see SamplerRun."""
        sigmas = torch.as_tensor(sigmas).float()
        denoiser = _CountingDenoiser(self.model, limit, observe)
        with torch.inference_mode():
            parts = [self._run(denoiser, sigmas, chunk) for chunk in _chunks(seeds, self.batch)]
        return SamplerResult(torch.cat(parts), denoiser.evaluations)

    def start_noise(self, seeds: Sequence[int]) -> Tensor:
        """Unit noise (len(seeds), *shape) of the seeds."""
        return torch.stack([self._noise_of(seed) for seed in seeds])

    def _run(self, denoiser: _CountingDenoiser, sigmas: Tensor, seeds: Sequence[int]) -> Tensor:
        x = self._start(sigmas[0], seeds)
        # uni_pc writes into the sigmas that it is given
        return self._sample(denoiser, x, sigmas.clone(), extra_args={}, disable=True, **self._extra(seeds))

    def _start(self, sigma: Tensor, seeds: Sequence[int]) -> Tensor:
        return sigma * self.start_noise(seeds)

    def _extra(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Keyword arguments of the sampler's function; the noise of a stochastic one is each seed's own."""
        if "noise_sampler" not in inspect.signature(self._sample).parameters:
            return self.options
        generators = [torch.Generator().manual_seed(seed + PATH_SEEDS) for seed in seeds]

        def noise(*_: Tensor) -> Tensor:
            return torch.stack([torch.randn(self.model.shape, generator=generator) for generator in generators])

        return {"noise_sampler": noise, **self.options}

    def _noise_of(self, seed: int) -> Tensor:
        if seed not in self._noise:
            generator = torch.Generator().manual_seed(seed)
            self._noise[seed] = torch.randn(self.model.shape, generator=generator)
        return self._noise[seed]


def _reference(model: TestModel, denoiser: Callable[..., Tensor], x: Tensor, sigmas: Tensor, **_: object) -> Tensor:
    """A function like those of the host."""
    return known_solver(REFERENCE_SOLVER, sigmas, model.noise).sample(denoiser, x)


class SteppedSolverRun:
    """A test model sampled by steps of the calibration's own: an implementation of its SteppedRun."""

    def __init__(self, model: TestModel) -> None:
        self.model, self._starts = model, SolverRun(model, "euler")

    def __call__(
        self,
        sigmas: Tensor,
        seeds: Sequence[int],
        begin: Callable[[], Advance],
        *,
        limit: int | None = None,
        observe: Observer | None = None,
    ) -> SamplerResult:
        """Sample along `sigmas` (N + 1,); see SteppedRun."""
        levels = torch.as_tensor(sigmas).float()
        denoiser, advance = _CountingDenoiser(self.model, limit, observe), begin()
        x = levels[0] * self._starts.start_noise(seeds)
        with torch.inference_mode():
            for sigma in levels[:-1]:
                x = advance(x, torch.cat([denoiser(part, sigma) for part in x.split(BATCH)]))
        return SamplerResult(x, denoiser.evaluations)


class _CountingDenoiser:
    """What the host's samplers call: model(x, sigma (batch,)) -> denoised."""

    def __init__(self, model: TestModel, limit: int | None, observe: Observer | None) -> None:
        self._denoise, self._limit, self._observe = model.denoise, limit, observe
        self._model = model
        self.evaluations = 0

    @property
    def inner_model(self) -> SimpleNamespace:
        """Where stochastic samplers look for the model_sampling object."""
        sampling = self._model.sampling()
        patcher = SimpleNamespace(get_model_object=lambda _: sampling)
        return SimpleNamespace(inner_model=SimpleNamespace(model_sampling=sampling), model_patcher=patcher)

    def __call__(self, x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        if self._limit is not None and self.evaluations + len(x) > self._limit:
            raise BudgetSpent(
                f"{self.evaluations} of {self._limit} evaluations are spent; {len(x)} more were wanted",
                self.evaluations,
            )
        self.evaluations += len(x)
        level = float(sigma.flatten()[0])
        denoised = self._denoise(x, level)
        if self._observe is not None:
            self._observe(level, x, denoised)
        return denoised


def _chunks(seeds: Sequence[int], length: int) -> Iterator[list[int]]:
    seeds = list(seeds)
    for begin in range(0, len(seeds), length):
        yield seeds[begin : begin + length]
