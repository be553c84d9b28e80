"""Compare: several schedules on the same seeds, against the converged pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..schedule.sigmas import is_full_noise
from .reference import check_finite, distances, reference_sigmas
from .run import SamplerResult, SamplerRun

REFERENCE_STEPS = 60
LEAST_SHARE = 0.75  # between the first sigmas of reference and schedule, at which they count as starting alike


@dataclass(frozen=True)
class ComparedSchedule:
    """One schedule's distances to the converged latents.

    distances   (seeds,) RMSE; infinite where the latent is not finite
    latents     (kept, ...) float32, on the CPU: those of the first seeds
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
    """What came out.

    rows        best mean first
    reference   (kept, ...) the converged latents, made in `reference_steps` steps from the sigma `reference_start`
    remarks     sentences on schedules that start or end elsewhere than the reference
    """

    rows: tuple[ComparedSchedule, ...]
    reference: Tensor
    reference_steps: int
    reference_start: float
    seeds: tuple[int, ...]
    remarks: tuple[str, ...]


def compare(
    run: SamplerRun,
    reference_run: SamplerRun,
    schedules: Mapping[str, Tensor],
    seeds: Sequence[int],
    noise: NoiseSchedule,
    *,
    runs: Mapping[str, SamplerRun] | None = None,
    start: float | None = None,
    reference_steps: int = REFERENCE_STEPS,
    kept: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Sample `seeds` with `run` along each of `schedules`, and measure the distance to where `reference_run` ends.

    The reference starts with the model's full noise. Where no schedule does, because they are to change a picture and
    not to make one, it starts where the first of them does.

    noise: the model's noise schedule. start: the sigma at which the reference starts instead.
    runs: what samples in place of `run`, by the names of schedules.
    kept: of how many seeds the result holds the latents; all if None.
    on_progress: called with (sampled steps, all steps), each seed's counted.

    Raises ValueError where the model gives NaN.
    """
    show = on_progress or (lambda done, total: None)
    count = len(seeds)
    total = count * (reference_steps + sum(len(sigmas) - 1 for sigmas in schedules.values()))
    done = 0

    def sample(sampler: SamplerRun, sigmas: Tensor) -> SamplerResult:
        nonlocal done
        begun, done = done, done + count * (len(sigmas) - 1)
        evaluated = 0

        def observe(sigma: float, x: Tensor, denoised: Tensor) -> None:
            nonlocal evaluated
            evaluated += len(x)
            show(min(begun + evaluated, done), total)  # a sampler may look more than once in a step

        show(begun, total)
        return sampler(sigmas, seeds, observe=observe)

    start = _reference_start(schedules.values(), noise) if start is None else start
    converged = sample(reference_run, reference_sigmas(noise.up_to(start), reference_steps)).latents
    check_finite(converged)
    rows = []
    for name, sigmas in schedules.items():
        begun = time.perf_counter()
        result = sample((runs or {}).get(name, run), sigmas)
        seconds = time.perf_counter() - begun
        latents = result.latents[:kept].clone()  # not a view, which would hold all of them
        far = distances(result.latents, converged)
        rows.append(ComparedSchedule(name, sigmas, far, latents, seconds / count, result.evaluations / count))
    show(total, total)
    ranked = tuple(sorted(rows, key=lambda row: row.mean))
    remarks = tuple(_remarks(schedules, start, noise))
    return Comparison(ranked, converged[:kept].clone(), reference_steps, start, tuple(seeds), remarks)


def _reference_start(schedules: Iterable[Tensor], noise: NoiseSchedule) -> float:
    """The sigma that schedules (n + 1,) of one model are to be compared from."""
    starts = [float(sigmas[0]) for sigmas in schedules]
    full = any(is_full_noise(start, noise) for start in starts)
    return noise.sigma_max if full else max(starts)


def _remarks(schedules: Mapping[str, Tensor], start: float, noise: NoiseSchedule) -> Iterator[str]:
    full = start >= noise.sigma_max
    for name, sigmas in schedules.items():
        first, last = float(sigmas[0]), float(sigmas[-1])
        alike = is_full_noise(first, noise) if full else LEAST_SHARE <= first / start <= 1 / LEAST_SHARE
        if not alike:
            yield f"{name} starts at sigma {first:g} and not at {start:g}, so its distance tells of that, too."
        if last > 0:
            yield f"{name} ends at sigma {last:g}, so noise is left in its pictures."
