"""Calibrate: the schedule that brings one sampler on one model closest to the converged picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..schedule.sigmas import SigmasError, check_sigmas
from .generators import FORETOLD, Forecasts, foretold_errors, suggest
from .larger import larger_pictures
from .outcome import EARLIER, SHOWN, Outcome, counted, judged, row_of, shown_names
from .profile import Profile
from .reference import Reference, reference_sigmas, reference_steps
from .reference_runs import ReferenceRuns
from .run import BudgetSpent, Observer, SamplerResult, SamplerRun
from .search import Bench, Search, Trial
from .signed_defect import SignedDefect

BUDGETS = {"quick": 300, "normal": 2000, "thorough": 10000}
SEARCH_SEED = 66
HOPELESS = 2.0  # times the median foretold error of the candidates
LOOK_SHARE, SEARCH_SHARE = 0.4, 0.8  # of the budget that may be spent when the looks, then the search, are done
JUDGED, MOST_JUDGED = 75, 0.3  # evaluations left for the judgement at least; and of the budget at most such a share
SEED_SHARE, MOST_SEEDS = 0.28, 40  # of the budget, for the reference on the first seeds; and how many these are at most
LEAST_SEEDS = 3  # that even a small budget is planned for, where SEED_SHARE pays for them
FINALISTS = (8, 4, 3)  # schedules that are compared on ever more seeds
LEAST_TRIED = 10  # schedules, below which the report says that a larger budget is safer (docs/calibration.md)
OWN_FINALISTS = 3  # of them, at most so many that were at hand
SAME_START = 1e-4  # relative: nearer first sigmas are one


@dataclass(frozen=True)
class Plan:
    """How a budget is divided.

    reference_steps: of one run of the reference. seeds: on which the search begins to compare schedules.
    """

    reference_steps: int
    seeds: int

    @classmethod
    def of(cls, budget: int, steps: int, family: str) -> Plan:
        """More seeds where the budget pays for many runs."""
        fine = reference_steps(steps, family)
        wanted = max(round(0.08 * (budget / steps) ** 0.85), LEAST_SEEDS)
        seeds = min(wanted, int(SEED_SHARE * budget / fine), MOST_SEEDS)
        return cls(fine, max(seeds, 1))

    @property
    def look(self) -> int:
        """Seeds of the first look at a schedule."""
        return max((self.seeds + 2) // 4, 1)


@dataclass(frozen=True)
class Calibration(Outcome):
    """The result. sigmas: (N + 1,) float32, the last 0. tried: how many schedules were measured."""

    sigmas: Tensor
    tried: int

    made = "schedule", "fitted to this model and sampler"
    at_hand = "scheduler"

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def _caveat(self) -> str:
        if not 0 < self.tried < LEAST_TRIED or self.steps == 1:  # for one step there is hardly anything to try
            return ""
        few = f"Only {counted(self.tried, 'schedule')} could be tried"
        return f"{few}, and among so few a better one is easily missed: a larger budget is safer."


def calibrate(
    run: SamplerRun,
    reference_run: SamplerRun,
    candidates: Mapping[str, Tensor],
    steps: int,
    noise: NoiseSchedule,
    budget: int,
    *,
    first_seed: int = 0,
    change: bool = False,
    plan: Plan | None = None,
    earlier: Tensor | None = None,
    remembered: ReferenceRuns | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Calibration:
    """Search the schedule of `steps` steps that brings `run` closest to where `reference_run` ends.

    candidates: schedules (N + 1,) that the user could pick, by name; those of another number of steps are left out.
    noise: the model's noise schedule. budget: evaluations of one latent, never exceeded, reference included.
    first_seed: the seeds first_seed, first_seed + 1, ... are used.
    change: the sampler is to change a picture and not to make one; `noise` is what is left of the model's then, and
    every schedule starts at just its sigma_max, since another start is another change.
    earlier: what an earlier search found; it is tried first. It is no candidate: gains are told against those.
    remembered: finished runs of just this reference: same model and conditioning, first seed, and steps of the plan.
    They spare evaluations, but count towards the budget as if they were made, so that the result is the same without.
    on_progress: called after each evaluation with (those so far, remembered ones too; budget; stage).
    should_stop: asked before each trial; once it is true, or a run raises BudgetSpent, the best found so far is the
    result.

    Raises SigmasError where no candidate has that number of steps, and ValueError where the model gives NaN with many
    steps, or with so few on every schedule.
    """
    usable = usable_schedules(candidates, steps, noise, change)
    found_before = {} if earlier is None else usable_schedules({EARLIER: earlier}, steps, noise, change)
    plan = plan or Plan.of(budget, steps, noise.family)
    stop = should_stop or (lambda: False)
    watch = Watch(lambda made, stage: on_progress and on_progress(made + reference.remembered, budget, stage))
    sigmas = reference_sigmas(noise, plan.reference_steps)
    reference = Reference(watch.watched(reference_run), sigmas, first_seed, remembered)
    bench = Bench.of_run(watch.watched(run), reference, first_seed, budget)

    def told(stage: str) -> Callable[[], bool]:
        def stopped() -> bool:
            watch.tell(stage)
            return stop()

        return stopped

    try:
        if told("reference")():
            raise BudgetSpent
        reference.extend(range(plan.seeds), bench.left)
    except BudgetSpent:
        return _unmeasured({**found_before, **usable}, bench, reference)
    profile = reference.profile()
    forecasts = Forecasts.of_solvers(profile, noise)
    free = noise.family == "vp" and not change
    search = Search(bench, noise, plan.seeds, profile.data_scale, forecasts, SEARCH_SEED, start_is_free=free)
    own = [search.add(name, sigmas) for name, sigmas in _worth_a_run(usable, profile, noise).items()]
    first = [search.add(name, sigmas) for name, sigmas in found_before.items()]  # one of `own`, where that was best
    suggested = [search.add(name, sigmas) for name, sigmas in suggest(profile, noise, steps).items()]
    most = LOOK_SHARE * budget
    try:
        at_first = [*first, *own[:1]]
        _look(
            search, at_first, own, suggested, plan, lambda: told("trying the schedules at hand")() or bench.spent > most
        )
        if search.measured:
            search.settle_seeds()
            bench.larger = larger_pictures(watch.watched(reference_run), reference, profile, noise, bench)
            if steps > 1 or search.start_is_free:
                search.explore(_judgement(budget), told("search"))
            _measure_finalists(search, own, plan, bench, told("comparing the best"))
    except BudgetSpent:
        pass
    if not search.measured:
        return _unmeasured({**found_before, **usable}, bench, reference)
    told("done")()
    if not any(trial.is_sound for trial in search.measured):
        raise ValueError(
            f"with {steps} steps every schedule that was tried gives NaN or infinite values; try another sampler, more "
            "steps, a higher precision, or a lower cfg"
        )
    return _verdict(search, own, bench, reference)


def _judgement(budget: int) -> float:
    """Evaluations that the search leaves for the comparison of the best on seeds that it has not seen."""
    return max((1 - SEARCH_SHARE) * budget, min(JUDGED, MOST_JUDGED * budget))


def _look(
    search: Search,
    first: list[Trial],
    own: list[Trial],
    suggested: list[Trial],
    plan: Plan,
    stop: Callable[[], bool],
) -> None:
    """Measure the first ones, then suggestions and candidates in turn, those first that are foretold to be good.

    Suggestions that are nearly the same as what has been measured are left out.
    """
    waiting = first
    while waiting and not stop():
        search.bench.measure(waiting[0], range(plan.look))
        waiting = [trial for trial in first if not trial.distances]
        if not waiting:
            fresh = [t for t in suggested if not t.distances and not search.is_near(t, search.measured)]
            groups = [search.promising_first(group) for group in (fresh, [t for t in own if not t.distances])]
            turn = len(search.measured) % 2
            waiting = groups[1 - turn] or groups[turn]


class Watch:
    """Counts the evaluations of several runs, and tells of each."""

    def __init__(self, show: Callable[[int, str], object]) -> None:
        self._show, self._made, self._stage = show, 0, ""

    def tell(self, stage: str) -> None:
        self._stage = stage
        self._show(self._made, stage)

    def watched(self, run: SamplerRun) -> SamplerRun:
        def watched(
            sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
        ) -> SamplerResult:
            return run(sigmas, seeds, limit=limit, observe=self.observer(observe))

        return watched

    def observer(self, further: Observer | None) -> Observer:
        """Counts what a run evaluates, and goes on to `further`."""

        def see(sigma: float, x: Tensor, denoised: Tensor) -> None:
            if further:
                further(sigma, x, denoised)
            self._made += len(x)
            self.tell(self._stage)

        return see


def usable_schedules(
    candidates: Mapping[str, Tensor], steps: int, noise: NoiseSchedule, change: bool
) -> dict[str, Tensor]:
    """The candidates that are schedules of so many steps down to 0 in the model's range, or from just its top."""
    lowest = noise.sigma_max * (1 - SAME_START) if change else 0.0
    usable = {}
    for name, sigmas in candidates.items():
        values = sigmas.detach().cpu().float()
        try:
            check_sigmas(values)
        except SigmasError:
            continue
        if len(values) == steps + 1 and values[-1] == 0 and lowest <= values[0] <= noise.sigma_max * (1 + SAME_START):
            usable[name] = values
    if not usable:
        start = f" from sigma {noise.sigma_max:g}" if change else ""
        raise SigmasError(f"none of {len(candidates)} candidates is a schedule of {steps} steps{start} that ends at 0")
    return usable


