"""The search by real runs: schedules tried on ever more seeds, under a budget that is never exceeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..solvers import LinearMultistep
from .generators import END, FLOW_START, FORETOLD, POWER, RHO, Forecasts, compact_lambdas
from .larger import LargerPictures
from .loss import BOUNDS, Loss, SetLoss, systematic_square
from .reference import Reference
from .run import BudgetSpent, SamplerResult, SamplerRun
from .surrogate import Kernel, Surrogate

Array = NDArray[np.float64]

PROPOSALS = 500
COMPACT_PROPOSALS = 120
ROUNDS = 5  # in which proposals are bent further where they promise most
PARENTS = 5
LEAST_GAP = 0.12  # of the mean step, in lambda
START_ROOM = 0.35  # how far below sigma_max a VP schedule may start, in lambda (0.7 of it); HSO's t_max 0.96 is 0.2
DOUBTS = (1.0, 0.3, 0.1, 0.03, 0.0)  # how much of what is not known of a proposal's error is added: bolder in turn
LEAST_HOPE = 0.01  # improvement of the loss for which a proposal is run
REFIT = 1.2  # the kernel is chosen anew when there are so many times the measurements
PRECISION = 0.1  # of a measurement, in the logarithm, at which more seeds are not worth their price to begin with
LEAST_KNOWN = 4  # trials that the surrogate starts with, at least
MOST_AGAIN = 8  # trials that are run again on more seeds
MOST_SEEDS = 96
FURTHEST = 3.0  # that a picture can be from another, in standard deviations of the data
NEAR = 0.2  # in mean steps, at every sigma
TELLING = 8  # trials, the first, that tell which solver's errors are foretold
RIDGE = 12.0  # times the square of the noise: what a schedule a mean step off has to gain on one seed, in the loss
UNKNOWN_NOISE = 0.4  # between seeds, in the logarithm of a distance, before two of them have been compared
SEARCHED = "searched"


@dataclass(eq=False)
class Trial:
    """A schedule with the distances to the converged latents that were measured for it.

    sigmas (N + 1,) float32; lambdas (N,) of those above 0; risk: see loss.py; by place in the sequence of seeds:
    distances (RMSE), errors (values,), some of the components of what the distance is the size of, and means over them
    of the error times the converged picture and of the error.
    solver: what it was or is to be run with, where that is not always the same; is_fit: whether that is fitted to the
    seeds at hand (see solver_bench.py).
    """

    name: str
    sigmas: Tensor
    lambdas: Array
    risk: float
    distances: dict[int, float] = field(default_factory=dict)
    errors: dict[int, Tensor] = field(default_factory=dict)
    products: dict[int, tuple[float, float]] = field(default_factory=dict)
    shifts: dict[int, float] = field(default_factory=dict)  # see `shift`, by how many
    met: float = 0.0  # RMS of the errors on larger pictures that have been met; 0 before it is run on them
    met_errors: list[Tensor] = field(default_factory=list)
    solver: LinearMultistep | None = None
    is_fit: bool = False

    def unmeasured(self, **changes: Any) -> Trial:
        """A trial of the same schedule, not run yet."""
        known = {"name": self.name, "solver": self.solver, "is_fit": self.is_fit}
        return Trial(sigmas=self.sigmas, lambdas=self.lambdas, risk=self.risk, **{**known, **changes})

    def take(self, other: Trial) -> None:
        """What was measured of another one."""
        for name in ("distances", "errors", "products", "shifts", "met", "met_errors", "solver"):
            setattr(self, name, getattr(other, name))

    def shift(self, seeds: int) -> float:
        """The mean square of the mean error of the first so many seeds."""
        if seeds not in self.shifts:
            errors = torch.stack([self.errors[place] for place in range(seeds)]).double()
            self.shifts[seeds] = float(errors.mean(0).square().mean())
        return self.shifts[seeds]

    @property
    def is_sound(self) -> bool:
        """Whether it has given pictures, and neither NaN nor infinite values."""
        return bool(np.isfinite(self.first()).all())

    def first(self, seeds: int | None = None) -> Array:
        """The distances of the first so many places; of all, if None."""
        return np.array([self.distances[place] for place in sorted(self.distances)[:seeds]])


Sample = Callable[..., SamplerResult]
"""(trial, places of seeds, limit=evaluations at most)"""


class Bench:
    """Measures schedules against the reference, and keeps the count of evaluations.

    sample: runs a trial on the seeds at some places of the sequence, with at most so many evaluations.
    """

    def __init__(self, sample: Sample, reference: Reference, budget: int) -> None:
        self._sample, self._reference = sample, reference
        self.budget = budget
        self._spent = 0
        self.cost: float | None = None  # evaluations a seed takes
        self.larger: LargerPictures | None = None  # every schedule is run on them, too, once they have been met

    @classmethod
    def of_run(cls, run: SamplerRun, reference: Reference, first_seed: int, budget: int) -> Bench:
        """That runs the same sampler on every schedule."""

        def sample(trial: Trial, places: Sequence[int], *, limit: int) -> SamplerResult:
            return run(trial.sigmas, [first_seed + place for place in places], limit=limit)

        return cls(sample, reference, budget)

    @property
    def spent(self) -> int:
        return self._spent + self._reference.evaluations

    def spend(self, evaluations: int) -> None:
        """Count evaluations made elsewhere."""
        self._spent += evaluations

    @property
    def left(self) -> int:
        return self.budget - self.spent

    def price(self, trials: Sequence[Trial], places: Sequence[int], new: int = 0) -> float:
        """Evaluations that it takes to measure these trials and so many new ones there; 0 before the first run."""
        missing = sum(place not in trial.distances for trial in trials for place in places) + new * len(places)
        unmet = (sum(not trial.met for trial in trials) + new) * len(self.larger.places) if self.larger else 0
        return (missing + unmet) * (self.cost or 0) + self._reference.price(places)

    @property
    def chance(self) -> float:
        """Of a larger picture, as far as such have been met."""
        return self.larger.chance if self.larger else 0.0

    def measure(self, trial: Trial, places: Sequence[int]) -> None:
        """Run the trial on the seeds of those places that it has not been run on. Raises BudgetSpent."""
        self._meet(trial)
        self._measure(trial, places)

    def _measure(self, trial: Trial, places: Sequence[int]) -> None:
        missing = [place for place in places if place not in trial.distances]
        if not missing:
            return
        self._reference.extend(missing, self.left)
        self._keep(trial, missing, self._sampled(trial, missing).latents)

    def _sampled(self, trial: Trial, places: Sequence[int]) -> SamplerResult:
        if self.cost is not None and self.cost * len(places) > self.left:
            raise BudgetSpent
        result = self._counted(self._sample, trial, places)
        self.cost = result.evaluations / len(places)
        return result

    def _counted(self, run: Callable[..., SamplerResult], *arguments: Any) -> SamplerResult:
        """What the run gives, its evaluations counted and within the limit of what is left."""
        try:
            result = run(*arguments, limit=self.left)
        except BudgetSpent as error:
            self._spent += error.evaluations
            raise
        self._spent += result.evaluations
        return result

    def _keep(self, trial: Trial, places: Sequence[int], latents: Tensor) -> None:
        trial.distances.update(zip(places, self._reference.distances(latents, places).tolist(), strict=True))
        errors = self._reference.errors(latents, places)
        trial.errors.update(zip(places, errors, strict=True))
        products = (errors * self._reference.pictures(places)).double().mean(1).tolist()
        means = errors.double().mean(1).tolist()
        trial.products.update(zip(places, zip(products, means, strict=True), strict=True))

    def _meet(self, trial: Trial) -> None:
        """Run the trial on the larger pictures, if there are any and it has not been."""
        larger = self.larger
        if larger is None or trial.met:
            return
        self._keep_met(trial, self._sampled(trial, [larger.first + place for place in larger.places]).latents)

    def _keep_met(self, trial: Trial, latents: Tensor) -> None:
        """latents: where the trial ends from the starts of the larger pictures."""
        larger = self.larger
        if larger is None:
            return
        squares = larger.ends.distances(latents, larger.places).square().clamp(1e-18, 1e18)
        trial.met = float(squares.mean().sqrt())
        trial.met_errors = list(larger.ends.errors(latents, larger.places))

    def trajectories(self) -> Tensor:
        """See `Reference.trajectories`."""
        return self._reference.trajectories()

    def brightness(self, seeds: int) -> tuple[float, Array]:
        """The mean of the first so many converged pictures; and the mean squares (seeds,) of each about it."""
        pictures = self._reference.pictures(range(seeds)).double()
        mean = pictures.mean()
        return float(mean), (pictures - mean).square().mean(1).numpy()


class Search:
    """The trials of one calibration, and the choice of the next one.

    seeds: on how many, the first of the sequence, schedules are compared at present; fewer or more as the search finds,
    but at most `most_seeds`. start_is_free: whether schedules may start below sigma_max. fits: whether a solver is
    fitted to each.
    """

    def __init__(
        self,
        bench: Bench,
        noise: NoiseSchedule,
        seeds: int,
        data_scale: float,
        forecasts: Forecasts,
        seed: int,
        *,
        start_is_free: bool,
        most_seeds: int = MOST_SEEDS,
        fits: bool = False,
    ) -> None:
        self.trials: list[Trial] = []
        self.bench, self._noise, self._forecasts = bench, noise, forecasts
        self.seeds = self._step = seeds
        self.start_is_free = start_is_free
        self._scale, self._most_seeds, self._fits = data_scale, most_seeds, fits
        self._rng = np.random.default_rng(seed)
        self._kernel: Kernel | None = None
        self._known_loss = 0, SetLoss(Loss()), ""
        self._met_products: list[Array] = []  # for each larger picture, the products of what the surrogate is made of
        self._bright: dict[int, tuple[float, Array]] = {}
        self._fitted_noise = UNKNOWN_NOISE
        self._known_base: tuple[int, Trial | None] = -1, None
        self._fitted = 0  # measurements that the kernel was chosen for
        self._products: tuple[list[Trial], Array] = [], np.zeros(0)
        # Of the mean over seeds; and (seeds, m + n) with the picture.
        self._set_products = np.zeros((0, 0)), np.zeros((0, 0))

    def add(self, name: str, sigmas: Tensor) -> Trial:
        """A further trial (or the one there is of the same schedule), not yet measured."""
        values = sigmas.detach().to("cpu", torch.float32, copy=True)
        for trial in self.trials:
            if trial.sigmas.equal(values):
                return trial
        self.trials.append(self.trial(name, values))
        self.trials[-1].is_fit = self._fits
        return self.trials[-1]

    def trial(self, name: str, sigmas: Tensor) -> Trial:
        """One that the search itself does not learn from; sigmas: float32 on the CPU."""
        lambdas = self._noise.lambda_of_sigma(sigmas[:-1].double()).numpy()
        return Trial(name, sigmas, lambdas, float(self._risk(lambdas[None])[0]))

    def settle_seeds(self) -> None:
        """Go on with fewer seeds where they tell the same: so many as bring the noise to PRECISION."""
        noise = self._noise_of_seeds()
        if noise is not None:
            self.seeds = min(max(int(np.ceil((noise / PRECISION) ** 2)), 1), self.seeds)

    def _noise_of_seeds(self) -> float | None:
        """Deviation, from seed to seed, of what a schedule's distance is over another's, in the logarithm.

        Of the trials measured on the most seeds; None where there are not two of both.
        """
        sound = [trial for trial in self.measured if trial.is_sound]
        most = max((len(trial.distances) for trial in sound), default=0)
        known = [list(trial.distances.values()) for trial in sound if len(trial.distances) == most]
        logs = np.log(np.array(known).clip(*BOUNDS))
        if logs.ndim < 2 or min(logs.shape) < 2:
            return None
        rest = logs - logs.mean(0) - logs.mean(1, keepdims=True) + logs.mean()
        return float(np.sqrt(np.square(rest).sum() / ((logs.shape[0] - 1) * (logs.shape[1] - 1))))

    def explore(self, reserve: float, stop: Callable[[], bool]) -> None:
        """Measure what promises most, each on the same seeds, while more than `reserve` evaluations are left.

        Where nothing more is promising on so many seeds, go on with more. On fewer seeds than the search was made for,
        less is kept in reserve: seeds that are alike also judge alike.
        """
        looked_at = sorted(self.measured, key=self.loss)
        again = looked_at[: max(len(looked_at) // 3, LEAST_KNOWN)]

        def affordable(trials: Sequence[Trial], new: int) -> bool:
            kept = reserve * min(self.seeds / self._step, 1.0)
            return not stop() and self.bench.left - kept >= self.bench.price(trials, range(self.seeds), new)

        while affordable(again, new=1):
            for trial in again:
                self.bench.measure(trial, range(self.seeds))
                if stop():
                    return
            self._kernel = None
            while affordable([], new=1) and (promising := self._most_promising()):
                if len(promising.distances) >= self.seeds:
                    break  # it costs nothing to go on for ever
                self.bench.measure(promising, range(self.seeds))
            again = self.ranked(self.seeds)[:MOST_AGAIN]
            before, self.seeds = self.seeds, min(2 * self.seeds, self.seeds + self._step, self._most_seeds)
            if self.seeds <= before or not affordable(again, new=2):
                self.seeds = before
                return

    def ranked(self, seeds: int) -> list[Trial]:
        """The measured trials, the best on so many seeds first; after them those measured on fewer."""
        full = [trial for trial in self.measured if len(trial.distances) >= seeds]
        rest = [trial for trial in self.measured if len(trial.distances) < seeds]
        rest.sort(key=lambda trial: (-len(trial.distances), self.loss(trial)))
        return sorted(full, key=lambda trial: self.loss(trial, seeds)) + rest

    def promising_first(self, trials: Sequence[Trial]) -> list[Trial]:
        """These trials, not yet measured, by what is foretold of them with the solver that fits what has been."""
        if not trials:
            return []
        levels = self._levels(np.array([trial.lambdas for trial in trials]))
        foretold = self._forecasts.errors(levels, self.solver)
        return [trials[int(i)] for i in foretold.argsort(kind="stable")]

    def is_near(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Whether one of the others is nearly the same schedule."""
        own = self._coordinates(trial.lambdas[None])
        apart = (np.abs(self._coordinates(other.lambdas[None]) - own) for other in others)
        return any(each.max(initial=0.0) < NEAR for each in apart)  # one step from a fixed start has no coordinates

    def loss(self, trial: Trial, seeds: int | None = None) -> float:
        """See loss.py; on the first so many seeds, on all that the trial was run on if None.

        A schedule that was searched has to be better by the more, the further it is from the others and the fewer the
        seeds are.
        """
        distances = trial.first(seeds)
        count = len(distances)
        systematic = 0.0
        if len(trial.errors) >= count and np.isfinite(distances).all():
            brightness, energies = self._brightness(count)
            along = np.array([trial.products[place] for place in range(count)]) @ np.array([1.0, -brightness])
            systematic = float(systematic_square(trial.shift(count), np.square(distances), along, energies))
        bent = float(self._penalty(trial.lambdas[None])[0]) / count if trial.name == SEARCHED else 0.0
        return float(self._loss(distances, trial.risk, systematic, self._met(trial))) + bent

    @property
    def solver(self) -> str:
        """The one of FORETOLD whose foretold errors are the nearest to those measured."""
        return self._fitted_loss[2]

    @property
    def measured(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.distances]

    # -- the next trial ----------------------------------------------------------------------------------------------

    def _most_promising(self) -> Trial | None:
        """A new schedule, or None where none is worth a run."""
        known = self._compared
        if len(known) < 2:
            return None
        surrogate = self._surrogate(known)
        losses = np.array([self.loss(trial, self.seeds) for trial in known])
        parents = np.array([trial.lambdas for trial in known])[losses.argsort()]
        for doubt in DOUBTS:
            proposals = self._proposals(parents)
            hopes = losses.min() - self._foreseen(surrogate, proposals, doubt)
            for _ in range(ROUNDS):
                if not len(proposals):
                    return None
                best = (-hopes).argsort()[:PARENTS]
                bent = self._bent(proposals[best])
                proposals = np.concatenate([proposals[best], bent])
                hopes = np.concatenate([hopes[best], losses.min() - self._foreseen(surrogate, bent, doubt)])
            if hopes.max() >= LEAST_HOPE:
                return self.add(SEARCHED, self._sigmas(proposals[int(hopes.argmax())]))
        return None

    @property
    def _loss(self) -> SetLoss:
        return self._fitted_loss[1]

    @property
    def _fitted_loss(self) -> tuple[int, SetLoss, str]:
        """Fitted to all that has been measured; how much that is comes first, and the likely solver last."""
        count = sum(len(trial.distances) for trial in self.trials)
        if count != self._known_loss[0]:
            known = self.measured
            distances, risks = [trial.first() for trial in known], [trial.risk for trial in known]
            mean = Loss.fitted(distances, risks, FURTHEST * self._scale)
            solver = "" if self._fits else self._likely_solver(known)
            noise = self._noise_of_seeds()
            self._fitted_noise = UNKNOWN_NOISE if noise is None else noise
            self._known_loss = count, SetLoss(mean, self.bench.chance), solver
        return self._known_loss

    def _likely_solver(self, known: Sequence[Trial]) -> str:
        path = self.bench.trajectories().double()
        misfits = dict.fromkeys(FORETOLD, 0.0)
        for trial in [trial for trial in known if trial.is_sound and trial.errors][:TELLING]:
            places = sorted(trial.errors)
            errors = torch.stack([trial.errors[place] for place in places]).double()
            levels = self._levels(trial.lambdas[None])
            for solver in FORETOLD:
                weights = torch.from_numpy(self._forecasts.likely(levels, solver)[0])
                foretold = torch.einsum("m,smv->sv", weights, path[places])
                rest = (errors - foretold).square().mean() / errors.square().mean().clamp_min(1e-18)
                misfits[solver] += float(rest.clamp_min(1e-18).log())
        return min(misfits, key=lambda solver: misfits[solver])

    def _met(self, trial: Trial) -> float:
        """RMS of its errors on larger pictures; the worst there is, where it was not run on them."""
        return trial.met or max((other.met for other in self.trials), default=0.0)

    def _brightness(self, seeds: int) -> tuple[float, Array]:
        if seeds not in self._bright:
            self._bright[seeds] = self.bench.brightness(seeds)
        return self._bright[seeds]

    def _penalty(self, lambdas: Array) -> Array:
        """(p,) of schedules (p, N), for one seed: how far each is from the best of those that were not searched."""
        base = self._base
        if base is None:
            return np.zeros(len(lambdas))
        off = self._coordinates(lambdas) - self._coordinates(base.lambdas[None])
        squares = np.square(off).sum(1) / max(lambdas.shape[1] - 1, 1)
        return np.asarray(RIDGE * self._fitted_noise**2 * squares)

    @property
    def _base(self) -> Trial | None:
        """The best of the trials that were not searched."""
        count = self._fitted_loss[0]
        if self._known_base[0] != count:
            given = [trial for trial in self.measured if trial.name != SEARCHED]
            most = min(max((len(trial.distances) for trial in given), default=0), self.seeds)
            full = [trial for trial in given if len(trial.distances) >= most]
            self._known_base = count, min(full, key=lambda trial: self.loss(trial, most), default=None)
        return self._known_base[1]

    def _risk(self, lambdas: Array) -> Array:
        """(p,) of schedules (p, N)."""
        return np.square(self._forecasts.midway(self._levels(lambdas)))

    @property
    def _compared(self) -> list[Trial]:
        """The trials that were measured on all seeds of the search, and gave no NaN there."""
        full = (trial for trial in self.trials if len(trial.distances) >= self.seeds)
        sound = [trial for trial in full if all(bool(trial.errors[p].isfinite().all()) for p in range(self.seeds))]
        return [trial for trial in sound if all(bool(errors.isfinite().all()) for errors in trial.met_errors)]

    def _foreseen(self, surrogate: Surrogate, lambdas: Array, doubt: float) -> Array:
        """The loss (p,) of schedules (p, N), if such a share of what is not known of their errors adds to them."""
        levels = self._levels(lambdas)
        vectors, variance = surrogate.weights(
            self._coordinates(lambdas), self._forecasts(levels, surrogate.kernel.foretold or 0)
        )
        squares = surrogate.squares(vectors)
        sizes = np.sqrt(squares + doubt * variance[:, None] * surrogate.energy)
        mean_gram, along = self._set_products
        shift = ((vectors @ mean_gram) * vectors).sum(1).clip(0)
        systematic = systematic_square(shift, squares, vectors @ along.T, self._brightness(self.seeds)[1])
        apart = [((vectors @ gram) * vectors).sum(1) for gram in self._met_products]
        met = np.sqrt(np.mean(apart, axis=0).clip(0)) if apart else np.zeros(len(vectors))
        bent = self._penalty(lambdas) / self.seeds
        return self._loss(sizes, self._risk(lambdas), systematic, met) + bent

    def _surrogate(self, known: list[Trial]) -> Surrogate:
        lambdas = np.array([trial.lambdas for trial in known])
        levels = self._levels(lambdas)
        forecasts = np.array([self._forecasts(levels, which) for which in range(len(self._forecasts))])
        surrogate = Surrogate(self._coordinates(lambdas), forecasts, self._gram(known))
        if self._kernel is None or len(known) >= REFIT * self._fitted:
            self._kernel, self._fitted = surrogate.choose_kernel(self._kernel), len(known)
        return surrogate.fit(self._kernel)

    def _gram(self, known: list[Trial]) -> Array:
        """(seeds, m + n, m + n) products of the reference's m vectors and the n trials' errors, means over values."""
        old, products = self._products
        start = len(old) if old == known[: len(old)] and len(products) == self.seeds else -1
        rows, along, total = [], [], torch.zeros((), dtype=torch.float64, device="cpu")
        brightness, _ = self._brightness(self.seeds)
        for place, path in zip(range(self.seeds), self.bench.trajectories(), strict=False):
            vectors = torch.cat([path, torch.stack([trial.errors[place] for trial in known])]).double()
            done = len(path) + start if start >= 0 else 0
            fresh = (vectors[done:] @ vectors.T / vectors.shape[1]).numpy()
            upper = np.concatenate([products[place], fresh[:, :done].T], axis=1) if done else fresh[:0]
            rows.append(np.concatenate([upper, fresh]))
            along.append((vectors @ (path[-1].double() - brightness) / vectors.shape[1]).numpy())
            total = total + vectors
        mean = total / self.seeds
        self._set_products = (mean @ mean.T / mean.shape[1]).numpy(), np.array(along)
        self._met_products = []
        if self.bench.larger and all(trial.met for trial in known):
            for i, path in enumerate(self.bench.larger.ends.trajectories_of(self.bench.larger.places)):
                vectors = torch.cat([path, torch.stack([trial.met_errors[i] for trial in known])]).double()
                self._met_products.append((vectors @ vectors.T / vectors.shape[1]).numpy())
        self._products = list(known), np.array(rows)
        return self._products[1]

    def _proposals(self, parents: Array) -> Array:
        """New schedules (p, N): the best ones bent smoothly, mixed with others, and members of the compact family.

        parents: lambdas (n, N) of the measured trials, best first.
        """
        rng, count = self._rng, len(parents)
        ranks = rng.exponential(1.2, PROPOSALS).astype(int).clip(max=min(PARENTS, count) - 1)
        children = parents[ranks]
        mixed = rng.random(PROPOSALS) < 0.2
        others = parents[rng.integers(min(10, count), size=PROPOSALS)]
        part = np.where(mixed, rng.uniform(-0.5, 1, PROPOSALS), 0.0)[:, None]
        children[:, 1:] += part * (others[:, 1:] - children[:, 1:])
        proposals = np.concatenate([self._bend(children), self._compact_proposals(parents.shape[1])])
        return proposals[self._fit_model(proposals)]

    def _bent(self, parents: Array) -> Array:
        """New schedules (p, N), each one of the parents bent."""
        bent = self._bend(parents[self._rng.integers(len(parents), size=PROPOSALS // 2)])
        return bent[self._fit_model(bent)]

    def _bend(self, children: Array) -> Array:
        """The schedules (p, N), each changed smoothly, a little or a lot."""
        rng, (count, steps) = self._rng, children.shape
        bends = _bends(steps)
        weights = rng.normal(size=(count, len(bends))) / np.arange(1, len(bends) + 1) ** 0.7
        weights *= self._spacing * 10 ** rng.uniform(-1.6, -0.1, (count, 1))
        smooth = np.asarray(rng.random(count) < 0.35)  # only the first few bends
        weights[smooth[:, None] & (np.arange(len(bends)) >= rng.integers(1, len(bends) + 1, (count, 1)))] = 0
        changed = children.copy()
        changed[:, 1:] += (weights @ bends)[:, 1:]
        if self.start_is_free:
            moved = np.asarray(rng.random(count) < 0.3)
            changed[moved, 0] += 0.3 * self._spacing * rng.normal(size=moved.sum())
        return changed

    def _compact_proposals(self, steps: int) -> Array:
        def draw(low: float, high: float) -> Array:
            return np.exp(self._rng.uniform(np.log(low), np.log(high), COMPACT_PROPOSALS))

        columns = compact_lambdas(self._noise, steps, draw(*RHO), draw(*POWER), draw(*END) * self._scale)
        if not self.start_is_free:
            columns[0] = self._range[0]
        return columns.T

    def _fit_model(self, lambdas: Array) -> NDArray[np.bool_]:
        """Which of the schedules (p, N) fall at every step, stay in the model's range, and may give a picture."""
        first, last = self._range
        fits = (np.diff(lambdas) > LEAST_GAP * self._spacing).all(1) & (lambdas[:, -1] <= last + 1e-9)
        if self.start_is_free:
            fits &= (lambdas[:, 0] >= first - 1e-9) & (lambdas[:, 0] <= first + START_ROOM)
        elif lambdas.shape[1] > 1:
            fits &= lambdas[:, 1] >= self._least_second
        return fits & ~self._seems_broken(lambdas)

    def _seems_broken(self, lambdas: Array) -> NDArray[np.bool_]:
        """Whether of all measured schedules the nearest to each of (p, N) gave NaN or infinite values."""
        measured = self.measured
        broken = np.array([not trial.is_sound for trial in measured])
        if not broken.any():
            return np.zeros(len(lambdas), dtype=np.bool_)
        known = self._coordinates(np.array([trial.lambdas for trial in measured]))
        nearest = np.abs(self._coordinates(lambdas)[:, None] - known).max(-1).argmin(1)
        return np.asarray(broken[nearest])

    # -- coordinates -------------------------------------------------------------------------------------------------

    @cached_property
    def _spacing(self) -> float:
        """The mean step in lambda of the first trials: the unit in which schedules are compared."""
        finite = [t.lambdas[np.isfinite(t.lambdas)] for t in self.trials]
        steps = [float(np.diff(lambdas).mean()) for lambdas in finite if len(lambdas) > 1]
        return float(np.median(steps)) if steps else 1.0

    @cached_property
    def _least_second(self) -> float:
        """Lambda below which no second value lies: a flow model's start is at -inf, so any step from there would do."""
        seconds = [float(trial.lambdas[1]) for trial in self.trials]
        return min([-float(np.log(FLOW_START)), *(lam for lam in seconds if np.isfinite(lam))])

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Lambda of the model's sigma_max and sigma_min."""
        ends = torch.tensor([self._noise.sigma_max, self._noise.sigma_min], dtype=torch.float64, device="cpu")
        first, last = self._noise.lambda_of_sigma(ends).tolist()
        return first, last

    def _coordinates(self, lambdas: Array) -> Array:
        """(n, d): lambdas in units of a step, without a start that is fixed; a flow model's is infinite, too."""
        return (lambdas if self.start_is_free else lambdas[:, 1:]) / self._spacing

    def _levels(self, lambdas: Array) -> Array:
        """Sigmas (p, N) of lambdas (p, N)."""
        sigmas = self._noise.sigma_of_lambda(torch.from_numpy(lambdas)).numpy()
        first = sigmas[:, 0] if self.start_is_free else self._noise.sigma_max
        sigmas[:, 0] = np.minimum(first, self._noise.sigma_max)
        return np.asarray(sigmas)

    def _sigmas(self, lambdas: Array) -> Tensor:
        return torch.from_numpy(np.append(self._levels(lambdas[None])[0], 0.0)).float()


def _bends(steps: int) -> Array:
    """Smooth changes of a schedule that leave its start, (steps - 1, steps): a stretch, then sines."""
    u = np.arange(steps) / max(steps - 1, 1)
    return np.array([u, *(np.sin(np.pi * k * u) for k in range(1, steps - 1))][: max(steps - 1, 1)])
