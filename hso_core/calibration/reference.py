"""The reference run: where each seed ends with many steps, and what the model did on the way there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .fit_solver import Array, ClosedLoopFit
from .generators import FLOW_START, VP_START, compact_schedule, level
from .profile import LEAST_SCALE, Profile, ProfileRecorder
from .reference_runs import ReferenceRun, ReferenceRuns
from .run import BudgetSpent, SamplerRun
from .trajectory import Trajectory

FLOW_END = 0.02  # sigma / alpha of its last step, about that of Stable Diffusion's tables
RHO = 7.0
PIECE = 8  # seeds of one call: what a cancelled search loses at most


def reference_steps(steps: int, family: str) -> int:
    """Steps of the reference for schedules of so many, and more for flow models.

    About three times as many: with more, less of the budget is left for seeds; with fewer, the reference is not good
    enough to judge by. There are few such numbers, so that calibrations for several numbers of steps share their runs.
    """
    few = 14 if steps <= 5 else 20 if steps <= 8 else 24 if steps <= 10 else 36
    return few + (4 if family == "flow" else 0)


def reference_sigmas(noise: NoiseSchedule, steps: int) -> Tensor:
    """The reference's own schedule, (steps + 1,) float32: EDM's, rho = 7, from the model's sigma_max to its sigma_min.

    It is taken in sigma / alpha. Where that starts very high, as for flow models and a terminal SNR of zero, it goes
    on from FLOW_START or VP_START. For flow models it ends at FLOW_END where sigma_min is lower.
    """
    is_flow = noise.family == "flow"
    least = max(noise.sigma_min / (1 - noise.sigma_min), FLOW_END) if is_flow else noise.sigma_min
    second = level(noise, FLOW_START if is_flow else VP_START)
    if noise.sigma_max <= second:
        return compact_schedule(noise, steps, RHO, 1.0, least).float()
    below = compact_schedule(noise, steps - 1, RHO, 1.0, least)
    return torch.cat([below[:1], below.new_tensor([second]), below[1:]]).float()


def check_finite(converged: Tensor) -> None:
    """Raises ValueError unless the converged latents (seeds, ...) are finite."""
    if not bool(converged.isfinite().all()):
        raise ValueError(
            "with many steps this model gives no picture but NaN or infinite values, so there is nothing to come "
            "closer to; try a higher precision, a lower cfg, or another sampler"
        )


def distances(latents: Tensor, converged: Tensor) -> Tensor:
    """RMSE (n,) float64 of latents (n, ...) to the converged ones; infinite where a latent is not finite."""
    pairs = zip(latents, converged, strict=True)  # one by one, for the sake of memory
    squares = [(one.double() - other.double()).square().mean() for one, other in pairs]
    return torch.stack(squares).sqrt().nan_to_num(nan=torch.inf, posinf=torch.inf)


class Reference:
    """The converged latents of the seeds that have been asked for so far, and the profile of the runs.

    Runs that are remembered, from another Reference with the same run, schedule and first seed, are not made again.
    They are counted as if they were, so that nothing that is decided by the count depends on them; and they are exactly
    what would come out anew, but for what rounding makes of other batches.

    sigmas: (R + 1,) the schedule of the runs. first_seed: that of place 0. evaluations: all that are counted;
    remembered: those of them not made.
    """

    def __init__(
        self, run: SamplerRun, sigmas: Tensor, first_seed: int = 0, remembered: ReferenceRuns | None = None
    ) -> None:
        self.sigmas = sigmas
        self.evaluations = self.remembered = 0
        self._run = run
        self.first_seed = first_seed
        self._recorder = ProfileRecorder()
        self._levels = remembered.levels if remembered else None
        self._made = dict(remembered.by_place) if remembered else {}  # also what nobody has asked for yet
        self._asked: dict[int, ReferenceRun] = {}
        self._trajectories: Tensor | None = None

    def price(self, places: Sequence[int]) -> float:
        """Evaluations that `extend` would count."""
        missing = sum(place not in self._asked for place in places)
        each = self.evaluations / len(self._asked) if self._asked else len(self.sigmas) - 1
        return missing * each

    def extend(self, places: Sequence[int], limit: int | None = None) -> None:
        """Run the seeds at these places of the sequence of seeds; those that have been run are not run again.

        Raises BudgetSpent beyond `limit` evaluations, and ValueError where what comes out is not finite.
        """
        missing = [place for place in places if place not in self._asked]
        new = [place for place in missing if place not in self._made]
        remembered = sum(self._made[place].evaluations for place in missing if place in self._made)
        if limit is not None and remembered > limit:
            self.evaluations += limit  # as if they had been made until then
            self.remembered += limit
            raise BudgetSpent
        before = self.evaluations
        self.evaluations += remembered
        self.remembered += remembered
        for start in range(0, len(new), PIECE):
            left = None if limit is None else limit - (self.evaluations - before)
            self._make(new[start : start + PIECE], left)
        self._asked.update((place, self._made[place]) for place in missing)

    def _make(self, places: Sequence[int], limit: int | None) -> None:
        seeds = [self.first_seed + place for place in places]
        try:
            result = self._run(self.sigmas, seeds, limit=limit, observe=self._recorder)
        except BudgetSpent as error:
            self.evaluations += error.evaluations
            self._recorder.drop()
            raise
        self.evaluations += result.evaluations
        check_finite(result.latents)
        levels, predictions = self._recorder.take()
        self._levels = levels if self._levels is None else self._levels
        each, rest = divmod(result.evaluations, len(places))  # there is a rest where memory was short
        for i, (place, latents) in enumerate(zip(places, result.latents, strict=True)):
            self._made[place] = ReferenceRun(latents, predictions[:, i], each + (i < rest))

    def runs(self) -> ReferenceRuns | None:
        """All that are finished, remembered ones included; None where there is none."""
        return None if self._levels is None else ReferenceRuns(self._levels, dict(self._made))

    def distances(self, latents: Tensor, places: Sequence[int]) -> Tensor:
        """See `distances`; of each of the latents (n, ...) to the converged one of its place."""
        return distances(latents, self.converged(places))

    def errors(self, latents: Tensor, places: Sequence[int]) -> Tensor:
        """(n, values) what is left of latents (n, ...) less the converged ones, as far as the recorder keeps them."""
        return self.choose(latents.float() - self.converged(places))

    def choose(self, latents: Tensor) -> Tensor:
        """(n, values) what is kept of latents (n, ...)."""
        return self._recorder.choose(latents)

    def pictures(self, places: Sequence[int]) -> Tensor:
        """(n, values) what the recorder keeps of the converged latents of these places."""
        return self.choose(self.converged(places))

    def trajectories(self) -> Tensor:
        """(seeds, M + 1, values) the predictions on the way and the final latents, in the order of asking."""
        if self._trajectories is None or len(self._trajectories) < len(self._asked):
            predictions = torch.stack([run.predictions for run in self._asked.values()], dim=1)
            last = self.choose(self.converged(list(self._asked)))
            self._trajectories = torch.cat([predictions, last[None]]).transpose(0, 1)
        return self._trajectories

    def sizes(self, places: Sequence[int]) -> list[float]:
        """RMS of each of the converged latents of these places about the mean of all its values."""
        return [max(float((one - one.mean()).square().mean().sqrt()), LEAST_SCALE) for one in self.converged(places)]

    def trajectories_of(self, places: Sequence[int]) -> Tensor:
        """(n, M + 1, values) those of these places."""
        asked = list(self._asked)
        return self.trajectories()[[asked.index(place) for place in places]]

    def fit(self, sigmas: Tensor, anchor: Array, places: Sequence[int], folds: int) -> ClosedLoopFit:
        """What fits a solver on `sigmas` to the trajectories of these places, see ClosedLoopFit."""
        runs = [self._asked[place] for place in places]
        last = self.choose(self.converged(places))
        paths = torch.stack([*torch.stack([run.predictions for run in runs], dim=1), last], dim=1)
        return ClosedLoopFit(sigmas, anchor, paths, self._trajectory, self.choose, folds)

    @property
    def _trajectory(self) -> Trajectory:
        return Trajectory(self._known_levels)

    def profile(self) -> Profile:
        """Of the runs that have been asked for. Raises ValueError before the first."""
        scale = max(float(self.converged(list(self._asked)).std()), LEAST_SCALE) if self._asked else LEAST_SCALE
        return Profile.of(self._known_levels, self.trajectories(), scale)

    @property
    def _known_levels(self) -> Tensor:
        if self._levels is None or not self._asked:
            raise ValueError("there is no profile before the first reference run")
        return self._levels

    def converged(self, places: Sequence[int]) -> Tensor:
        """(n, ...) the converged latents of these places."""
        return torch.stack([self._asked[place].latents for place in places])
