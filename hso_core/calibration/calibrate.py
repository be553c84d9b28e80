"""Calibrate: the schedule that brings one sampler on one model closest to the converged picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from ..schedule.sigmas import SigmasError, check_sigmas
from .generators import Forecasts, suggest
from .larger import larger_pictures
from .reference import Reference, reference_sigmas, reference_steps
from .reference_runs import ReferenceRuns
from .run import BudgetSpent, Observer, SamplerResult, SamplerRun
from .search import Bench, Search, Trial
from .statistics import paired_ratio

BUDGETS = {"quick": 300, "normal": 2000, "thorough": 10000}
SEARCH_SEED = 66
SHOWN = 12  # rows of the report
HOPELESS = 2.0  # times the median foretold error of the candidates
LOOK_SHARE, SEARCH_SHARE = 0.4, 0.8  # of the budget that may be spent when the looks, then the search, are done
JUDGED, MOST_JUDGED = (
    75,
    0.3,
)  # evaluations that are left for the judgement at least, and that share of the budget at most
SEED_SHARE, MOST_SEEDS = 0.28, 40  # of the budget, for the reference on the first seeds; and how many these are at most
LEAST_SEEDS = 5  # that even a small budget is planned for, where SEED_SHARE pays for them
FINALISTS = (8, 4, 3)  # schedules that are compared on ever more seeds
OWN_FINALISTS = 3  # of them, at most so many that were at hand
CAUTION = 1.0  # deviations of what the seeds say, by which a schedule has to be better than the best at hand
SAME_START = 1e-4  # relative: nearer first sigmas are one
FITTED, EARLIER = "calibrated", "earlier result"  # what the report calls schedules that the user could not select


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
class Row:
    """A schedule's distances to the converged latents: RMSE over `seeds` seeds.

    name: that of a candidate, or EARLIER, or of the rule that found it. shown_as: what a user calls it.
    """

    name: str
    shown_as: str
    mean: float
    median: float
    worst: float
    seeds: int
    sigmas: Tensor

    def __str__(self) -> str:
        return f"| {self.shown_as} | {self.mean:.4g} | {self.median:.4g} | {self.worst:.4g} | {self.seeds} |"


@dataclass(frozen=True)
class Calibration:
    """The result.

    sigmas          (N + 1,) float32, the last 0
    name            of the winner: that of a candidate, or EARLIER, or the rule that found it
    shown_as        what the report calls it: the candidate's name, or FITTED
    best_candidate  of those that were tried
    gain            the winner's mean distance over the best candidate's, on the same seeds; 1 if that is the winner
    typical_gain    the same of geometric means, which a few seeds that end in another picture do not rule
    interval        90 %, of the `gain` on all seeds; of no width where there are fewer than three
    seeds           over which `gain` was measured; some of them took part in the search
    evaluations     of one latent, all of them, whether made or remembered
    remembered      how many of them were not made, but remembered
    rows            what was measured on as many seeds as the winner, which comes first
    references      the reference runs that are finished, which later searches need not make again; None without any
    """

    sigmas: Tensor
    name: str
    shown_as: str
    best_candidate: str
    gain: float
    typical_gain: float
    interval: tuple[float, float]
    seeds: int
    evaluations: int
    remembered: int
    rows: tuple[Row, ...]
    references: ReferenceRuns | None

    def report(self) -> str:
        """What was found, in Markdown."""
        remembered = f", {self.remembered} of them remembered from an earlier search" if self.remembered else ""
        lines = [
            self._verdict(),
            "",
            "| schedule | mean | median | worst | seeds |",
            "|---|---|---|---|---|",
            *(str(row) for row in self.rows),
            "",
            f"RMSE of the latents to those of the converged picture; {self.evaluations} evaluations in all"
            f"{remembered}.",
        ]
        return "\n".join(lines)

    def _verdict(self) -> str:
        steps, tried = len(self.sigmas) - 1, "the best scheduler that was tried"
        if not self.rows:
            return f"Nothing could be measured within the budget; this is {self.shown_as} as it is."
        if self.name == self.best_candidate:
            return (
                f"**Nothing is better than {self.name}**, {tried}: no other schedule of {steps} steps promises to come "
                f"closer to the converged picture on other seeds ({_counted(self.seeds, 'seed')})."
            )
        low, high = self.interval
        rival, sure = f"{self.best_candidate}, {tried}", self.seeds >= 3
        span = f" ({_percent(1 - high)} to {_percent(1 - low)} %)" if sure else ""
        by_mean = f"{_percent(1 - self.gain)} % closer to the converged picture than {rival}{span}."
        typically = f"Typically {_percent(1 - self.typical_gain)} % closer to the converged picture than {rival}."
        said = [
            f"**{by_mean if self.gain < 1 else typically}**",
            *(["The earlier result is still the best that was found."] if self.name == EARLIER else []),
            f"This is a schedule of {steps} steps, fitted to this model and sampler: the first row of the table. Over "
            f"{_counted(self.seeds, 'seed')} its mean distance is {self.gain:.2f} of that with {self.best_candidate},",
        ]
        if not sure:
            return " ".join([*said, "but these are too few seeds to say how sure that is."])
        said += [
            f"90 % interval {low:.2f} to {high:.2f}; its typical distance (geometric mean) is {self.typical_gain:.2f} "
            "of that.",
            *(["The interval reaches 1: by their means the two may be equally good on other seeds."] * (high >= 1)),
            "Some of these seeds took part in the search, so on new ones the gain may be a little smaller.",
        ]
        return " ".join(said)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}".replace("-0", "0")


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
    usable = _usable(candidates, steps, noise, change)
    found_before = {} if earlier is None else _usable({EARLIER: earlier}, steps, noise, change)
    plan = plan or Plan.of(budget, steps, noise.family)
    stop = should_stop or (lambda: False)
    watch = _Watch(lambda made, stage: on_progress and on_progress(made + reference.remembered, budget, stage))
    sigmas = reference_sigmas(noise, plan.reference_steps)
    reference = Reference(watch.watched(reference_run), sigmas, first_seed, remembered)
    bench = Bench(watch.watched(run), reference, first_seed, budget)

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
    forecasts = Forecasts(profile, noise)
    free = noise.family == "vp" and not change
    search = Search(bench, noise, plan.seeds, profile.data_scale, forecasts, SEARCH_SEED, start_is_free=free)
    own = [search.add(name, sigmas) for name, sigmas in _worth_a_run(usable, forecasts).items()]
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


class _Watch:
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
            def see(sigma: float, x: Tensor, denoised: Tensor) -> None:
                if observe:
                    observe(sigma, x, denoised)
                self._made += len(x)
                self.tell(self._stage)

            return run(sigmas, seeds, limit=limit, observe=see)

        return watched


def _usable(candidates: Mapping[str, Tensor], steps: int, noise: NoiseSchedule, change: bool) -> dict[str, Tensor]:
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


def _worth_a_run(usable: dict[str, Tensor], forecasts: Forecasts) -> dict[str, Tensor]:
    """The first candidate, then the others by their foretold error, without twins and those far behind.

    What is foretold knows nothing of seeds that end in another picture, so it only sorts out the worst.
    """
    foretold = forecasts.least_errors(list(usable.values()))
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
        room = trial not in own or sum(t in own for t in finalists) < OWN_FINALISTS
        if len(finalists) < count and room and not search.is_near(trial, finalists):
            finalists.append(trial)
    return finalists


def _verdict(search: Search, own: list[Trial], bench: Bench, reference: Reference) -> Calibration:
    """The best of the trials that were run on the most seeds, unless the best candidate may well be as good.

    It is as good where the other's loss is lower by less than the seeds can tell, or if by both of the means that the
    report names the other measured no better.
    """
    ranked = [trial for trial in search.measured if trial.is_sound]
    most = max(len(trial.distances) for trial in ranked)
    winner = min((trial for trial in ranked if len(trial.distances) == most), key=search.loss)
    rivals = [trial for trial in ranked if trial in own]
    rival = max(rivals, key=lambda trial: (len(trial.distances), -search.loss(trial)), default=winner)
    comparison = paired_ratio(winner.distances, rival.distances)
    # Where the user ended it early, the rival may have run on fewer seeds, which may be easier or harder ones.
    shared = min(len(winner.distances), len(rival.distances))
    weighed = bench.larger is not None and shared == len(winner.distances)
    gain = _mean(winner, bench) / _mean(rival, bench) if weighed else comparison.of_means
    no_better = min(gain, comparison.geometric) >= 1
    promised = search.loss(rival, shared) - search.loss(winner, shared)
    if no_better or promised <= CAUTION * comparison.doubt:
        winner, gain, comparison = rival, 1.0, paired_ratio(rival.distances, rival.distances)
    low, high = comparison.interval
    beside = [trial for trial in ranked if len(trial.distances) == len(winner.distances)]
    rows = sorted(beside, key=lambda trial: (trial is not winner, search.loss(trial)))[:SHOWN]
    names = _shown_names(rows, own)
    return Calibration(
        sigmas=winner.sigmas.clone(),
        name=winner.name,
        shown_as=names[0],
        best_candidate=rival.name,
        gain=gain,
        typical_gain=comparison.geometric,
        interval=(low * gain / comparison.of_means, high * gain / comparison.of_means),
        seeds=comparison.seeds,
        evaluations=bench.spent,
        remembered=reference.remembered,
        rows=tuple(_row(trial, name, bench) for trial, name in zip(rows, names, strict=True)),
        references=reference.runs(),
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown_names(rows: Sequence[Trial], own: Sequence[Trial]) -> list[str]:
    """What a user calls the schedules: candidates by their names, a fitted winner FITTED, other fitted ones by number.

    rows: the winner first.
    """
    names, fitted = [], 0
    for place, trial in enumerate(rows):
        if trial in own or (trial.name == EARLIER and place):
            names.append(trial.name)
        else:
            fitted += 1
            names.append(FITTED if place == 0 else f"fitted {fitted}")
    return names


def _mean(trial: Trial, bench: Bench) -> float:
    """Of the distances, with larger pictures in their share."""
    mean = float(trial.first().mean())
    return (1 - bench.chance) * mean + bench.chance * trial.met if trial.met else mean


def _row(trial: Trial, shown_as: str, bench: Bench) -> Row:
    distances = trial.first()
    return Row(
        trial.name,
        shown_as,
        _mean(trial, bench),
        float(np.median(distances)),
        max(float(distances.max()), trial.met),
        len(distances),
        trial.sigmas.clone(),
    )


def _unmeasured(usable: dict[str, Tensor], bench: Bench, reference: Reference) -> Calibration:
    """The first candidate, where the budget or the user ended before anything could be measured."""
    name, sigmas = next(iter(usable.items()))
    return Calibration(
        sigmas=sigmas.clone(),
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
