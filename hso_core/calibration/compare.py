"""Compare: several schedules on the same seeds, against the converged pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise_schedule import NoiseSchedule
from .reference import reference_sigmas
from .run import SamplerRun

REFERENCE_STEPS = 60


@dataclass(frozen=True)
class ComparedSchedule:
    """One schedule's distances to the converged latents.

    distances   (seeds,) RMSE; infinite where the latent is not finite
    latents     (seeds, ...) float32, on the CPU
    seconds, evaluations
                of one latent
    """

    name: str
    sigmas: Tensor
    distances: Tensor
    latents: Tensor
    seconds: float
    evaluations: float

    @property
    def mean(self) -> float:
        return float(self.distances.mean())

    @property
    def median(self) -> float:
        return float(self.distances.quantile(0.5, interpolation="lower"))

    @property
    def worst(self) -> float:
        return float(self.distances.max())


@dataclass(frozen=True)
class Comparison:
    """rows: best mean first. reference: (seeds, ...) the converged latents, made in `reference_steps` steps."""

    rows: tuple[ComparedSchedule, ...]
    reference: Tensor
    reference_steps: int
    seeds: tuple[int, ...]


def compare(
    run: SamplerRun,
    reference_run: SamplerRun,
    schedules: Mapping[str, Tensor],
    seeds: Sequence[int],
    noise: NoiseSchedule,
    *,
    reference_steps: int = REFERENCE_STEPS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Sample `seeds` with `run` along each of `schedules`, and measure the distance to where `reference_run` ends.

    noise: the model's noise schedule. on_progress: called with (sampled steps, all steps) of one latent.
    """
    show = on_progress or (lambda done, total: None)
    total = reference_steps + sum(len(sigmas) - 1 for sigmas in schedules.values())
    show(0, total)
    converged = reference_run(reference_sigmas(noise, reference_steps), seeds).latents
    done, rows = reference_steps, []
    for name, sigmas in schedules.items():
        show(done, total)
        begun = time.perf_counter()
        result = run(sigmas, seeds)
        seconds = time.perf_counter() - begun
        distances = (result.latents.double() - converged.double()).flatten(1).square().mean(1).sqrt()
        distances = distances.nan_to_num(nan=torch.inf)
        count = len(seeds)
        rows.append(
            ComparedSchedule(name, sigmas, distances, result.latents, seconds / count, result.evaluations / count)
        )
        done += len(sigmas) - 1
    show(total, total)
    return Comparison(tuple(sorted(rows, key=lambda row: row.mean)), converged, reference_steps, tuple(seeds))
