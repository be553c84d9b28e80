"""The reference run: where each seed ends with many steps, and what the model did on the way there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..noise_schedule import NoiseSchedule
from .profile import Profile, ProfileRecorder
from .run import BudgetSpent, SamplerRun

FLOW_START = 30.0  # sigma / alpha where a reference on a flow model goes on after sigma = 1
FLOW_END = 0.02  # sigma / alpha of its last step, about that of Stable Diffusion's tables
RHO = 7.0


def reference_steps(steps: int, family: str) -> int:
    """Steps of the reference for schedules of so many: more for more, and for flow models.

    There are few such numbers, so that calibrations for several numbers of steps share their reference runs.
    """
    return (18 if steps <= 5 else 24 if steps <= 8 else 36) + (4 if family == "flow" else 0)


def reference_sigmas(noise: NoiseSchedule, steps: int) -> Tensor:
    """The reference's own schedule, (steps + 1,) float32: EDM's, rho = 7, from the model's sigma_max to its sigma_min.

    It is taken in sigma / alpha. For a flow model, where that is infinite at the start, it goes on from FLOW_START.
    """
    if noise.family == "vp":
        return _with_zero(_edm(noise.sigma_max, noise.sigma_min, steps))
    least = noise.sigma_min / (1 - noise.sigma_min)
    least = max(least, FLOW_END)
    inner = _edm(max(FLOW_START, 2 * least), least, steps - 1)
    return _with_zero(torch.cat([torch.tensor([noise.sigma_max], dtype=torch.float64), inner / (1 + inner)]))


def _edm(first: float, last: float, count: int) -> Tensor:
    """Karras et al. 2022, eq. 5: (count,) float64."""
    u = torch.linspace(0, 1, count, dtype=torch.float64)
    return torch.pow(first ** (1 / RHO) * (1 - u) + last ** (1 / RHO) * u, RHO)


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)]).float()


def check_finite(converged: Tensor) -> None:
    """Raises ValueError unless the converged latents (seeds, ...) are finite."""
    if not bool(converged.isfinite().all()):
        raise ValueError(
            "with many steps this model gives no picture but NaN or infinite values, so there is nothing to come "
            "closer to; try a higher precision, a lower cfg, or another sampler"
        )


class Reference:
    """The converged latents of the seeds that have been asked for so far, and the profile of the runs.

    sigmas: (R + 1,) the schedule of the runs.
    """

    def __init__(self, run: SamplerRun, sigmas: Tensor, first_seed: int = 0) -> None:
        self.sigmas = sigmas
        self.evaluations = 0
        self._run = run
        self._first_seed = first_seed
        self._latents: dict[int, Tensor] = {}
        self._recorder = ProfileRecorder()
        self._trajectories: Tensor | None = None

    def price(self, places: Sequence[int]) -> float:
        """Evaluations that `extend` would take."""
        missing = sum(place not in self._latents for place in places)
        each = self.evaluations / len(self._latents) if self._latents else len(self.sigmas) - 1
        return missing * each

    def extend(self, places: Sequence[int], limit: int | None = None) -> None:
        """Run the seeds at these places of the sequence of seeds; those that have been run are not run again.

        Raises BudgetSpent beyond `limit` evaluations, and ValueError where what comes out is not finite.
        """
        missing = [place for place in places if place not in self._latents]
        if not missing:
            return
        seeds = [self._first_seed + place for place in missing]
        try:
            result = self._run(self.sigmas, seeds, limit=limit, observe=self._recorder)
        except BudgetSpent as error:
            self.evaluations += error.evaluations
            self._recorder.drop()
            raise
        self.evaluations += result.evaluations
        check_finite(result.latents)
        self._recorder.keep()
        self._latents.update(zip(missing, result.latents, strict=True))

    def distances(self, latents: Tensor, places: Sequence[int]) -> Tensor:
        """RMSE (n,) float64 of each of the latents (n, ...) to the converged one of its place.

        A latent that is not finite is infinitely far.
        """
        converged = torch.stack([self._latents[place] for place in places])
        squares = (latents.double() - converged.double()).flatten(1).square().mean(1)
        return squares.sqrt().nan_to_num(nan=torch.inf)

    def errors(self, latents: Tensor, places: Sequence[int]) -> Tensor:
        """(n, values) what is left of latents (n, ...) less the converged ones, as far as the recorder keeps them."""
        converged = torch.stack([self._latents[place] for place in places])
        return self._recorder.choose(latents.float() - converged)

    def trajectories(self) -> Tensor:
        """(seeds, M + 1, values) the predictions on the way and the final latents, in the order of the runs."""
        if self._trajectories is None or len(self._trajectories) < len(self._latents):
            self._trajectories = self._recorder.trajectories(torch.stack(list(self._latents.values())))
        return self._trajectories

    def profile(self) -> Profile:
        """What was recorded. Raises ValueError before the first run."""
        if not self._latents:
            raise ValueError("there is no profile before the first reference run")
        return self._recorder.profile(torch.stack(list(self._latents.values())))
