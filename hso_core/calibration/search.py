"""The search by real runs: schedules tried on blocks of seeds, under a budget that is never exceeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..noise_schedule import NoiseSchedule
from .generators import END, POWER, RHO, compact_lambdas
from .reference import Reference
from .run import BudgetSpent, SamplerRun
from .surrogate import Kernel, Surrogate, expected_improvement

Array = NDArray[np.float64]

PROPOSALS = 500
COMPACT_PROPOSALS = 120
PARENTS = 5
LEAST_GAP = 0.12  # of the mean step, in lambda
START_ROOM = 0.35  # how far below sigma_max a VP schedule may start, in lambda (0.7 of it); HSO's t_max 0.96 is 0.2
REFIT_EVERY = 5
MEAN_POWER = 0.5
NEAR = 0.1  # in mean steps, at every sigma


@dataclass(eq=False)
class Trial:
    """A schedule with the distances to the converged latents that were measured for it.

    sigmas (N + 1,) float32; lambdas (N,) of those above 0; distances: RMSE by place in the sequence of seeds.
    """

    name: str
    sigmas: Tensor
    lambdas: Array
    distances: dict[int, float] = field(default_factory=dict)


class Bench:
    """Measures schedules against the reference, and keeps the count of evaluations."""

    def __init__(self, run: SamplerRun, reference: Reference, first_seed: int, budget: int) -> None:
        self._run, self._reference = run, reference
        self._first_seed = first_seed
        self._budget = budget
        self._spent = 0
        self.cost: float | None = None  # evaluations a seed takes

    @property
    def spent(self) -> int:
        return self._spent + self._reference.evaluations

    @property
    def left(self) -> int:
        return self._budget - self.spent

    def price(self, trial: Trial | None, places: Sequence[int]) -> float:
        """Evaluations that it takes to measure a trial (None: a new one) there; 0 as long as no run has told."""
        missing = len(places) if trial is None else sum(place not in trial.distances for place in places)
        return missing * (self.cost or 0) + self._reference.price(places)

    def measure(self, trial: Trial, places: Sequence[int]) -> None:
        """Run the trial on the seeds of those places that it has not been run on. Raises BudgetSpent."""
        missing = [place for place in places if place not in trial.distances]
        if not missing:
            return
        self._reference.extend(missing, self.left)
        if self.cost is not None and self.cost * len(missing) > self.left:
            raise BudgetSpent
        seeds = [self._first_seed + place for place in missing]
        try:
            result = self._run(trial.sigmas, seeds, limit=self.left)
        except BudgetSpent as error:
            self._spent += error.evaluations
            raise
        self._spent += result.evaluations
        self.cost = result.evaluations / len(missing)
        trial.distances.update(zip(missing, self._reference.distances(result.latents, missing).tolist(), strict=True))


class Search:
    """The trials of one calibration, and the choice of the next one by expected improvement."""

    def __init__(self, bench: Bench, noise: NoiseSchedule, block: int, data_scale: float, seed: int) -> None:
        self.trials: list[Trial] = []
        self._bench, self._noise = bench, noise
        self._block, self._scale = block, data_scale
        self._rng = np.random.default_rng(seed)
        self._kernel: Kernel | None = None
        self._fits = 0

    def add(self, name: str, sigmas: Tensor) -> Trial:
        """A further trial (or the one there is of the same schedule), not yet measured."""
        values = sigmas.detach().to("cpu", torch.float32, copy=True)
        for trial in self.trials:
            if trial.sigmas.equal(values):
                return trial
        lambdas = self._noise.lambda_of_sigma(values[:-1].double()).numpy()
        self.trials.append(Trial(name, values, lambdas))
        return self.trials[-1]

    def explore(self, places: int, reserve: Callable[[], float], stop: Callable[[], bool]) -> None:
        """Measure what promises most, block by block of at most `places` seeds, while more than reserve() is left."""
        while not stop():
            trial = self._most_promising(places)
            if trial is None:
                return
            block = self._next_block(trial)
            if self._bench.left - reserve() < self._bench.price(trial, block):
                return
            try:
                self._bench.measure(trial, block)
            except BudgetSpent:
                return

    def _next_block(self, trial: Trial | None) -> range:
        done = len(trial.distances) if trial else 0
        return range(done, (done // self._block + 1) * self._block)

    def ranked(self) -> list[Trial]:
        """The measured trials, the least loss that is to be expected over all seeds first."""
        mean, deviation = self._surrogate().predict(self._coordinates(self._lambdas))
        return [self.measured[i] for i in (mean + 0.5 * deviation).argsort()]

    def is_near(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Whether one of the others is nearly the same schedule."""
        own = self._coordinates(trial.lambdas[None])
        return any(np.abs(self._coordinates(other.lambdas[None]) - own).max() < NEAR for other in others)

    @property
    def measured(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.distances]

    @property
    def _lambdas(self) -> Array:
        """(measured, N)"""
        return np.array([trial.lambdas for trial in self.measured])

    # -- the next trial ----------------------------------------------------------------------------------------------

    def _most_promising(self, places: int) -> Trial | None:
        measured = self.measured
        surrogate = self._surrogate()
        lambdas = self._lambdas
        known = self._coordinates(lambdas)
        mean, _ = surrogate.predict(known)
        proposals = self._proposals(lambdas[mean.argsort()])
        points = np.concatenate([known, self._coordinates(proposals)])
        gain = expected_improvement(*surrogate.predict(points), best=float(mean.min()))
        new = self._bench.price(None, self._next_block(None))
        for i, trial in enumerate(measured):
            block = self._next_block(trial)
            gain[i] = gain[i] * new / self._bench.price(trial, block) if block.stop <= places else -1.0
        best = int(gain.argmax())
        if gain[best] < 0:
            return None
        if best < len(measured):
            return measured[best]
        return self.add("searched", self._sigmas(proposals[best - len(measured)]))

    def _surrogate(self) -> Surrogate:
        measured = self.measured
        rows = [
            (i, place // self._block, loss(np.array([t.distances[p] for p in block])))
            for i, t in enumerate(measured)
            for place in range(0, len(t.distances), self._block)
            if (block := [p for p in range(place, place + self._block) if p in t.distances])
        ]
        index, blocks, values = (np.array(column) for column in zip(*rows, strict=True))
        surrogate = Surrogate(self._coordinates(self._lambdas), index, blocks, values)
        if self._kernel is None or self._fits % REFIT_EVERY == 0:
            self._kernel = surrogate.choose_kernel()
        self._fits += 1
        return surrogate.fit(self._kernel)

    def _proposals(self, parents: Array) -> Array:
        """New schedules (p, N): the best ones bent smoothly, mixed with others, and members of the compact family.

        parents: lambdas (n, N) of the measured trials, best first.
        """
        rng, (count, steps) = self._rng, parents.shape
        bends = _bends(steps)
        ranks = rng.exponential(1.2, PROPOSALS).astype(int).clip(max=min(PARENTS, count) - 1)
        children = parents[ranks]
        kind = rng.random(PROPOSALS)

        mixed = kind > 0.8
        others = parents[rng.integers(min(10, count), size=PROPOSALS)]
        part = np.where(mixed, rng.uniform(-0.5, 1, PROPOSALS), 0.0)[:, None]
        change = part * (others[:, 1:] - children[:, 1:])

        weights = rng.normal(size=(PROPOSALS, len(bends))) / np.arange(1, len(bends) + 1) ** 0.7
        weights *= self._spacing * 10 ** rng.uniform(-1.3, -0.1, (PROPOSALS, 1))
        smooth = kind < 0.35  # only the first few bends
        weights[smooth[:, None] & (np.arange(len(bends)) >= rng.integers(1, len(bends) + 1, (PROPOSALS, 1)))] = 0
        children[:, 1:] += change + (weights @ bends)[:, 1:]

        if self._start_is_free:
            moved = rng.random(PROPOSALS) < 0.3
            children[moved, 0] += 0.3 * self._spacing * rng.normal(size=moved.sum())
        proposals = np.concatenate([children, self._compact_proposals(steps)])
        return proposals[self._fit_model(proposals)]

    def _compact_proposals(self, steps: int) -> Array:
        def draw(low: float, high: float) -> Array:
            return np.exp(self._rng.uniform(np.log(low), np.log(high), COMPACT_PROPOSALS))

        columns = compact_lambdas(self._noise, steps, draw(*RHO), draw(*POWER), draw(*END) * self._scale)
        if not self._start_is_free:
            columns[0] = -np.inf
        return columns.T

    def _fit_model(self, lambdas: Array) -> NDArray[np.bool_]:
        """Which of the schedules (p, N) fall at every step and stay in the model's range."""
        first, last = self._range
        fits = (np.diff(lambdas) > LEAST_GAP * self._spacing).all(1) & (lambdas[:, -1] <= last + 1e-9)
        if self._start_is_free:
            fits &= (lambdas[:, 0] >= first - 1e-9) & (lambdas[:, 0] <= first + START_ROOM)
        return fits

    # -- coordinates -------------------------------------------------------------------------------------------------

    @property
    def _start_is_free(self) -> bool:
        return self._noise.family == "vp"

    @cached_property
    def _spacing(self) -> float:
        """The mean step in lambda of the first trials: the unit in which schedules are compared."""
        finite = [t.lambdas[np.isfinite(t.lambdas)] for t in self.trials]
        steps = [float(np.diff(lambdas).mean()) for lambdas in finite if len(lambdas) > 1]
        return float(np.median(steps)) if steps else 1.0

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Lambda of the model's sigma_max and sigma_min."""
        ends = torch.tensor([self._noise.sigma_max, self._noise.sigma_min], dtype=torch.float64)
        first, last = self._noise.lambda_of_sigma(ends).tolist()
        return first, last

    def _coordinates(self, lambdas: Array) -> Array:
        """(n, d): lambdas in units of a step; a flow model's first, which is infinite and fixed, is left out."""
        return (lambdas if self._start_is_free else lambdas[:, 1:]) / self._spacing

    def _sigmas(self, lambdas: Array) -> Tensor:
        sigmas = self._noise.sigma_of_lambda(torch.from_numpy(lambdas))
        if not self._start_is_free:
            sigmas[0] = self._noise.sigma_max
        sigmas = torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)]).float()
        sigmas[0] = min(float(sigmas[0]), self._noise.sigma_max)
        return sigmas


def loss(distances: Array) -> float:
    """What the search makes small: the logarithm of a mean of the distances between the arithmetic and the geometric.

    The arithmetic mean alone is ruled by the few seeds that end in another picture; the geometric alone forgets them.
    """
    bounded = distances.clip(1e-9, 1e9)
    return float(np.log((bounded**MEAN_POWER).mean()) / MEAN_POWER)


def _bends(steps: int) -> Array:
    """Smooth changes of a schedule that leave its start, (steps - 1, steps): a stretch, then sines."""
    u = np.arange(steps) / max(steps - 1, 1)
    return np.array([u, *(np.sin(np.pi * k * u) for k in range(1, steps - 1))][: max(steps - 1, 1)])