def _worth_a_run(usable: dict[str, Tensor], profile: Profile, noise: NoiseSchedule) -> dict[str, Tensor]:
    """The first candidate, then the others by their foretold error, without twins and those far behind.

    What is foretold knows nothing of seeds that end in another picture, so it only sorts out the worst.
    """
    solvers = [SignedDefect(profile, noise, solver) for solver in FORETOLD]
    foretold = foretold_errors(list(usable.values()), solvers).min(0)
    names, kept = list(usable), dict[str, Tensor]()
    for i in [0, *(int(i) for i in foretold.argsort() if i != 0)]:
        sigmas = usable[names[i]]
        twin = any(sigmas.allclose(other, rtol=0.02, atol=0) for other in kept.values())
        if not twin and (i == 0 or foretold[i] <= HOPELESS * np.median(foretold)):
            kept[names[i]] = sigmas
    return kept


def _measure_finalists(search: Search, own: list[Trial], plan: Plan, bench: Bench, stop: Callable[[], bool]) -> None:
    """Run the best trials and candidates on ever more seeds, also on those that the search has not seen.

    All of a round on the same seeds, should the budget end before the last. The best candidate stays to the end. Each
    round begins with the best: where the user ends it, what ran on the most seeds is the result.
    """
    places, more = search.seeds, min(search.seeds, plan.seeds)
    for count in FINALISTS:
        finalists, last = _finalists(search, own, places, count), count == FINALISTS[-1]
        while more:
            if bench.price(finalists, range(places + more)) <= bench.left:
                best_first = sorted(finalists, key=search.ranked(places).index)
                places += more
                for trial in best_first:
                    if stop():
                        return
                    bench.measure(trial, range(places))
            elif last:
                more //= 2
            if not last:
                break


