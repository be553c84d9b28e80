"""Calibrate Sampler: schedule and solver together, so that a few steps come closest to the converged picture.

Two levels: above, the search of the schedule by real runs, as in `calibrate`; below, for each schedule that is tried,
the weights of the solver in closed form (see fit_solver.py), at no further cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..solvers import LinearMultistep, known_solver
from ..solvers.known_solvers import SOLVERS
from .calibrate import SEARCH_SEED, Watch, usable_schedules
from .generators import ANCHOR, Forecasts, suggest_for_fits
from .larger import larger_pictures
from .outcome import EARLIER, SHOWN, Expected, Outcome, judged, row_of, shown_names
from .pairs import USUAL_SHARE, Pair, most_promising_first
from .profile import Profile
from .reference import Reference, reference_sigmas, reference_steps
from .reference_runs import ReferenceRuns
from .refine_solver import evaluations_of, ways_to_try
from .run import Advance, BudgetSpent, Observer, SamplerResult, SamplerRun, SteppedRun
from .search import Search, Trial
from .solver_bench import SolverBench

SEEDS, SEEDS_POWER = 1.0, 0.34  # of the search: seeds = SEEDS (budget / steps) ^ SEEDS_POWER
REFERENCE_SHARE = 0.4  # of the budget, at most, for the reference on the first seeds
PAIR_SHARE = 0.08  # of the budget, for a look at the pairs at hand
SEARCH_SHARE = 0.6  # of the budget that may be spent when the search is done
RESERVED = -3  # of the ways of a refinement, the one that the search leaves enough for, however small the budget
PAIRS_LOOKED_AT, PAIRS_MEASURED, BEST_PAIRS = 8, 2, 1
LEAST_FITS = 2  # that are tried whatever they take
AT_HAND = 4  # schedules of the best pairs that a fit is tried on, and as many suggested ones
REFINEMENTS, LEAST_GAIN = 3, 0.01  # of the loss
REFINE_SHARE = 0.8  # of what is left of the budget, for each
MORE_SEEDS = 1.25  # times those of the search, for which the best are run again
MOST_SEEDS = 96
USUAL = Expected(0.25, 0.25)
"""A fit beside the best pair that was tried, on other networks (docs/fitted_samplers.md, "The search")."""


@dataclass(frozen=True)
class SamplerPlan:
    """How a budget is divided. reference_steps: of one run of the reference. seeds: that each schedule is tried on."""

    reference_steps: int
    seeds: int

    @classmethod
    def of(cls, budget: int, steps: int, family: str) -> SamplerPlan:
        fine = reference_steps(steps, family)
        seeds = min(round(SEEDS * (budget / steps) ** SEEDS_POWER), int(REFERENCE_SHARE * budget / fine))
        return cls(fine, max(seeds, 1))

    @property
    def look(self) -> int:
        """Seeds of the first look at a pair."""
        return (self.seeds + 1) // 2


@dataclass(frozen=True)
class SamplerCalibration(Outcome):
    """The result. What was fitted is judged on seeds that its weights were not fitted to.

    solver: the sampler with its sigmas: a fitted one, or where nothing better was found, the best pair's own.
    """

    solver: LinearMultistep

    made = "sampler and schedule", "fitted together to this model"
    at_hand = "pair of sampler and scheduler"

    @property
    def steps(self) -> int:
        return self.solver.steps

    @property
    def is_fitted(self) -> bool:
        """Whether something better than the best pair was found."""
        return self.name != self.best_candidate


def calibrate_sampler(
    run: SteppedRun,
    reference_run: SamplerRun,
    pairs: Mapping[str, Pair],
    steps: int,
    noise: NoiseSchedule,
    budget: int,
    *,
    first_seed: int = 0,
    change: bool = False,
    plan: SamplerPlan | None = None,
    earlier: LinearMultistep | None = None,
    remembered: ReferenceRuns | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SamplerCalibration:
    """Search the schedule of `steps` steps, and fit a solver to it, so that it ends nearest to `reference_run`.

    pairs: what the user could pick, by name; those of another number of steps are left out. They are what the result
    is judged against (see `judged`), and is where nothing better is found. earlier: what an earlier search found; it
    is tried first with its own weights, and is no pair: gains are told against those. All else as in `calibrate`; so
    are the errors.
    """
    usable = _usable(pairs, steps, noise, change)
    if earlier is not None:
        usable_schedules({EARLIER: earlier.sigmas}, steps, noise, change)
    plan = plan or SamplerPlan.of(budget, steps, noise.family)
    stop = should_stop or (lambda: False)
    watch = Watch(lambda made, stage: on_progress and on_progress(made + reference.remembered, budget, stage))
    sigmas = reference_sigmas(noise, plan.reference_steps)
    reference = Reference(watch.watched(reference_run), sigmas, first_seed, remembered)
    bench = SolverBench(_watched(run, watch), reference, first_seed, budget, noise)

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
        return _unmeasured(usable, noise, bench, reference)
    profile = reference.profile()
    free = noise.family == "vp" and not change
    forecasts = Forecasts.of_fits(profile, noise)
    search = Search(
        bench,
        noise,
        plan.seeds,
        profile.data_scale,
        forecasts,
        SEARCH_SEED,
        start_is_free=free,
        most_seeds=plan.seeds,  # further ones are worth more to the refinement
        fits=True,
    )
    usual_share = 0.0 if change else USUAL_SHARE  # what is usual was measured from full noise
    ranked = most_promising_first(usable, profile, noise, usual_share)
    own = [_solver_trial(search, name, known_solver(*pair, noise)) for name, pair in ranked.items()]
    refined = [_solver_trial(search, EARLIER, earlier)] if earlier is not None else []
    try:
        for trial in refined:
            if told("trying the earlier result")():
                raise BudgetSpent
            bench.measure(trial, range(plan.seeds))
        bench.larger = larger_pictures(watch.watched(reference_run), reference, profile, noise, bench)
        _look_at_pairs(own, bench, plan, budget, told("trying the pairs at hand"))
        if steps > 1:
            reserve = _reserve(budget, plan, steps)
            for name, schedule in _first_schedules(own, profile, noise, steps).items():
                enough = len(search.measured) >= LEAST_FITS and steps * plan.seeds > bench.left - reserve
                if told("trying the first schedules")() or enough or steps * plan.seeds > bench.left:
                    break
                bench.measure(search.add(name, schedule), range(plan.seeds))
            if search.measured:
                search.explore(reserve, told("search"))
                refined += _refine(search, own, bench, plan, profile.data_scale, told("refining the weights"))
                _measure_finalists(search, refined, own, bench, told("comparing the best"))
    except BudgetSpent:
        pass
    trials = [*search.measured, *(trial for trial in [*refined, *own] if trial.distances)]
    if not trials:
        return _unmeasured(usable, noise, bench, reference)
    told("done")()
    if not any(trial.is_sound for trial in trials):
        raise ValueError(
            f"with {steps} steps all that was tried gives NaN or infinite values; try more steps, a higher precision, "
            "or a lower cfg"
        )
    return _verdict(search, refined, own, noise, bench, reference, None if change else USUAL)


def _watched(run: SteppedRun, watch: Watch) -> SteppedRun:
    def watched(
        sigmas: Tensor,
        seeds: Sequence[int],
        begin: Callable[[], Advance],
        *,
        limit: int | None = None,
        observe: Observer | None = None,
    ) -> SamplerResult:
        return run(sigmas, seeds, begin, limit=limit, observe=watch.observer(observe))

    return watched


def _usable(pairs: Mapping[str, Pair], steps: int, noise: NoiseSchedule, change: bool) -> dict[str, Pair]:
    schedules = usable_schedules({name: sigmas for name, (_, sigmas) in pairs.items()}, steps, noise, change)
    unknown = sorted({pairs[name][0] for name in schedules} - SOLVERS.keys())
    if unknown:
        raise ValueError(f"no weights are known for the sampler {unknown[0]}; known are {', '.join(SOLVERS)}")
    return {name: (pairs[name][0], sigmas) for name, sigmas in schedules.items()}


def _solver_trial(search: Search, name: str, solver: LinearMultistep) -> Trial:
    """A trial with weights of its own, of which the search of schedules knows nothing."""
    trial = search.trial(name, solver.sigmas)
    trial.solver = solver
    return trial


def _look_at_pairs(
    own: list[Trial], bench: SolverBench, plan: SamplerPlan, budget: int, stop: Callable[[], bool]
) -> None:
    """A look at the most promising ones, and the best of these on as many seeds as the fits."""
    begun = bench.spent
    for trial in own[:PAIRS_LOOKED_AT]:
        if stop() or (trial is not own[0] and bench.spent - begun > PAIR_SHARE * budget):
            break
        bench.measure(trial, range(plan.look))
    looked_at = sorted((trial for trial in own if trial.distances), key=lambda trial: trial.first().mean())
    for trial in looked_at[:PAIRS_MEASURED]:
        if stop() or (trial is not looked_at[0] and bench.spent - begun > 1.5 * PAIR_SHARE * budget):
            break
        bench.measure(trial, range(plan.seeds))


def _first_schedules(own: list[Trial], profile: Profile, noise: NoiseSchedule, steps: int) -> dict[str, Tensor]:
    """Those of the best pairs and the suggested ones in turn, the most promising first."""
    suggested = suggest_for_fits(profile, noise, steps)
    measured = sorted((trial for trial in own if trial.distances), key=lambda trial: trial.first().mean())
    at_hand = dict[str, Tensor]()
    for trial in measured:
        if not any(trial.sigmas.allclose(other, rtol=0.02, atol=0) for other in at_hand.values()):
            at_hand[f"fit on {trial.name}"] = trial.sigmas
    mixed = dict[str, Tensor]()
    for i in range(AT_HAND):
        mixed.update(list(at_hand.items())[i : i + 1])
        mixed.update(list(suggested.items())[i : i + 1])
    return mixed


def _refine(
    search: Search, own: list[Trial], bench: SolverBench, plan: SamplerPlan, scale: float, stop: Callable[[], bool]
) -> list[Trial]:
    """The best fit with a solver that ends nearer, and that again, as long as it gets nearer."""
    found: list[Trial] = []
    best = next((trial for trial in search.ranked(search.seeds) if trial.is_sound), None)
    while best and best.solver and len(found) < REFINEMENTS and not stop():
        least = len(best.distances) if found else plan.seeds
        tried, seeds = _affordable([best, *_best_pairs(search, own)], bench, least)
        if not seeds:
            break
        bench.measure(best, range(seeds))
        enough = search.loss(best, seeds) - LEAST_GAIN
        better = next((t for t in bench.refined(best, range(seeds), scale, tried) if search.loss(t) < enough), None)
        if better is None:
            break
        found.append(better)
        best = better
    return found


def _reserve(budget: int, plan: SamplerPlan, steps: int) -> float:
    """Evaluations that the search leaves: its share, or what a refinement takes on the seeds that it begins with."""
    each = evaluations_of(ways_to_try(steps)[RESERVED:][0]) + steps
    return max((1 - SEARCH_SHARE) * budget, plan.seeds * each / REFINE_SHARE)


def _affordable(trials: list[Trial], bench: SolverBench, least: int) -> tuple[tuple[int, ...], int]:
    """What is tried in a refinement, and on how many seeds: as much as can be had with at least so many.

    trials: what is to be measured on all of these seeds, too; the first is refined. 0 seeds where neither budget nor
    memory has room.
    """
    larger = len(bench.larger.places) if bench.larger else 0
    for tried in ways_to_try(len(trials[0].sigmas) - 1):
        most = min(MOST_SEEDS, bench.most_refined(tried) - larger)
        for seeds in range(most, least - 1, -1):
            branched = (seeds + larger) * evaluations_of(tried)
            price = bench.price(trials, range(seeds), new=1) + branched
            if price <= REFINE_SHARE * bench.left:
                return tried, seeds
    return (), 0


def _measure_finalists(
    search: Search, refined: list[Trial], own: list[Trial], bench: SolverBench, stop: Callable[[], bool]
) -> None:
    """The best on more seeds, which the search has not seen, in turn while the budget lasts."""
    nearest = sorted(refined, key=lambda trial: search.loss(trial, search.seeds))[:1]
    best = [trial for trial in [*nearest, *search.ranked(search.seeds)[:1]] if trial.is_sound]
    finalists = [*best, *_best_pairs(search, own)[: 1 if best else 0]]
    places = search.seeds
    while places < MOST_SEEDS and bench.price(finalists, range(places + 1)) <= bench.left:
        places += 1
    if places >= MORE_SEEDS * search.seeds:
        for trial in finalists:
            if stop():
                return
            bench.measure(trial, range(places))


def _best_pairs(search: Search, own: list[Trial]) -> list[Trial]:
    measured = [trial for trial in own if trial.distances and trial.is_sound]
    return sorted(measured, key=lambda trial: (-len(trial.distances), search.loss(trial)))[:BEST_PAIRS]


def _verdict(
    search: Search,
    refined: list[Trial],
    own: list[Trial],
    noise: NoiseSchedule,
    bench: SolverBench,
    reference: Reference,
    expected: Expected | None,
) -> SamplerCalibration:
    """The best of the fits that were judged on the most seeds, or the best pair."""
    fitted = [trial for trial in [*search.measured, *refined] if trial.distances and trial.is_sound]
    pairs = [trial for trial in own if trial.distances and trial.is_sound]
    most = max((len(trial.distances) for trial in fitted), default=0)
    candidates = sorted((trial for trial in fitted if len(trial.distances) == most), key=search.loss)
    rivals = sorted(pairs, key=lambda trial: (-len(trial.distances), search.loss(trial)))
    best, rival = (candidates or rivals)[0], (rivals or candidates)[0]
    judgement = judged(search, best, rival, expected)
    winner = judgement.winner
    alike = [trial for trial in [*fitted, *pairs] if len(trial.distances) == len(winner.distances)]
    rows = sorted(alike, key=lambda trial: (trial is not winner, search.loss(trial)))[:SHOWN]
    names = shown_names(rows, own)
    return SamplerCalibration(
        solver=winner.solver or known_solver(ANCHOR, winner.sigmas, noise),
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


def _unmeasured(
    usable: dict[str, Pair], noise: NoiseSchedule, bench: SolverBench, reference: Reference
) -> SamplerCalibration:
    """The first pair, where the budget or the user ended before anything could be measured."""
    name, (solver, sigmas) = next(iter(usable.items()))
    return SamplerCalibration(
        solver=known_solver(solver, sigmas, noise),
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
