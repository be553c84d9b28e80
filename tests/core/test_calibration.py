"""Calibrate on Gaussian data, where the truth is known, and with a budget that is watched."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from gaussian_run import GaussianRun
from hso_core import NoiseSchedule, Settings, named_schedule, optimize_schedule
from hso_core.calibration import BudgetSpent, SamplerResult, calibrate
from hso_core.calibration.calibrate import Plan
from hso_core.calibration.compare import compare
from hso_core.calibration.generators import compact_schedule
from hso_core.calibration.reference import reference_steps
from hso_core.calibration.search import SEARCHED, Search
from hso_core.schedule.sigmas import SigmasError, check_sigmas

SD15 = named_schedule("sd15")
FLOW = named_schedule("flow:3")
SCALES = torch.logspace(-1, 0.5, 48)


def candidates(noise, steps):
    return {
        "hso": optimize_schedule(noise, steps).to_tensor(),
        "karras": compact_schedule(noise, steps, 7.0, 1.0, noise.sigma_min),
        "even": compact_schedule(noise, steps, 1.0, 1.0, noise.sigma_min),
    }


def distances(run, sigmas, start, seeds=range(900_000, 900_032)):
    exact = run.exact(seeds, start)
    return (run(sigmas, seeds).latents.double() - exact).square().mean(1).sqrt()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("steps", [4, 6])
@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_the_result_beats_every_candidate_on_seeds_that_it_has_not_seen(solver, steps, noise, flow):
    run = GaussianRun(SCALES, solver, flow)
    at_hand = candidates(noise, steps)

    found = calibrate(run, GaussianRun(SCALES, "dpmpp_2m", flow), at_hand, steps, noise, 2000)

    start = 1e6 if flow else SD15.sigma_max
    best = min(float(distances(run, sigmas, start).mean()) for sigmas in at_hand.values())
    assert float(distances(run, found.sigmas, start).mean()) < (0.98 if solver == "euler" else 0.8) * best
    assert found.gain < 1 and found.interval[0] <= found.gain <= found.interval[1]
    assert len(found.sigmas) == steps + 1 and found.sigmas[-1] == 0 and found.sigmas.dtype == torch.float32
    assert found.sigmas[0] <= noise.sigma_max
    check_sigmas(found.sigmas)


def test_the_gain_is_that_of_the_table():
    found = calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 2000)

    winner, rival = found.rows[0], next(row for row in found.rows if row.name == found.best_candidate)
    assert winner.name == found.name and winner.sigmas.equal(found.sigmas)
    assert found.gain == pytest.approx(winner.mean / rival.mean) != pytest.approx(found.typical_gain, rel=1e-4)
    assert all(0 < row.median < row.worst and row.seeds == found.seeds for row in found.rows)


def test_the_best_candidate_is_the_one_that_ends_nearest():
    at_hand = {"evenly": compact_schedule(SD15, 4, 1.0, 1.0, SD15.sigma_min).float(), **candidates(SD15, 4)}

    found = calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), at_hand, 4, SD15, 2000)

    errors = {name: float(distances(GaussianRun(SCALES), s, SD15.sigma_max).mean()) for name, s in at_hand.items()}
    assert found.best_candidate == min(errors, key=errors.get) != next(iter(at_hand))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("denoise", [0.3, 0.8])
@pytest.mark.parametrize("full, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_where_a_picture_is_changed_every_schedule_starts_alike(full, flow, denoise, steps):
    noise = full.up_to(full.sigma_of_denoise(denoise))
    run, reference = GaussianRun(SCALES, "dpmpp_2m", flow), GaussianRun(SCALES, "dpmpp_2m", flow)
    at_hand = {
        "hso": optimize_schedule(full, steps, Settings(denoise=denoise, start="sigma_max")).to_tensor(),
        "elsewhere": compact_schedule(full, steps, 7.0, 1.0, full.sigma_min),
    }

    found = calibrate(run, reference, at_hand, steps, noise, 900, change=True)

    start = float(torch.tensor(full.sigma_of_denoise(denoise)).float())
    assert {float(sigmas[0]) for sigmas, _ in run.calls + reference.calls} == {start}
    assert found.best_candidate == "hso" and found.evaluations <= 900
    if steps == 6:
        top = start / (1 - start) if flow else start
        fitted, usual = (float(distances(run, sigmas, top).mean()) for sigmas in (found.sigmas, at_hand["hso"]))
        assert fitted < 0.7 * usual


def test_candidates_that_all_start_elsewhere_are_refused():
    noise = SD15.up_to(2.0)
    with pytest.raises(SigmasError, match="none of 3 candidates is a schedule of 4 steps from sigma 2 that ends at 0"):
        calibrate(GaussianRun(SCALES), GaussianRun(SCALES), candidates(SD15, 4), 4, noise, 900, change=True)


@pytest.mark.parametrize("unusable", [[20.0, 5, 1, 0.3, 0], [14.0, 5, 2, 1, 0.5]], ids=["too high", "leaves noise"])
def test_candidates_outside_of_the_models_range_are_never_run(unusable):
    run, sigmas = GaussianRun(SCALES), torch.tensor(unusable)

    calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), {"unusable": sigmas, **candidates(SD15, 4)}, 4, SD15, 300)

    assert run.calls and not [1 for tried, _ in run.calls if tried.equal(sigmas)]


def test_an_earlier_result_is_run_first_however_bad_it_looks():
    bad, run = torch.tensor([14.0, 13.9, 13.8, 13.7, 0.0]), GaussianRun(SCALES)

    found = calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 300, earlier=bad)

    assert run.calls[0][0].equal(bad)
    assert found.name != "earlier result" and found.shown_as == "calibrated"


def test_a_search_that_finds_nothing_better_than_the_earlier_result_tells_what_that_gains():
    """Not that nothing is better than itself: what a user wants to know is how far it is ahead of the schedulers."""

    def search(seed, **earlier):
        runs = GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m")
        return calibrate(*runs, candidates(SD15, 4), 4, SD15, 2000, first_seed=seed, **earlier)

    best = search(0)
    again = search(500, earlier=best.sigmas)
    for _ in range(4):
        if again.name != "earlier result":
            best, again = again, search(500, earlier=again.sigmas)

    report = again.report()
    assert (
        again.name == "earlier result"
        and again.sigmas.equal(best.sigmas)
        and again.best_candidate in candidates(SD15, 4)
        and again.gain < 0.9
    )
    assert f"closer to the converged picture than {again.best_candidate}, the best scheduler" in report
    assert "The earlier result is still the best that was found." in report
    assert again.rows[0].shown_as == again.shown_as == "calibrated"
    assert again.best_candidate in [row.shown_as for row in again.rows]


def test_an_earlier_result_that_is_a_scheduler_is_called_by_its_name():
    at_hand = candidates(SD15, 4)
    found = calibrate(GaussianRun(SCALES), GaussianRun(SCALES), at_hand, 4, SD15, 300, earlier=at_hand["hso"])
    assert "earlier result" not in found.report()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["euler", "twice"])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("budget", [20, 100, 300, 777, 2000])
def test_the_budget_is_never_exceeded(budget, steps, solver):
    run, reference = GaussianRun(SCALES, solver), GaussianRun(SCALES, "dpmpp_2m")

    found = calibrate(run, reference, candidates(SD15, steps), steps, SD15, budget)

    assert run.evaluations + reference.evaluations == found.evaluations <= budget
    assert len(found.sigmas) == steps + 1


def test_what_a_run_has_made_before_it_is_cut_off_is_counted_too():
    class CutOff(GaussianRun):
        """Its fourth call ends after two steps."""

        def __call__(self, sigmas, seeds, *, limit=None, observe=None):
            limit = 2 * len(seeds) if len(self.calls) == 3 else limit
            return super().__call__(sigmas, seeds, limit=limit, observe=observe)

    run, reference = CutOff(SCALES), GaussianRun(SCALES, "dpmpp_2m")

    found = calibrate(run, reference, candidates(SD15, 4), 4, SD15, 900)

    assert len(run.calls) == 4 and found.evaluations == run.evaluations + reference.evaluations


@pytest.mark.parametrize("budget", [5, 100, 900])
@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_one_step_can_be_calibrated_too(noise, flow, budget):
    """On a flow model there is nothing to search: it starts at full noise."""
    run = GaussianRun(SCALES, "euler", flow)

    found = calibrate(run, GaussianRun(SCALES, "dpmpp_2m", flow), candidates(noise, 1), 1, noise, budget)

    check_sigmas(found.sigmas)
    assert len(found.sigmas) == 2 and found.evaluations <= budget and found.gain <= 1


@pytest.mark.parametrize("budget", [300, 2000])
def test_most_of_the_budget_is_used(budget):
    found = calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 5), 5, SD15, budget)

    assert found.evaluations > 0.8 * budget


def test_the_same_inputs_give_the_same_schedule():
    results = [
        calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 5), 5, SD15, 900)
        for _ in range(2)
    ]

    assert results[0].sigmas.equal(results[1].sigmas)


def test_other_first_seeds_are_other_noise():
    run = GaussianRun(SCALES)

    calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 900, first_seed=5000)

    assert min(seed for _, seeds in run.calls for seed in seeds) == 5000


def test_a_schedule_that_cannot_be_improved_stays():
    """On this run every schedule gives the same, so nothing may be called a gain."""

    class Indifferent(GaussianRun):
        def denoise(self, y, s):
            return torch.ones_like(y) * self.scales + 0 * y

    at_hand = candidates(SD15, 4)

    found = calibrate(Indifferent(SCALES), Indifferent(SCALES, "dpmpp_2m"), at_hand, 4, SD15, 900)

    assert found.name in at_hand and found.gain == 1
    assert found.sigmas.equal(at_hand[found.name].float())
    assert found.report().startswith(f"**Nothing is better than {found.name}**, the best scheduler that was tried")


def assert_best_so_far(found, at_hand):
    """The first of the table, which here is the best by its mean, too; before any measurement the first candidate."""
    check_sigmas(found.sigmas)
    if found.rows:
        first = found.rows[0]
        assert (first.name, first.shown_as) == (found.name, found.shown_as) and first.sigmas.equal(found.sigmas)
        assert first.mean == min(row.mean for row in found.rows)
    else:
        assert found.name == next(iter(at_hand)) and found.sigmas.equal(at_hand[found.name])


@pytest.mark.parametrize("calls", [0, 1, 3, 10, 60])
def test_stopping_keeps_the_best_so_far(calls):
    asked = iter(range(1000))
    at_hand = candidates(SD15, 5)

    found = calibrate(
        GaussianRun(SCALES, "dpmpp_2m"),
        GaussianRun(SCALES, "dpmpp_2m"),
        at_hand,
        5,
        SD15,
        2000,
        should_stop=lambda: next(asked) >= calls,
    )

    assert found.evaluations < 2000 and bool(found.rows) == (calls > 1)
    assert_best_so_far(found, at_hand)
    if calls == 60:
        assert found.name == "searched" and found.gain < 0.5


class Cancelled(GaussianRun):
    """Ends itself after `allowed` calls."""

    allowed = 10_000

    def __call__(self, sigmas, seeds, **options):
        if len(self.calls) >= self.allowed:
            raise BudgetSpent
        return super().__call__(sigmas, seeds, **options)


@pytest.mark.parametrize("allowed", [0, 1, 5, 30])
def test_a_run_that_ends_itself_keeps_the_best_so_far(allowed):
    run, at_hand = Cancelled(SCALES), candidates(SD15, 5)
    run.allowed = allowed

    found = calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), at_hand, 5, SD15, 2000)

    assert len(run.calls) == allowed and bool(found.rows) == (allowed > 0)
    assert_best_so_far(found, at_hand)


@pytest.mark.slow
@pytest.mark.parametrize("solver, steps, budget, gain", [("dpmpp_2m", 5, 2000, 0.2), ("euler", 6, 1200, 0.99)])
def test_what_the_search_found_is_kept_wherever_the_last_comparison_ends(solver, steps, budget, gain, monkeypatch):
    propose, proposed = Search._most_promising, []

    def recorded(search):
        trial = propose(search)
        proposed.append(trial and trial.sigmas)
        return trial

    def repeated(search):  # until it is cut it all goes the same way, and to propose is what takes the time
        sigmas = next(again)
        return None if sigmas is None else search.add(SEARCHED, sigmas)

    def cut_after(allowed):
        run = Cancelled(SCALES, solver)
        run.allowed = allowed
        at_hand = candidates(SD15, steps)
        return calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), at_hand, steps, SD15, budget), len(run.calls)

    monkeypatch.setattr(Search, "_most_promising", recorded)
    whole, calls = cut_after(10_000)

    assert whole.gain < gain
    monkeypatch.setattr(Search, "_most_promising", repeated)
    for allowed in range(calls - 20, calls):
        again = iter(proposed)
        found, _ = cut_after(allowed)
        assert found.gain < gain and found.name == whole.name
        assert "fitted to this model" in found.report()


def test_what_is_better_is_found_also_close_to_the_best_candidate():
    """What is nearly the same as a candidate may still be nearer to the converged pictures."""
    run, reference = GaussianRun(SCALES, "euler"), GaussianRun(SCALES, "dpmpp_2m")
    good = calibrate(run, reference, candidates(SD15, 4), 4, SD15, 2000).sigmas
    nearly = good * torch.tensor([1.0, 1.12, 0.9, 1.1, 1.0])

    found = calibrate(run, reference, candidates(SD15, 4) | {"nearly": nearly}, 4, SD15, 2000)

    assert found.best_candidate == "nearly" and found.name == SEARCHED
    means = [distances(run, sigmas, SD15.sigma_max).mean() for sigmas in (found.sigmas, nearly)]
    assert means[0] < 0.97 * means[1]


class InBatches(GaussianRun):
    """Samples two seeds at a time, as a small GPU does, and is cancelled after `allowed` evaluations."""

    allowed = 10_000

    def __call__(self, sigmas, seeds, *, limit=None, observe=None):
        parts, count = [], 0
        for i in range(0, len(seeds), 2):
            left = min(self.allowed - self.evaluations, 10_000 if limit is None else limit - count)
            try:
                part = super().__call__(sigmas, seeds[i : i + 2], limit=left, observe=observe)
            except BudgetSpent as error:
                error.evaluations += count
                raise
            parts.append(part.latents)
            count += part.evaluations
        return SamplerResult(torch.cat(parts), count)


@pytest.mark.parametrize("allowed", [0, 40, 181, 182, 200, 223])
def test_a_reference_that_ends_half_way_keeps_the_best_so_far(allowed):
    """Of 13 seeds to begin with, or of the further 3 that the best schedules are compared on."""
    reference, at_hand = InBatches(SCALES, "dpmpp_2m"), candidates(SD15, 5)
    reference.allowed = allowed

    found = calibrate(InBatches(SCALES, "dpmpp_2m"), reference, at_hand, 5, SD15, 2000)

    assert bool(found.rows) == (allowed >= Plan.of(2000, 5, "vp").seeds * reference_steps(5, "vp"))
    assert_best_so_far(found, at_hand)
    if found.references:
        assert len(found.references.by_place) <= allowed / reference_steps(5, "vp")


def test_batches_change_nothing():
    results = [
        calibrate(run(SCALES), run(SCALES, "dpmpp_2m"), candidates(SD15, 5), 5, SD15, 900)
        for run in (GaussianRun, InBatches)
    ]

    runs = [found.references.by_place[3] for found in results]
    assert torch.allclose(runs[0].predictions, runs[1].predictions)
    assert results[0].sigmas.allclose(results[1].sigmas, rtol=1e-5)


def test_a_model_that_gives_nan_is_refused_in_one_sentence():
    class Broken(GaussianRun):
        def denoise(self, y, s):
            return y * torch.nan

    with pytest.raises(ValueError, match="no picture but NaN or infinite values, so there is nothing to come closer"):
        calibrate(Broken(SCALES), Broken(SCALES), candidates(SD15, 4), 4, SD15, 300)
    with pytest.raises(ValueError, match="no picture but NaN or infinite values"):
        compare(Broken(SCALES), Broken(SCALES), candidates(SD15, 4), [1, 2], SD15)


def test_the_report_says_where_only_few_schedules_could_be_tried():
    """As quick does with 8 steps. For one step there is hardly anything to try."""

    def report(steps, budget):
        own = candidates(SD15, steps)
        return calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), own, steps, SD15, budget).report()

    few = report(8, 300)
    assert re.search(r"Only \d schedules could be tried, and .*: a larger budget is safer\.\n", few)
    assert all("could be tried" not in report(*other) for other in ((1, 300), (5, 300), (8, 2000)))


def test_the_report_says_how_sure_the_gain_is():
    found = calibrate(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 2000)

    sure = replace(found, gain=0.8, typical_gain=0.6, interval=(0.7, 0.9), seeds=30).report()
    unsure = replace(found, gain=0.97, interval=(0.9, 1.04), seeds=30).report()
    few = replace(found, gain=0.8, interval=(0.8, 0.8), seeds=1).report()

    assert found.seeds == found.rows[0].seeds
    assert sure.startswith(
        f"**20 % closer to the converged picture than {found.best_candidate}, the best scheduler that was tried "
        "(10 to 30 %).**"
    )
    assert few.startswith("**20 % closer") and "(-4 to 10 %)" in unsure
    by_few_seeds = replace(found, gain=1.02, typical_gain=0.6, interval=(0.8, 1.2), seeds=30).report()
    assert by_few_seeds.startswith("**Typically 40 % closer to the converged picture than")
    assert "signed defects" not in found.report() and "searched" not in found.report()
    assert found.report().count("| calibrated |") == 1
    assert "Over 30 seeds" in sure and "0.80 of that with" in sure and "90 % interval 0.70 to 0.90" in sure
    assert "typical distance (geometric mean) is 0.60 of that" in sure
    assert "may be equally good" in unsure and "may be equally good" not in sure
    assert "Over 1 seed " in few and "too few seeds to say how sure that is" in few and "interval" not in few


def test_compare_measures_every_seed_and_keeps_the_latents_of_the_first():
    run, seen = GaussianRun(SCALES), []

    found = compare(
        run,
        GaussianRun(SCALES, "twice"),
        candidates(SD15, 4),
        range(5),
        SD15,
        kept=2,
        on_progress=lambda done, total: seen.append((done, total)),
    )

    first = found.rows[0]
    assert found.reference.shape == first.latents.shape == (2, len(SCALES)) and len(first.distances) == 5
    expected = (first.latents - found.reference).double().square().mean(1).sqrt()
    assert torch.allclose(first.distances[:2], expected, rtol=1e-5)
    done = [at for at, _ in seen]
    assert done == sorted(done) and len(set(done)) > 60 and seen[-1] == (5 * 72, 5 * 72)


@pytest.mark.parametrize(("noise", "starts"), [(SD15, (2.0, 1.9)), (FLOW, (0.5, 0.48))])
def test_schedules_that_change_a_picture_are_compared_from_where_they_start(noise, starts):
    """As they come from a denoise below 1; the limit is known in closed form."""
    flow = noise.family == "flow"
    run = GaussianRun(SCALES, flow=flow)
    many, few = (torch.cat([torch.logspace(float(np.log10(starts[0])), -2, n), torch.zeros(1)]) for n in (60, 4))
    lower = torch.tensor([starts[1], 0.3, 0.1, 0.0])

    found = compare(
        run, GaussianRun(SCALES, "dpmpp_2m", flow), {"few": few, "many": many, "lower": lower}, range(4), noise
    )

    assert found.reference_start == pytest.approx(starts[0])
    limit = run.exact(range(4), starts[0] / (1 - starts[0]) if flow else starts[0])
    assert (found.reference - limit).abs().max() < 0.03 < (found.rows[-1].latents - limit).abs().max()
    assert found.rows[0].name == "many" and not found.remarks


def test_schedules_of_another_start_or_end_are_remarked():
    at_hand = {**candidates(SD15, 4), "half": torch.tensor([2.0, 1, 0.3, 0.1, 0]), "part": torch.tensor([14.6, 5, 2])}

    found = compare(GaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m"), at_hand, range(2), SD15)

    assert found.reference_start == SD15.sigma_max
    assert found.remarks == (
        "half starts at sigma 2 and not at 14.6146, so its distance tells of that, too.",
        "part ends at sigma 2, so noise is left in its pictures.",
    )


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_picture_is_infinitely_far_and_comes_last(broken):
    class Fragile(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            if sigmas[1] > 12:
                result.latents[0, 0] = broken
            return result

    at_hand = {"broken": torch.tensor([14.0, 13, 1, 0]), "far": torch.tensor([9.0, 8, 7, 0])}

    found = compare(Fragile(SCALES), GaussianRun(SCALES), at_hand, range(3), SD15)

    assert [row.name for row in found.rows] == ["far", "broken"]
    last = found.rows[1]
    assert last.mean == last.worst == np.inf and 0 < last.median < 10


def test_a_run_that_explodes_is_only_a_bad_schedule():
    class Fragile(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            if sigmas[-2] > 1:
                result.latents[:] = torch.nan
            return result

    found = calibrate(Fragile(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 900)

    assert found.sigmas[-2] <= 1
    assert found.gain <= 1


def test_where_the_nearest_schedule_broke_none_is_tried():
    """Below a last sigma of 0.1 there is no picture, and just above it are the best."""

    class Fragile(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            return SamplerResult(result.latents * torch.nan, result.evaluations) if sigmas[-2] < 0.1 else result

    run = Fragile(SCALES, "dpmpp_2m")

    found = calibrate(run, GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 2000)

    assert sum(bool(sigmas[-2] < 0.1) for sigmas, _ in run.calls) < 0.25 * len(run.calls)
    assert 0.1 <= found.sigmas[-2] < 0.2 and found.gain < 0.85


def test_a_sampler_that_breaks_on_every_schedule_is_refused():
    class Broken(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            result.latents[0] = torch.nan
            return result

    with pytest.raises(ValueError, match="with 4 steps every schedule that was tried gives NaN or infinite values"):
        calibrate(Broken(SCALES), GaussianRun(SCALES, "dpmpp_2m"), candidates(SD15, 4), 4, SD15, 300)


@pytest.mark.parametrize("budget", [300, 2000])
@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("highest", [1000, 900], ids=["to 1", "to 0.9"])
def test_a_flow_sampler_that_ends_elsewhere_than_the_reference_gets_schedules_that_fall(highest, steps, budget):
    """As those of distilled models do, which cannot be told: then a first step of no length looks as good as any."""

    class Elsewhere(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            return SamplerResult(result.latents + self.noise([seed + 1 for seed in seeds]).float(), result.evaluations)

    noise = NoiseSchedule(torch.arange(1, highest + 1) / 1000, "flow")
    scales = 0.5 * torch.logspace(-0.5, 0.3, 24)
    run = Elsewhere(scales, "dpmpp_2m", True)
    at_hand = {"hso": optimize_schedule(noise, steps).to_tensor()}

    found = calibrate(run, GaussianRun(scales, "dpmpp_2m", True), at_hand, steps, noise, budget)

    for sigmas in [found.sigmas, *(sigmas for sigmas, _ in run.calls)]:
        check_sigmas(sigmas)
        assert sigmas[0] == pytest.approx(noise.sigma_max) and 0.02 < sigmas[1] < 0.985


def test_candidates_of_another_number_of_steps_are_left_out_and_none_is_an_error():
    at_hand = candidates(SD15, 4)

    found = calibrate(
        GaussianRun(SCALES),
        GaussianRun(SCALES, "dpmpp_2m"),
        {"ten": candidates(SD15, 10)["hso"], **at_hand},
        4,
        SD15,
        300,
    )

    assert len(found.sigmas) == 5
    with pytest.raises(SigmasError, match="none of 3 candidates is a schedule of 7 steps"):
        calibrate(GaussianRun(SCALES), GaussianRun(SCALES), at_hand, 7, SD15, 300)


def test_progress_never_falls_and_stays_within_the_budget():
    seen = []

    calibrate(
        GaussianRun(SCALES),
        GaussianRun(SCALES, "dpmpp_2m"),
        candidates(SD15, 5),
        5,
        SD15,
        700,
        on_progress=lambda done, total, stage: seen.append((done, total, stage)),
    )

    done = [at for at, _, _ in seen]
    assert done == sorted(done) and done[-1] <= 700 and {total for _, total, _ in seen} == {700}
    assert [stage for stage in dict.fromkeys(stage for _, _, stage in seen)][0] == "reference"
    reference = [at for at, _, stage in seen if stage == "reference"]
    assert len(reference) > 10 and reference[-1] > 50  # not only when it is over


@pytest.mark.parametrize("budget, steps", [(300, 4), (300, 8), (2000, 4), (2000, 8), (2000, 50), (10000, 5)])
@pytest.mark.parametrize("family", ["vp", "flow"])
def test_a_plan_leaves_most_of_the_budget_to_the_search(budget, steps, family):
    plan = Plan.of(budget, steps, family)

    assert plan.seeds * plan.reference_steps <= 0.3 * budget and 1 <= plan.look <= plan.seeds


def test_the_reference_steps_of_all_plans_are_few():
    plans = [Plan.of(budget, steps, "vp") for budget in (300, 2000) for steps in range(1, 101)]

    assert {plan.reference_steps for plan in plans} == {14, 20, 24, 36}
    assert Plan.of(300, 6, "flow").reference_steps == Plan.of(2000, 8, "flow").reference_steps == 24


@pytest.mark.parametrize("solver, steps", [("euler", 4), ("dpmpp_2m", 5)])
def test_it_comes_near_the_best_schedule_that_scipy_finds_without_counting(solver, steps):
    scales = torch.logspace(-0.7, 0.3, 48)
    run, at_hand = GaussianRun(scales, solver), candidates(SD15, steps)

    def error(logs):
        sigmas = torch.tensor([SD15.sigma_max, *np.exp(logs), 0.0])
        falls = bool((sigmas.diff() < 0).all())
        return float(distances(run, sigmas.float(), SD15.sigma_max).mean()) if falls else np.inf

    options = {"maxfev": 3000, "xatol": 1e-5, "fatol": 1e-9}
    starts = [sigmas[1:-1].double().log().numpy() for sigmas in at_hand.values()]
    best = min(minimize(error, start, method="Nelder-Mead", options=options).fun for start in starts)

    plan = Plan(reference_steps=150, seeds=4)  # so fine a reference that the rest is the search's
    found = calibrate(run, GaussianRun(scales, "dpmpp_2m"), at_hand, steps, SD15, 2500, plan=plan)

    assert float(distances(run, found.sigmas, SD15.sigma_max).mean()) < (1.02 if solver == "euler" else 1.3) * best