def _finalists(search: Search, own: list[Trial], places: int, count: int) -> list[Trial]:
    """The best trials on so many seeds, none nearly the same as another; among them the best candidates."""
    finalists: list[Trial] = []
    ranked = search.ranked(places)
    for trial in [t for t in ranked if t in own][:1] + ranked:
        alike = [t for t in finalists if (t in own) == (trial in own)]
        room = trial not in own or len(alike) < OWN_FINALISTS
        if len(finalists) < count and room and trial not in finalists and not search.is_near(trial, alike):
            finalists.append(trial)
    return finalists


def _verdict(search: Search, own: list[Trial], bench: Bench, reference: Reference) -> Calibration:
    """The best of the trials that were run on the most seeds, or the best candidate."""
    ranked = [trial for trial in search.measured if trial.is_sound]
    most = max(len(trial.distances) for trial in ranked)
    best = min((trial for trial in ranked if len(trial.distances) == most), key=search.loss)
    rivals = [trial for trial in ranked if trial in own]
    rival = max(rivals, key=lambda trial: (len(trial.distances), -search.loss(trial)), default=best)
    judgement = judged(search, best, rival)
    winner = judgement.winner
    beside = [trial for trial in ranked if len(trial.distances) == len(winner.distances)]
    rows = sorted(beside, key=lambda trial: (trial is not winner, search.loss(trial)))[:SHOWN]
    names = shown_names(rows, own)
    return Calibration(
        sigmas=winner.sigmas.clone(),
        tried=len(search.measured),
        name=winner.name,
        shown_as=names[0],
        best_candidate=rival.name,
        gain=judgement.gain,
        typical_gain=judgement.typical_gain,
        interval=judgement.interval,
        seeds=judgement.seeds,
        evaluations=bench.spent,
        remembered=reference.remembered,
        rows=tuple(row_of(trial, name, bench.chance) for trial, name in zip(rows, names, strict=True)),
        references=reference.runs(),
    )


def _unmeasured(usable: dict[str, Tensor], bench: Bench, reference: Reference) -> Calibration:
    """The first candidate, where the budget or the user ended before anything could be measured."""
    name, sigmas = next(iter(usable.items()))
    return Calibration(
        sigmas=sigmas.clone(),
        tried=0,
        name=name,
        shown_as=name,
        best_candidate=name,
        gain=1.0,
        typical_gain=1.0,
        interval=(1.0, 1.0),
        seeds=0,
        evaluations=bench.spent,
        remembered=reference.remembered,
        rows=(),
        references=reference.runs(),
    )
