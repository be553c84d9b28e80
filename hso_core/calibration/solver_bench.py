"""Trials whose solver is fitted to their schedule, or known, run by steps."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..schedule.noise_schedule import NoiseSchedule
from ..solvers import LinearMultistep, SolverError, known_solver
from .fit_solver import Array, ClosedLoopFit
from .generators import ANCHOR
from .reference import Reference
from .refine_solver import Branches, PerSeed, latents_of
from .run import Advance, SamplerResult, SteppedRun
from .search import Bench, Trial

SHARES = (1.0, 0.3)  # of a change that are tried: it is right only as far as the end moves evenly
MOST_VALUES = 2**29  # of the latents of a refinement's branches; 2 GiB
FOLDS = 4  # parts of the seeds, each run with weights that are fitted to the others


class SolverBench(Bench):
    """Measures trials with their solver; one without is fitted on the way, and anew to all seeds where more are asked.

    So a fitted trial's distances are of seeds to which its weights were not fitted, FOLDS parts of them each with
    weights of its own; those that it keeps, for further seeds, are fitted to all.
    """

    def __init__(
        self, run: SteppedRun, reference: Reference, first_seed: int, budget: int, noise: NoiseSchedule
    ) -> None:
        super().__init__(self._sample_trial, reference, budget)
        self._run, self._first_seed, self._noise = run, first_seed, noise

    def price(self, trials: Sequence[Trial], places: Sequence[int], new: int = 0) -> float:
        anew = sum(trial.is_fit and any(place not in trial.distances for place in places) for trial in trials)
        return super().price([trial for trial in trials if not trial.is_fit], places, new + anew)

    def measure(self, trial: Trial, places: Sequence[int]) -> None:
        """Raises BudgetSpent, and leaves a fitted trial as it was then."""
        if trial.is_fit and trial.solver and any(place not in trial.distances for place in places):
            again = trial.unmeasured(solver=None)
            self._measure(again, places)
            self._meet(again)
            trial.take(again)
        else:
            self._measure(trial, places)  # first: its solver may not be there before
            self._meet(trial)

    def refined(self, trial: Trial, places: Sequence[int], scale: float, tried: Sequence[int]) -> Iterator[Trial]:
        """The trial with a solver that should end nearer, measured as a fitted one is: the whole change, then less.

        places: of seeds that the trial was run on. tried: see `Branches`. The larger pictures, if there are any,
        have a part in it. Raises BudgetSpent.
        """
        solver = trial.solver
        size = float(np.mean([trial.distances[place] for place in places]))
        if solver is None or not np.isfinite(size):
            return
        larger = self.larger
        met = [larger.first + place for place in larger.places] if larger else []
        known, seeds = solver, [self._first_seed + place for place in (*places, *met)]
        made: list[Branches] = []

        def begin() -> Advance:
            made.append(Branches(known, size, scale, self._reference.choose, tried))
            return made[-1]

        ends = self._counted(self._run, trial.sigmas, seeds, begin)
        converged, shares = self._reference.converged(places), np.ones(len(seeds))
        if larger:
            converged = torch.cat([converged, larger.ends.converged(larger.places)])
            shares[len(places) :] = larger.chance * len(places) / len(met)
        fold = np.arange(len(seeds)) % min(FOLDS, len(seeds))
        found = made[-1].sensitivity(ends.latents, converged).step(fold, shares)
        if found is None:
            return
        coefficients = solver.coefficients.numpy()
        for share in SHARES:
            whole, parts = (share * change for change in found)
            try:
                better = LinearMultistep.of_coefficients(trial.sigmas, torch.from_numpy(coefficients + whole)).rounded()
            except SolverError:  # beyond all measure
                continue
            begin_own = functools.partial(PerSeed, (coefficients + parts)[fold])
            result = self._counted(self._run, trial.sigmas, seeds, begin_own)
            again = trial.unmeasured(solver=better, is_fit=False, name=f"{trial.name}, refined")
            self._keep(again, places, result.latents[: len(places)])
            self._keep_met(again, result.latents[len(places) :])
            yield again

    def most_refined(self, tried: Sequence[int]) -> int:
        """Of so many seeds, larger pictures among them, the branches have room in the memory."""
        return MOST_VALUES // (latents_of(tried) * self._reference.converged([0]).numel())

    def _sample_trial(self, trial: Trial, places: Sequence[int], *, limit: int) -> SamplerResult:
        seeds = [self._first_seed + place for place in places]
        if trial.solver is not None:
            return self._run(trial.sigmas, seeds, trial.solver.stepper, limit=limit)
        anchor = known_solver(ANCHOR, trial.sigmas, self._noise)
        fits: list[ClosedLoopFit] = []

        def begin() -> Advance:
            fits.append(self._reference.fit(trial.sigmas, anchor.weights.numpy(), places, FOLDS))
            return fits[-1]

        result = self._run(trial.sigmas, seeds, begin, limit=limit)
        trial.solver = self._solver(trial, fits[-1].weights, anchor)
        return result

    def _solver(self, trial: Trial, weights: Array, anchor: LinearMultistep) -> LinearMultistep:
        try:
            return LinearMultistep(trial.sigmas, torch.from_numpy(weights)).rounded()
        except SolverError:  # weights beyond all measure
            return anchor
